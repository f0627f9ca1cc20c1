"""The jobs of the bundle's target `local` in this process: their tasks one after another, without the workspace."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path

from laptop.laptop_state import CATALOG
from local_workspace.bundle import Bundle
from local_workspace.references import resolved
from local_workspace.spark_server import SETTINGS_BY_ROWS
from local_workspace.task_attempt import task_environment
from machine.state_folder import REPO
from spark_jobs.runtime.table_names import LAYERS, TableNames
from spark_jobs.storage.ops_volume import OpsVolume, verdict_file
from spark_jobs.tasks import entry_points


class JobsInProcess:
    """Calls the entry points of tasks with the parameters that the bundle gives them."""

    def __init__(self, volumes: Path, schema_prefix: str = "") -> None:
        self.names = TableNames(CATALOG, schema_prefix)
        self.landing, ops = (volumes / CATALOG / f"{schema_prefix}{schema}" / "files" for schema in ("landing", "ops"))
        self._ops = OpsVolume(ops)
        variables = [f"volumes_root={volumes}", f"schema_prefix={schema_prefix}"]
        bundle = Bundle(REPO / "databricks.yml", "local", variables)
        self._jobs = {settings["name"]: settings for _, settings, _ in bundle.resources("jobs")}

    def tasks(self, start: date, end: date) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield name and function of each task that builds, audits and publishes the layers.

        Each must have been called before the next one is asked for.
        """
        for layer in LAYERS:
            run_id = str(time.time_ns())
            interval = {"interval_start": str(start), "interval_end": str(end)}
            yield from self._tasks_of(f"{layer}_build", layer, run_id, interval)
            verdict = self._ops.read_json(verdict_file(layer, run_id)) or {}
            allowed = {name: str(verdict[name]) for name in ("build_id", "fingerprint")} | {"build_job_run_id": run_id}
            yield from self._tasks_of("publish", layer, str(time.time_ns()), {"layer": layer} | allowed)

    def _tasks_of(
        self, job: str, layer: str, run_id: str, given: dict[str, str]
    ) -> Iterator[tuple[str, Callable[[], None]]]:
        declared = {parameter["name"]: parameter["default"] for parameter in self._jobs[job]["parameters"]}
        values = {f"job.parameters.{name}": value for name, value in (declared | given).items()}
        values |= {"job.run_id": run_id, "job.repair_count": "0"}
        for task in self._jobs[job]["tasks"]:
            wheel_task = task["python_wheel_task"]
            parameters = [resolved(text, values) for text in wheel_task["parameters"]]
            yield f"{layer}.{task['task_key']}", partial(_call, wheel_task["entry_point"], parameters)


def use_task_environment(secrets: Path) -> None:
    """Give this process the variables that the local workspace gives to its tasks, with these secrets."""
    is_compiled = os.environ.get("LAKEHOUSE_SPARK_FEW_ROWS") == "false"
    os.environ |= task_environment(secrets, None if is_compiled else SETTINGS_BY_ROWS)


def _call(entry_point: str, parameters: list[str]) -> None:
    sys.argv = [entry_point, *parameters]
    getattr(entry_points, entry_point)()
