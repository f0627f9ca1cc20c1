"""`make medallion`: run the job ecommerce_medallion, without Airflow, and follow it to its end.

START and END give the landing dates; without them everything that has changed is run. FEED=1 lands invented orders for
these dates first. With LAKEHOUSE_ALLOW_MISSING_DATES=true, dates of them that have not landed are a warning.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any
from urllib.parse import urlencode

from laptop.landing_interval import parse_interval
from laptop.laptop_state import LaptopState
from laptop.services import require_up, wait_until_ready, workspace_client
from machine.command_line import UserError, is_set, run_command
from machine.http_client import HttpClient

JOB = "ecommerce_medallion"
SUMMARY = "summary = "
"""Before the sentence that sums up a run, in the log of its task `report`."""
_OVER = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


def run_job(client: HttpClient, parameters: dict[str, str]) -> dict[str, Any]:
    """Run the job, print each task as it ends, and return the finished run. Raises UserError and HttpError."""
    jobs = client.call("GET", f"/api/2.2/jobs/list?{urlencode({'name': JOB})}").get("jobs", [])
    if not jobs:
        raise UserError(f"the workspace has no job {JOB}: `make up` deploys it.")
    started = client.call("POST", "/api/2.2/jobs/run-now", {"job_id": jobs[0]["job_id"], "job_parameters": parameters})
    run_path = f"/api/2.2/jobs/runs/get?run_id={started['run_id']}"
    print(client.call("GET", run_path)["run_page_url"], flush=True)
    printed: set[int] = set()
    while True:
        run: dict[str, Any] = client.call("GET", run_path)
        for task in run["tasks"]:
            if task["state"]["life_cycle_state"] in _OVER and task["run_id"] not in printed:
                printed.add(task["run_id"])
                seconds = (task["end_time"] - task["start_time"]) / 1000
                print(f"{task['task_key']:16}{task['state']['result_state'].lower():18}{seconds:6.1f} s", flush=True)
        if run["state"]["life_cycle_state"] in _OVER:
            return run
        time.sleep(0.3)


def failures(client: HttpClient, run: dict[str, Any]) -> list[str]:
    """Return why tasks of a run failed; of a task that has started another job run, why tasks of that one did."""
    reasons = []
    for task in run["tasks"]:
        if task["state"]["result_state"] != "FAILED":
            continue
        output = client.call("GET", f"/api/2.2/jobs/runs/get-output?run_id={task['run_id']}")
        inner: list[str] = []
        if started := output.get("run_job_output"):
            inner = failures(client, client.call("GET", f"/api/2.2/jobs/runs/get?run_id={started['run_id']}"))
        own = output.get("error") or task["state"]["state_message"]
        reasons += [f"{task['task_key']}: {reason}" for reason in inner or [own]]
    return reasons


def main() -> int:
    state = LaptopState.from_environment()
    start, end = os.environ.get("START", ""), os.environ.get("END", "")
    parameters = {}
    if start or end:
        days = [moment.date().isoformat() for moment in parse_interval(start, end)]
        parameters = dict(zip(("interval_start", "interval_end"), days, strict=True))
    if is_set("FEED"):
        if not parameters:
            raise UserError("FEED=1 needs the dates that it shall land: give START and END.")
        parameters["synthetic_feed"] = "true"
    if is_set("LAKEHOUSE_ALLOW_MISSING_DATES"):
        parameters["allow_missing_dates"] = "true"
    require_up(state)
    wait_until_ready(state)
    client = workspace_client(state)
    begun = time.monotonic()
    run = run_job(client, parameters)
    if run["state"]["result_state"] != "SUCCESS":
        print(*failures(client, run), sep="\n", file=sys.stderr)
        return 1
    for task in run["tasks"]:
        if task["task_key"] == "report" and task["state"]["result_state"] == "SUCCESS":
            logs = client.call("GET", f"/api/2.2/jobs/runs/get-output?run_id={task['run_id']}").get("logs", "")
            print(*(line.removeprefix(SUMMARY) for line in logs.splitlines() if line.startswith(SUMMARY)), sep="\n")
    print(f"Succeeded after {time.monotonic() - begun:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
