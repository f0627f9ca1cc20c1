"""Why a run of Airflow does not continue, in a sentence for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from laptop.airflow_client import AirflowClient
from laptop.airflow_settings import POOLS
from machine.http_client import HttpError

ACTIVE = {"queued", "running", "deferred"}
"""States of a task that holds a slot or works."""


def waiting_reason(client: AirflowClient, run: dict[str, Any], instances: list[dict[str, Any]]) -> str | None:
    """Return what holds up a run of which no task is active, if anything is known to. Raises HttpError."""
    dag_id = run["dag_id"]
    dag = client.get(f"/dags/{dag_id}")
    if dag["is_paused"]:
        return f'the DAG is paused. Unpause it: make airflow ARGS="dags unpause {dag_id}"'
    logical_date = run["logical_date"] and datetime.fromisoformat(run["logical_date"])
    if logical_date and logical_date > datetime.now(UTC):
        return f"Airflow begins no task before the logical date of the run, {logical_date:%Y-%m-%d %H:%M:%S} UTC"
    if run["state"] == "queued":
        return _why_queued(client, run, dag)
    if asking := sorted({task["task_id"] for task in instances if task["state"] == "awaiting_input"}):
        page = client.run_page(dag_id, run["dag_run_id"])
        return f"{', '.join(asking)} waits for a person's decision: {page}/required_actions"
    waiting = sorted({task["task_id"] for task in instances if task["state"] == "scheduled"})
    reasons = (_why_scheduled(client, dag_id, task_id) for task_id in waiting)
    return next((reason for reason in reasons if reason), None)


def _why_queued(client: AirflowClient, run: dict[str, Any], dag: dict[str, Any]) -> str | None:
    begin = datetime.fromisoformat(run["run_after"])
    if begin > datetime.now(UTC):
        return f"it begins at {begin:%Y-%m-%d %H:%M:%S} UTC at the earliest, as it was triggered"
    running = client.get(f"/dags/{run['dag_id']}/dagRuns", state="running", limit=100)["dag_runs"]
    if len(running) >= dag["max_active_runs"]:
        names = ", ".join(other["dag_run_id"] for other in running)
        return f"{len(running)} other runs are under way, which is the limit (LAKEHOUSE_MAX_ACTIVE_RUNS): {names}"
    return None


def _why_scheduled(client: AirflowClient, dag_id: str, task_id: str) -> str | None:
    name = client.get(f"/dags/{dag_id}/tasks/{task_id}")["pool"]
    try:
        pool = client.get(f"/pools/{name}")
    except HttpError as error:
        if error.status != 404:
            raise
        command = f"make airflow ARGS='pools set {name} {POOLS.get(name, 1)} \"\" --include-deferred'"
        return f"{task_id} runs in the pool {name!r}, which does not exist (any more). Make it: {command}"
    if pool["open_slots"] <= 0:
        return f"{task_id} waits for a slot of the pool {name!r}: all {pool['slots']} are taken by other tasks"
    return None
