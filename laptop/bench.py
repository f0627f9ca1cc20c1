"""`make bench DATA=...`: the full data set through the real scheduler, then one more day, measured task by task.

It runs in a state folder of its own below the main one, with ports of its own, so it touches nobody's data. Each
Airflow task's time is split into: waiting (from the end of the task before it to its own start, Airflow's scheduling),
the job's queue, the start of its processes, the work in them (Spark's, and for the audit GX's), and the rest (the
task's own process, deferring, and polling). A gate has no job; its time is its own.

`make bench SCALES=1,10` measures the product as history grows, beside the plain alternatives (benchmarks/scales.py).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import timeit
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from laptop.airflow_client import AirflowClient
from laptop.dates import landed_span
from laptop.demo import reset
from laptop.follow import RunResult
from laptop.jars import PACKAGE
from laptop.keys import ensure_secrets
from laptop.problems import Problem, guarded
from laptop.replay import replay
from laptop.run import run_interval
from laptop.services import down, up
from laptop.sources import check_source, source_from_environment
from laptop.state import REPO, State, beside
from laptop.workspace_client import job_run
from machine.ports import free_port

RESULTS = REPO / "bench"
USUAL_DAYS = "1127"
"""As many as the real data set has."""
USUAL_SOURCE = REPO.parent / "shared" / "data" / "DataCoSupplyChainDataset.csv.xz"


@dataclass(frozen=True)
class TaskTimes:
    """Where the seconds of one Airflow task, or of one task of its job, went."""

    task: str
    total: float
    waiting: float = 0.0
    queue: float = 0.0
    start: float = 0.0
    work: float = 0.0
    rest: float = 0.0


def measure(state: State, result: RunResult) -> list[TaskTimes]:
    """The times of a finished run, from Airflow's task instances and the workspace's job runs."""
    client = AirflowClient(state)
    times: list[TaskTimes] = []
    run = client.run(result.dag_id, result.run_id)
    before = datetime.fromisoformat(run["queued_at"])
    for task in result.tasks:
        if task.started is None or task.ended is None:
            continue
        total = (task.ended - before).total_seconds()
        waiting = max(0.0, (task.started - before).total_seconds())
        before = task.ended
        run_id = client.xcom(result.dag_id, result.run_id, task.task_id, "run_id")
        job_tasks = job_run(state, run_id)["tasks"] if run_id else []
        parts = all_job_times(job_tasks)
        queue, start, work = (sum(getattr(part, name) for part in parts) for name in ("queue", "start", "work"))
        if not parts:
            work = total - waiting
        rest = max(0.0, total - waiting - queue - start - work)
        times += [TaskTimes(task.task_id, total, waiting, queue, start, work, rest), *(parts if len(parts) > 1 else [])]
    return times


def all_job_times(tasks: list[dict[str, Any]]) -> list[TaskTimes]:
    """The times of a job run's tasks, each after the one before it; the API gives milliseconds.

    A task's queue counts from the start of the run, so what the tasks before it took is taken off.
    """
    times: list[TaskTimes] = []
    elapsed = 0.0
    for task in tasks:
        queue, start, work = (
            float(task.get(key) or 0) / 1000 for key in ("queue_duration", "setup_duration", "execution_duration")
        )
        queue = max(0.0, queue - elapsed)
        total = queue + start + work
        elapsed += total
        times.append(TaskTimes(f"  {task['task_key']} (job task)", total, 0.0, queue, start, work))
    return times


def totals(times: list[TaskTimes]) -> TaskTimes:
    """The sums over the Airflow tasks (a job's own tasks are in them already)."""
    tasks = [time for time in times if not time.task.startswith(" ")]
    fields = ("total", "waiting", "queue", "start", "work", "rest")
    return TaskTimes("all", **{field: sum(getattr(time, field) for time in tasks) for field in fields})


def table(title: str, times: list[TaskTimes]) -> Table:
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in ("task", "seconds", "waiting", "job queue", "process start", "work", "rest"):
        shown.add_column(column, justify="left" if column == "task" else "right")
    for time in [*times, totals(times)]:
        numbers = (time.total, time.waiting, time.queue, time.start, time.work, time.rest)
        shown.add_row(time.task, *(f"{number:.1f}" for number in numbers), style="bold" if time.task == "all" else "")
    return shown


def deliver_again(landing: Path, day: date) -> None:
    """A new day: the files of the last one, delivered once more."""
    source, target = landing / f"dt={day - timedelta(days=1)}", landing / f"dt={day}"
    hidden = landing / f".dt={day}"
    shutil.copytree(source, hidden)
    hidden.rename(target)


def bench(main_state: State, data: Path) -> dict[str, Any]:
    """Run and measure both runs; the results as they are written."""
    state = beside(main_state, main_state.root / "bench", (free_port(), free_port(), free_port()))
    ensure_secrets(state)
    reset(state)
    runs: dict[str, Any] = {}
    console = Console()
    try:
        replay(state, data, state.landing)
        up(state)
        start, end = landed_span(state.landing)
        deliver_after = end.date()
        for name in ("full run", "one-day run"):
            result = run_interval(state, start, end, f"make bench, {name}")
            if not result.ok:
                raise Problem(f"the {name} failed, so there is nothing to measure; the logs are in {state.logs}.")
            times = measure(state, result)
            days = (end - start).days
            console.print(table(f"{name}: {days:,} landing dates", times))
            runs[name] = {
                "landing_dates": days,
                "seconds": totals(times).total,
                "tasks": [asdict(time) for time in times],
            }
            start, end = end, end + timedelta(days=1)
            if name == "full run":
                deliver_again(state.landing, deliver_after)
    finally:
        down(state)
    reset(state)
    return {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "runs": runs}


MEASURED_PACKAGES = ("apache-airflow", "apache-airflow-providers-databricks", "duckdb", "great-expectations", "pyspark")


def machine() -> dict[str, Any]:
    """What the numbers depend on. `loop_seconds` tells how fast a core was when they were taken: machines of one name
    differ by more than what one would measure.
    """
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "loop_seconds": _loop_seconds(),
        "memory_gb": round(psutil.virtual_memory().total / 1024**3),
        "os": platform.system(),
        "versions": {"python": platform.python_version(), "delta-spark": PACKAGE.rpartition(":")[2], **_versions()},
    }


