"""The job tasks of some landing dates in this process, one after another, with what each asks of Spark and commits.

`python -m benchmarks.job_tasks FOLDER` starts Spark on the folder, which keeps its tables: the first time all of the
data set is loaded (LAKEHOUSE_DATA, else a synthetic feed). Then it lands one more day and runs it (as warm-up), and
another one, of which it prints every call of Spark by job task.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.spark_calls import ANALYSIS, CONFIG, STATEMENT, SparkCalls, delta_versions
from laptop.laptop_state import LaptopState
from local_workspace.bundle import Bundle
from local_workspace.references import resolved
from machine.state_folder import REPO
from spark_jobs.runtime.secret_store import SECRETS_FOLDER
from spark_jobs.runtime.table_names import LAYERS
from spark_jobs.storage.ops_volume import OpsVolume, verdict_file
from spark_jobs.tasks import entry_points

COLUMNS = ("seconds", "statements", "failed", "analyses", "config calls", "commits", "seconds in Spark")


@dataclass(frozen=True)
class JobTask:
    """What one job task took and asked for."""

    name: str
    seconds: float
    statements: int
    failed: int
    """How many of its calls ended with an error."""
    analyses: int
    config_calls: int
    commits: int
    spark_seconds: float
    """Seconds of all its calls; more than `seconds` where they ran at the same time."""


class JobTasks:
    """Runs the jobs of the bundle's target `local`: their tasks, by their entry points, with their parameters."""

    def __init__(self, state: LaptopState, remote: str, calls: SparkCalls) -> None:
        os.environ[SECRETS_FOLDER] = str(state.secrets)
        self._ops = OpsVolume(state.ops)
        self._remote = remote
        self._calls = calls
        self._warehouse = state.root / "warehouse"
        bundle = Bundle(REPO / "databricks.yml", "local", [f"volumes_root={state.volumes}"])
        self._jobs = {settings["name"]: settings for _, settings, _ in bundle.resources("jobs")}

    def run(self, start: date, end: date) -> list[JobTask]:
        """Build, audit and publish every layer. Raises what a task raises, GateRejected for a verdict that forbids."""
        done: list[JobTask] = []
        for layer in LAYERS:
            run_id = str(time.time_ns())
            interval = {"interval_start": str(start), "interval_end": str(end)}
            done += self._run_job(f"{layer}_build", layer, run_id, interval)
            verdict = self._ops.read_json(verdict_file(layer, run_id)) or {}
            allowed = {name: str(verdict[name]) for name in ("build_id", "fingerprint")} | {"build_job_run_id": run_id}
            done += self._run_job("publish", layer, str(time.time_ns()), {"layer": layer} | allowed)
        return done

    def _run_job(self, job: str, layer: str, run_id: str, given: dict[str, str]) -> Iterator[JobTask]:
        declared = {parameter["name"]: parameter["default"] for parameter in self._jobs[job]["parameters"]}
        values = {f"job.parameters.{name}": value for name, value in (declared | given).items()}
        values |= {"job.run_id": run_id, "job.repair_count": "0"}
        for task in self._jobs[job]["tasks"]:
            wheel_task = task["python_wheel_task"]
            parameters = [resolved(text, values) for text in wheel_task["parameters"]]
            yield self._run_task(f"{layer}.{task['task_key']}", wheel_task["entry_point"], parameters)

    def _run_task(self, name: str, entry_point: str, parameters: list[str]) -> JobTask:
        sys.argv = [entry_point, *parameters]
        before, first = delta_versions(self._warehouse), len(self._calls.recorded)
        with self._calls.task(name):
            begun = time.perf_counter()
            # Each task has a session of its own, as on Databricks.
            spark = self._calls.session(f"{self._remote};session_id={uuid.uuid4()}")
            try:
                getattr(entry_points, entry_point)()
                seconds = time.perf_counter() - begun
            finally:
                spark.stop()
        calls = self._calls.recorded[first:]
        counted = Counter(call.method for call in calls)
        return JobTask(
            name,
            seconds,
            counted[STATEMENT],
            sum(call.failed for call in calls),
            counted[ANALYSIS],
            counted[CONFIG],
            (delta_versions(self._warehouse) - before).total(),
            sum(call.seconds for call in calls),
        )


def total(tasks: list[JobTask]) -> JobTask:
    """Add up all tasks."""
    numbers = [[value for name, value in vars(task).items() if name != "name"] for task in tasks]
    return JobTask("all", *(sum(column) for column in zip(*numbers, strict=True)))


def table(title: str, tasks: list[JobTask]) -> Table:
    """Return the tasks and their total, for a terminal."""
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in ("job task", *COLUMNS):
        shown.add_column(column, justify="left" if column == "job task" else "right")
    for task in [*tasks, total(tasks)]:
        name, *numbers = vars(task).values()
        texts = (f"{number:.1f}" if isinstance(number, float) else str(number) for number in numbers)
        shown.add_row(name, *texts, style="bold" if name == "all" else "")
    return shown


def calls_table(calls: SparkCalls) -> Table:
    """Return every recorded call."""
    shown = Table(box=SIMPLE_HEAD)
    for column in ("job task", "call", "seconds", "kind", "text", "where"):
        shown.add_column(column, justify="right" if column == "seconds" else "left", overflow="fold")
    for call in calls.recorded:
        failed = " (failed)" if call.failed else ""
        shown.add_row(call.task, call.method + failed, f"{call.seconds:.3f}", call.kind, call.text, call.where)
    return shown


def main() -> int:
    from benchmarks.full_run import deliver_again
    from laptop.fill_landing import feed, replay
    from laptop.landing_interval import landed_span
    from laptop.sources import dataco_file
    from local_workspace.spark_server import FEW_ROWS_SETTINGS, SparkServer
    from machine.java import find_java_home
    from machine.ports import free_port

    logging.getLogger("spark_jobs").setLevel(logging.WARNING)
    main_state = LaptopState.from_environment()
    state = main_state.with_own_data(Path(sys.argv[1]).resolve())
    state.ensure_secrets()
    few_rows = FEW_ROWS_SETTINGS if os.environ.get("LAKEHOUSE_SPARK_FEW_ROWS") == "true" else {}
    server = SparkServer(
        state.root,
        free_port(),
        jars=main_state.jars,
        java_home=find_java_home(main_state.root),
        more_settings=few_rows,
    )
    server.start()
    try:
        console = Console(width=220)
        if not state.landing.exists():
            if dataco_file().exists():
                replay(state, dataco_file(), state.landing)
            else:
                feed(state, state.landing, "2018-01-01", "30", {})
            start, end = (moment.date() for moment in landed_span(state.landing))
            console.print(table("everything", JobTasks(state, server.remote, SparkCalls()).run(start, end)))
        for title in ("one more day (warm-up)", "one more day"):
            day = landed_span(state.landing)[1].date()
            deliver_again(state.landing, day)
            calls = SparkCalls()
            tasks = JobTasks(state, server.remote, calls).run(day, day + timedelta(days=1))
            console.print(table(f"{title}, {day}", tasks))
        console.print(calls_table(calls))
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
