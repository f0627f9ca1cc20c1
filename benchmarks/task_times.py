"""Where the seconds of an Airflow run go.

Each Airflow task's time is split into: waiting (from the end of the task before it to its own start, Airflow's
scheduling), the job's queue, the start of its processes, the work in them (Spark's, and for the audit GX's), and the
rest (the task's own process, deferring, and polling). A gate has no job: its time is its own work.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from laptop.airflow_client import AirflowClient
from laptop.follow import RunResult
from laptop.laptop_state import LaptopState
from laptop.services import workspace_client


@dataclass(frozen=True)
class TaskTimes:
    """Seconds of one Airflow task, or of one task of its job, by what they were spent on."""

    task: str
    total: float
    waiting: float = 0.0
    queue: float = 0.0
    start: float = 0.0
    work: float = 0.0
    rest: float = 0.0


def measure(state: LaptopState, result: RunResult) -> list[TaskTimes]:
    """Return the times of a finished run, from Airflow's task instances and the workspace's job runs."""
    airflow, workspace = AirflowClient(state), workspace_client(state)
    times: list[TaskTimes] = []
    run = airflow.run(result.dag_id, result.run_id)
    previous_end = datetime.fromisoformat(run["queued_at"])
    for task in result.tasks:
        if task.started is None or task.ended is None:
            continue
        total = (task.ended - previous_end).total_seconds()
        waiting = max(0.0, (task.started - previous_end).total_seconds())
        previous_end = task.ended
        run_id = airflow.xcom(result.dag_id, result.run_id, task.task_id, "run_id")
        job_tasks = workspace.call("GET", f"/api/2.2/jobs/runs/get?run_id={run_id}")["tasks"] if run_id else []
        parts = job_task_times(job_tasks)
        queue, start, work = (sum(getattr(part, name) for part in parts) for name in ("queue", "start", "work"))
        if not parts:
            work = total - waiting
        rest = max(0.0, total - waiting - queue - start - work)
        times += [TaskTimes(task.task_id, total, waiting, queue, start, work, rest), *(parts if len(parts) > 1 else [])]
    return times


def job_task_times(tasks: list[dict[str, Any]]) -> list[TaskTimes]:
    """Return the times of a job run's tasks, which run one after the other; the API gives milliseconds.

    In the API a task's queue counts from the start of the run: what the tasks before it took is subtracted.
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


@dataclass(frozen=True)
class Waits:
    """Seconds in which nothing is done but waiting, of each task of an Airflow run."""

    task_ends: list[float]
    """From the end of a job run to the end of its Airflow task."""
    next_task_starts: list[float]
    """From the end of an Airflow task to the start of the next one."""
    first_job_task_starts: list[float]
    """From the start of a job run to the call of its first task's entry point."""
    second_job_task_starts: list[float]
    """From the end of a job's first task to the call of its second task's entry point."""


def waits(state: LaptopState, result: RunResult) -> Waits:
    """Measure the waits of a finished run."""
    airflow, workspace = AirflowClient(state), workspace_client(state)
    found = Waits([], [], [], [])
    previous_end: datetime | None = None
    for task in result.tasks:
        if task.started is None or task.ended is None:
            continue
        if previous_end:
            found.next_task_starts.append((task.started - previous_end).total_seconds())
        previous_end = task.ended
        if run_id := airflow.xcom(result.dag_id, result.run_id, task.task_id, "run_id"):
            run = workspace.call("GET", f"/api/2.2/jobs/runs/get?run_id={run_id}")
            add_job_waits(found, run, task.ended.timestamp() * 1000)
    return found


def add_job_waits(waits: Waits, run: dict[str, Any], task_ended_ms: float) -> None:
    """Add those of one job run, as the API gives it: moments and durations in milliseconds."""
    waits.task_ends.append(max(0.0, task_ended_ms - run["end_time"]) / 1000)
    before = run["start_time"]
    for task, found in zip(run["tasks"], (waits.first_job_task_starts, waits.second_job_task_starts), strict=False):
        entered = task["end_time"] - task["execution_duration"]
        found.append(max(0, entered - before) / 1000)
        before = task["end_time"]


def total(times: list[TaskTimes]) -> TaskTimes:
    """Return the sums over the Airflow tasks, which include the tasks of their jobs."""
    tasks = [time for time in times if not time.task.startswith(" ")]
    fields = ("total", "waiting", "queue", "start", "work", "rest")
    return TaskTimes("all", **{field: sum(getattr(time, field) for time in tasks) for field in fields})


def table(title: str, times: list[TaskTimes]) -> Table:
    """Return the times and their total, for a terminal."""
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in ("task", "seconds", "waiting", "job queue", "process start", "work", "rest"):
        shown.add_column(column, justify="left" if column == "task" else "right")
    for time in [*times, total(times)]:
        numbers = (time.total, time.waiting, time.queue, time.start, time.work, time.rest)
        shown.add_row(time.task, *(f"{number:.1f}" for number in numbers), style="bold" if time.task == "all" else "")
    return shown