def _cpu() -> str:
    """The model's name, where Linux tells it."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")), "")


def _loop_seconds() -> float:
    """Seconds for ten million rounds of a plain loop, in one process of this Python; the best of three."""
    loop = "x = 0\nfor number in range(10_000_000): x += number * number % 7"
    return round(min(timeit.repeat(loop, number=1, repeat=3)), 2)


def _versions() -> dict[str, str]:
    """Of the packages whose work is measured, as they are pinned."""
    pinned = (REPO / "requirements-dev.txt").read_text(encoding="utf-8")
    lines = (line.split()[0].partition("==") for line in pinned.splitlines() if line[:1].isalpha())
    return {name: version for name, _, version in lines if name in MEASURED_PACKAGES}


def main() -> int:
    state = State.from_environment()
    if scales := [scale for scale in os.environ.get("SCALES", "").replace(" ", "").split(",") if scale]:
        return _bench_scales(state, scales)
    print(f"Written to {write(bench(state, _source())).relative_to(REPO)}.")
    return 0


def write(results: dict[str, Any]) -> Path:
    """The file of these results."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"results-{results['measured_at'][:19].replace(':', '')}.json"
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return path


def _source() -> Path:
    data = source_from_environment()
    if data is None:
        if not USUAL_SOURCE.exists():
            raise Problem("say make bench DATA=path/to/DataCoSupplyChainDataset.csv (the README says where it is from)")
        data = check_source(USUAL_SOURCE)
    return data


def _bench_scales(state: State, scales: list[str]) -> int:
    """Writes results and plot as soon as there are any, since the whole may take hours; the exit code.

    What needs the development environment is imported here alone.
    """
    from benchmarks.plot import plot
    from benchmarks.scales import bench_scales

    days = os.environ.get("DAYS") or USUAL_DAYS
    if not days.isascii() or not days.isdigit() or int(days) < 1:
        raise Problem(f"DAYS={days} is not a number of days.")
    failed = False
    for results in bench_scales(state, scales, int(days), os.environ.get("SEED") or "7"):
        path = write(results)
        plot(results, RESULTS / "benchmark.svg")
        print(f"Written to {path.relative_to(REPO)}.")
        failed = any("failed" in found for found in results["scales"].values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
