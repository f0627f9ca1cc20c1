"""The job tasks of some landing dates in this process, one after another, with what each asks of Spark and commits.

`python -m benchmarks.job_tasks FOLDER` starts Spark on the folder, which keeps its tables: the first time all of the
data set is loaded (LAKEHOUSE_DATA, else a synthetic feed). Then it lands one more day and runs it (as warm-up), and
another one, of which it prints every call of Spark by job task.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.spark_calls import ANALYSIS, CONFIG, STATEMENT, SparkCalls, delta_versions
from laptop.jobs_in_process import JobsInProcess, use_task_environment
from laptop.laptop_state import LaptopState

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
    """Runs the jobs' tasks in this process, and measures each."""

    def __init__(self, state: LaptopState, remote: str, calls: SparkCalls) -> None:
        use_task_environment(state.secrets)
        self._jobs = JobsInProcess(state.volumes)
        self._remote = remote
        self._calls = calls
        self._warehouse = state.root / "warehouse"

    def run(self, start: date, end: date) -> list[JobTask]:
        """Build, audit and publish every layer. Raises what a task raises, GateRejected for a verdict that forbids."""
        return [
            measured(name, self._calls, self._warehouse, partial(self._in_own_session, run))
            for name, run in self._jobs.tasks(start, end)
        ]

    def _in_own_session(self, run: Callable[[], None]) -> None:
        """Call a task as on Databricks, where each has a separate session."""
        spark = self._calls.session(f"{self._remote};session_id={uuid.uuid4()}")
        try:
            run()
        finally:
            spark.stop()
            del spark
            gc.collect()  # the session ends here: in a thread of gRPC, it would wait for that thread for ever


def measured(name: str, calls: SparkCalls, warehouse: Path, run: Callable[[], object]) -> JobTask:
    """Run something, and return what it took, what it asked of Spark, and what it committed below `warehouse`."""
    before, first = delta_versions(warehouse), len(calls.recorded)
    begun = time.perf_counter()
    with calls.task(name):
        run()
    seconds = time.perf_counter() - begun
    made = calls.recorded[first:]
    counted = Counter(call.method for call in made)
    return JobTask(
        name,
        seconds,
        counted[STATEMENT],
        sum(call.failed for call in made),
        counted[ANALYSIS],
        counted[CONFIG],
        (delta_versions(warehouse) - before).total(),
        sum(call.seconds for call in made),
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
    from laptop.landing_interval import landed_interval
    from laptop.sources import dataco_file
    from local_workspace.spark_server import SparkServer
    from machine.java import find_java_home
    from machine.ports import free_port

    logging.getLogger("spark_jobs").setLevel(logging.WARNING)
    main_state = LaptopState.from_environment()
    state = main_state.with_own_data(Path(sys.argv[1]).resolve())
    state.ensure_secrets()
    server = SparkServer(state.root, free_port(), jars=main_state.jars, java_home=find_java_home(main_state.root))
    server.start()
    try:
        console = Console(width=220)
        if not state.landing.exists():
            if dataco_file().exists():
                replay(state, dataco_file(), state.landing)
            else:
                feed(state, state.landing, "2018-01-01", "30", {})
            start, end = (moment.date() for moment in landed_interval(state.landing))
            console.print(table("everything", JobTasks(state, server.remote, SparkCalls()).run(start, end)))
        for title in ("one more day (warm-up)", "one more day"):
            day = landed_interval(state.landing)[1].date()
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
