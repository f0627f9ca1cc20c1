"""A real Airflow on this machine, with the settings of `make up`; its workspace is a tiny one, without Spark."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from laptop import airflow_cli
from laptop import service_processes as processes
from laptop.airflow_client import FINAL_RUN_STATES, AirflowClient
from laptop.airflow_settings import write_files
from laptop.follow import error_lines
from laptop.laptop_state import LaptopState
from laptop.services import AIRFLOW_SERVICES, DAG, HEALTHY_COMPONENTS, service_environment
from machine.state_folder import REPO, write_private
from tests.dags.tiny_workspace import LANDING, TinyWorkspace

SETTINGS = {
    "LAKEHOUSE_SCHEDULE": "20 4 * * *",
    "LAKEHOUSE_POLL_SECONDS": "0.2",
    "LAKEHOUSE_RETRY_DELAY": "1",
    "LAKEHOUSE_LANDING_RETRIES": "0",
    "LAKEHOUSE_MAX_ACTIVE_RUNS": "20",
    "LAKEHOUSE_API_RETRIES": "1",
}


class LiveAirflow:
    """Its services, a client, and the workspace that its connection names."""

    def __init__(self, folder: Path) -> None:
        self.workspace = TinyWorkspace()
        self.workspace.duration = 0.2
        self.workspace.folders[LANDING] = [f"dt=2018-01-{day:02d}" for day in range(1, 32)]
        self.state = LaptopState.from_environment().with_own_data(folder / "state")
        self.state.ensure_secrets()
        write_files(self.state)
        connection = {"databricks_default": json.loads(self.workspace.connection)}
        write_private(self.state.airflow_home / "connections.json", json.dumps(connection))
        self.client = AirflowClient(self.state)

    def start(self) -> None:
        """Start the services, and return when the DAG can run."""
        self.airflow("db migrate")
        environment = processes.clean_environment() | service_environment(self.state)
        program = str(self.state.venv("airflow") / "bin" / "airflow")
        for name, arguments in AIRFLOW_SERVICES.items():
            processes.start(self.state, name, [program, *arguments], environment, REPO)
        self.until(lambda: {self.client.health().get(name) for name in HEALTHY_COMPONENTS} == {"healthy"})
        self.client.wait_for_dag(DAG, 180)
        self.client.unpause(DAG)

    def stop(self) -> None:
        processes.stop(self.state, processes.recorded_services(self.state))
        processes.end_leftovers(self.state)
        self.workspace.close()

    def airflow(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as anywhere, beside the services: `make airflow` does more for some."""
        program = str(self.state.venv("airflow") / "bin" / "airflow")
        whole = processes.clean_environment() | service_environment(self.state) | environment
        return subprocess.run(
            [program, *shlex.split(command)], cwd=REPO, env=whole, capture_output=True, text=True, timeout=240
        )

    def make_airflow(self, command: str) -> int:
        """Run a command as `make airflow` does."""
        return airflow_cli.run_airflow(self.state, shlex.split(command))

    def trigger(self, logical_date: str | None = "now", **fields: Any) -> str:
        """Start a run by the API; its id."""
        body = {"logical_date": datetime.now(UTC).isoformat() if logical_date == "now" else logical_date, **fields}
        return str(self.client.call("POST", f"/dags/{DAG}/dagRuns", body)["dag_run_id"])

    def tasks(self, run_id: str) -> dict[str, dict[str, Any]]:
        return {task["task_id"]: task for task in self.client.task_instances(DAG, run_id)}

    def wait_for(self, run_id: str, task_id: str, *states: str) -> dict[str, Any]:
        """Return the task as soon as it is in one of these states."""

        def found() -> dict[str, Any] | None:
            task = self.tasks(run_id).get(task_id)
            return task if task and task["state"] in states else None

        return dict(self.until(found))

    def wait_for_end(self, run_id: str) -> str:
        """Return the state in which the run ends."""

        def ended() -> str | None:
            state = self.client.run(DAG, run_id)["state"]
            return state if state in FINAL_RUN_STATES else None

        return str(self.until(ended))

    def reason(self, run_id: str, task_id: str) -> str:
        """Return why the first try of a task failed, as its log has it."""
        return "\n".join(error_lines(self.client.log(DAG, run_id, task_id, 1)))

    def parameters(self, run_id: str) -> dict[str, str]:
        """Return the parameters of the job run that built bronze."""
        job_run = self.client.xcom(DAG, run_id, "bronze.build", "run_id")
        return dict(self.workspace.runs[int(job_run)]["parameters"])

    def mark(self, run_id: str, task_id: str, state: str) -> None:
        path = f"/dags/{DAG}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}"
        self.client.call("PATCH", path, {"new_state": state})

    def clear(self, run_id: str, *task_ids: str) -> None:
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False}
        self.client.call("POST", f"/dags/{DAG}/clearTaskInstances", body)

    def until(self, condition: Any, seconds: float = 240) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.5)
        tails = [processes.log_tail(self.state, name) for name in AIRFLOW_SERVICES]
        raise AssertionError("\n".join(["not in time; the ends of the logs:", *tails]))


@contextmanager
def live_airflow(folder: Path, settings: Mapping[str, str] = SETTINGS) -> Iterator[LiveAirflow]:
    """Yield an Airflow whose DAG can run, with these LAKEHOUSE_* settings."""
    with patch.dict(os.environ, settings):
        live = LiveAirflow(folder)
        try:
            live.start()
            yield live
        finally:
            live.stop()
