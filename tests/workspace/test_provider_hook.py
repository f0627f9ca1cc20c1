"""The client is Airflow's databricks provider, as the DAG's operators and the triggerer use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.workspace.conftest import Workspace, task

# In another process, because importing Airflow fixes its home folder.
SCRIPT = """
import asyncio, json, sys, time
from airflow.providers.databricks.hooks.databricks import DatabricksHook
from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger
from airflow.providers.databricks.utils.databricks import normalise_json_content

path = sys.argv[1]
hook = DatabricksHook("lakehouse_test", retry_limit=1)
job_id = hook.find_job_id_by_name("by the hook")
assert hook.find_job_id_by_name("no such job") is None
payload = {"job_id": job_id, "job_parameters": {"file": path, "n": 1}, "idempotency_token": "ti-1"}
run_id = hook.run_now(normalise_json_content(payload))
assert hook.run_now(normalise_json_content(payload)) == run_id

async def follow(run):
    trigger = DatabricksExecutionTrigger(run, "lakehouse_test", polling_period_seconds=0.2)
    async for event in trigger.run():
        return event.payload

first = asyncio.run(follow(run_id))
assert hook.get_latest_repair_id(run_id) is None
open(path, "w").close()
repair_id = hook.repair_run({"run_id": run_id, "rerun_all_failed_tasks": True})
second = asyncio.run(follow(run_id))
assert hook.get_latest_repair_id(run_id) == repair_id
other = hook.run_now({"job_id": hook.find_job_id_by_name("long")})
hook.cancel_run(other)
while not hook.get_run_state(other).is_terminal:
    time.sleep(0.1)
hook.cancel_all_runs(job_id)
print(json.dumps({
    "first": first, "second": second, "url": hook.get_run_page_url(run_id), "job": hook.get_job_id(run_id) == job_id,
    "tasks": [t["task_key"] for t in hook.get_run_tasks(run_id)], "cancelled": hook.get_run_state(other).result_state,
    "verdict": hook._do_api_call(("GET", "2.0/fs/files/Volumes/spark_catalog/ops/files/verdict.json")),
}))
"""


def test_the_provider_runs_follows_repairs_and_cancels(workspace: Workspace, tmp_path: Path) -> None:
    parameters = [{"name": "file", "default": ""}]
    workspace.create(task("flaky", "{{job.parameters.file}}"), name="by the hook", parameters=parameters)
    workspace.create(task("sleeps"), name="long")
    volume = workspace.state / "volumes/spark_catalog/ops/files"
    volume.mkdir(parents=True, exist_ok=True)
    (volume / "verdict.json").write_text('{"success": false}')
    connection = {"conn_type": "databricks", "host": "127.0.0.1", "port": workspace.port, "schema": "http"}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_LAKEHOUSE_TEST": json.dumps(connection | {"password": workspace.token}),
    }
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / "repaired")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    result = json.loads(answer.stdout.strip().splitlines()[-1])
    run_id = result["first"]["run_id"]
    assert json.loads(result["first"]["run_state"])["result_state"] == "FAILED"
    assert [(e["task_key"], e["error"]) for e in result["first"]["errors"]] == [("main", "RuntimeError: not yet")]
    assert json.loads(result["second"]["run_state"])["result_state"] == "SUCCESS"
    assert result["url"] == workspace.get(run_id)["run_page_url"]
    assert (result["job"], result["tasks"], result["cancelled"]) == (True, ["main", "main"], "CANCELED")
    assert result["verdict"] == {"success": False}
