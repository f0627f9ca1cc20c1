"""One more day of the real data set: through the scheduler, warm and first after a start, and beside what it could be.

In one run, on the same machine and the same files:

- **warm day**, **first day**: `make run` for one landing date, from its call to its end; the first one after `make up`.
- **job tasks**: the nine job tasks of a day in this process, without Airflow and the workspace, with what they ask of
  Spark and commit.
- **floor**: the same derivations, rules and commits in this process, and nothing else (benchmarks/floor.py). Its tables
  must equal the published ones.
- **one process**, **DuckDB**: the plain alternatives, which make all tables again from all that has landed.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from dataclasses import asdict, fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.floor import Floor
from benchmarks.full_run import deliver_again
from benchmarks.hardware import hardware
from benchmarks.job_tasks import JobTask, JobTasks, measured, table, total
from benchmarks.resources import ResourceMonitor, peaks
from benchmarks.scales import ALTERNATIVES, Landing, run_alternative
from benchmarks.spark_calls import SparkCalls
from benchmarks.task_times import Waits, waits
from laptop.airflow_client import AirflowClient
from laptop.demo import reset
from laptop.fill_landing import replay
from laptop.follow import RunResult, progress
from laptop.landing_interval import landed_interval
from laptop.laptop_state import CATALOG, LaptopState
from laptop.run import run_interval
from laptop.service_processes import clean_environment
from laptop.services import DAG, down, up
from local_workspace.spark_server import FEW_ROWS_SETTINGS
from machine.command_line import UserError
from machine.state_folder import REPO
from spark_jobs.layers.bronze.bronze_tables import AUDIT_ONLY
from spark_jobs.layers.registry import TABLES
from spark_jobs.runtime.secret_store import SECRETS_FOLDER
from spark_jobs.runtime.table_names import TableNames
from spark_jobs.storage.lakehouse import Lakehouse
from spark_jobs.storage.ops_volume import OpsVolume

REPEATS = 5
"""Each figure is the median of as many days."""


class DayBench:
    """Lands one day after another and measures them. Every method raises UserError where a run fails."""

    def __init__(self, state: LaptopState) -> None:
        self.state = state
        os.environ[SECRETS_FOLDER] = str(state.secrets)  # of what runs in this process

    def land(self) -> date:
        """Land one more day, with the files of the last one, and return it."""
        day = landed_interval(self.state.landing)[1].date()
        deliver_again(self.state.landing, day)
        return day

    def load(self) -> float:
        """Run everything that has landed, and return the seconds."""
        result = run_interval(self.state, *landed_interval(self.state.landing), "make bench, everything")
        if not result.succeeded:
            raise UserError(
                f"the first load failed, so there is nothing to measure; the logs are in {self.state.logs}."
            )
        return result.seconds

    def by_scheduler(self) -> tuple[float, Waits]:
        """Run one more day by `make run`; return the seconds from its call to its end, and its waits."""
        day = self.land()
        values = {"START": str(day), "END": str(day + timedelta(days=1))}
        begun = time.perf_counter()
        done = subprocess.run(
            ["make", "run"],  # noqa: S607 - the make of this shell
            cwd=REPO,
            env=clean_environment() | self.state.environment() | values,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - begun
        if done.returncode:
            raise UserError(f"the run of {day} failed; the lines above say why, and the logs are in {self.state.logs}.")
        return seconds, waits(self.state, self._newest_run())

    def first_after_a_start(self) -> float:
        """Start everything again, run one more day, and return its seconds."""
        down(self.state)
        up(self.state)
        return self.by_scheduler()[0]

    def _newest_run(self) -> RunResult:
        client = AirflowClient(self.state)
        (run,) = client.get(f"/dags/{DAG}/dagRuns", order_by="-run_after", limit=1)["dag_runs"]
        run_id, order = run["dag_run_id"], [str(task["task_id"]) for task in client.tasks(DAG)]
        return RunResult(DAG, run_id, run["state"], progress(client.task_instances(DAG, run_id), order), 0.0)

    def by_floor_and_job_tasks(self) -> tuple[list[JobTask], list[list[JobTask]]]:
        """Run the same days by both, in this process; the first one of each warms up and is left out.

        Raises UserError where their tables are not equal.
        """
        days = [self.land() for _ in range(REPEATS + 1)]
        remote, names, calls = self.state.spark_remote(), TableNames(CATALOG), SparkCalls()
        warehouse = self.state.root / "warehouse"
        spark = calls.session(remote)
        for name, value in (FEW_ROWS_SETTINGS | {"spark.sql.session.timeZone": "UTC"}).items():
            spark.conf.set(name, value)
        lakehouse = Lakehouse(spark, names, OpsVolume(self.state.ops), self.state.staging, TABLES)
        floor = Floor(lakehouse, self.state.landing)
        try:
            floors = [measured("floor", calls, warehouse, partial(floor.run, day)) for day in days]
            tasks = [JobTasks(self.state, remote, calls).run(day, day + timedelta(days=1)) for day in days]
            for table in TABLES:
                ours, theirs = (rows.drop(*AUDIT_ONLY) for rows in (floor.rows(table), spark.table(names.table(table))))
                if differing := ours.exceptAll(theirs).count() + theirs.exceptAll(ours).count():
                    raise UserError(f"the floor did not do equal work: {differing} rows of {table} differ.")
        finally:
            floor.drop()
            spark.stop()
        return floors[1:], tasks[1:]


def bench_day(main_state: LaptopState, data: Path) -> dict[str, Any]:
    """Measure everything and print it; return the results as they are written. Raises UserError."""
    state = main_state.with_own_data(main_state.root / "bench")
    state.ensure_secrets()
    reset(state)
    bench = DayBench(state)
    outputs = {name: state.root / name for name in ALTERNATIVES}
    try:
        replay(state, data, state.landing)
        landing = Landing.measured(state.landing)
        up(state)
        with ResourceMonitor(state) as monitor:
            load_seconds = bench.load()
            written = monitor.spark_bytes_written / landing.bytes
            bench.by_scheduler()  # the first day of its kind
            warm = [bench.by_scheduler() for _ in range(REPEATS)]
        floors, tasks = bench.by_floor_and_job_tasks()
        first = [bench.first_after_a_start() for _ in range(REPEATS)]
        down(state)
        alternatives = {
            name: run_alternative(state.landing, ALTERNATIVES[name], outputs[name]) for name in ALTERNATIVES
        }
    finally:
        reset(state)
        for output in outputs.values():
            shutil.rmtree(output, ignore_errors=True)
    results = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": hardware(),
        "days": REPEATS,
        "load_seconds": round(load_seconds, 1),
        "load_bytes_written_per_byte_landed": round(written, 2),
        "warm_day_seconds": [round(seconds, 1) for seconds, _ in warm],
        "first_day_seconds": [round(seconds, 1) for seconds in first],
        "floor": asdict(median(floors)),
        "job_tasks": [asdict(median(list(same))) for same in zip(*tasks, strict=True)],
        "waits": {name: [seconds for _, found in warm for seconds in asdict(found)[name]] for name in WAITS},
        "peak_memory_mb": dict(sorted(monitor.peak_memory_mb.items())),
        **{name: report["total_seconds"] for name, report in alternatives.items()},
    }
    console = Console()
    console.print(table("Job tasks of a day, and the floor", [JobTask(**task) for task in results["job_tasks"]]))
    for line in summary(results):
        console.print(line)
    console.print(f"The first load takes {load_seconds:.1f} s, and Spark writes {written:.2f} bytes per byte landed.")
    console.print(peaks(monitor))
    return results


WAITS = {
    "task_ends": "a task ends after its job run",
    "next_task_starts": "the next task starts after that",
    "first_job_task_starts": "a job run starts its first task",
    "second_job_task_starts": "a job run starts its second task",
}


def median(same: list[JobTask]) -> JobTask:
    """Return the median of each number."""
    name, *_ = same
    numbers = {
        field.name: type(getattr(name, field.name))(statistics.median(getattr(one, field.name) for one in same))
        for field in fields(JobTask)
        if field.name != "name"
    }
    return replace(name, **numbers)


def summary(results: dict[str, Any]) -> list[str]:
    """Return the figures as rows of a Markdown table: what, seconds, statements, analyses, commits."""
    tasks = total([JobTask(**task) for task in results["job_tasks"]])
    floor = JobTask(**results["floor"])
    rows = [
        ("`make run` for one more day, warm", statistics.median(results["warm_day_seconds"]), None),
        ("the same, the first after `make up`", statistics.median(results["first_day_seconds"]), None),
        ("its nine job tasks in one process, without Airflow and the workspace", tasks.seconds, tasks),
        ("the floor: the same derivations, rules and commits, and nothing else", floor.seconds, floor),
        ("all days again in one Spark process, without gates", results["one_process"], None),
        ("all days again in DuckDB", results["duckdb"], None),
    ]
    lines = ["| | seconds | statements | analyses | commits |", "|---|---|---|---|---|"]
    for what, seconds, counted in rows:
        counts = (counted.statements, counted.analyses, counted.commits) if counted else ("", "", "")
        lines.append(f"| {what} | {seconds:.1f} | " + " | ".join(str(count) for count in counts) + " |")
    lines += ["", "| wait | median, s | longest, s |", "|---|---|---|"]
    for name, what in WAITS.items():
        seconds = results["waits"][name]
        lines.append(f"| {what} | {statistics.median(seconds):.2f} | {max(seconds):.2f} |")
    return lines
