"""Follow an Airflow run to its end, task by task, on the screen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from laptop.airflow_client import FINAL_RUN_STATES, AirflowClient
from laptop.waiting import ACTIVE, waiting_reason
from machine.command_line import UserError
from machine.http_client import HttpError

POLL_SECONDS = 1.0
IDLE_SECONDS = 5.0
"""So long no task may be under way before the reason is asked for."""
NO_ANSWER_SECONDS = 600.0
"""Its API server may be killed, and takes minutes to start on a machine that is very busy."""
# Airflow's states in plain words, each with its style.
STATE_LABELS = {
    None: ("waiting", "dim"),
    "scheduled": ("waiting", "dim"),
    "queued": ("queued", "yellow"),
    "running": ("running", "cyan"),
    "deferred": ("job running", "cyan"),
    "awaiting_input": ("waits for a decision", "yellow"),
    "success": ("done", "green"),
    "failed": ("FAILED", "bold red"),
    "upstream_failed": ("not run", "red"),
    "up_for_retry": ("will be retried", "yellow"),
    "up_for_reschedule": ("waiting for files", "yellow"),
    "skipped": ("skipped", "dim"),
}


@dataclass(frozen=True)
class TaskProgress:
    """The present state of one task of a run."""

    task_id: str
    state: str | None
    try_number: int
    started: datetime | None
    ended: datetime | None

    def seconds(self, now: datetime) -> float | None:
        """Return the seconds from its start to its end, or to `now`; None for a task that has not run."""
        if self.started is None or self.state == "upstream_failed":
            return None
        return max(0.0, ((self.ended or now) - self.started).total_seconds())


@dataclass(frozen=True)
class RunResult:
    """A run that has ended."""

    dag_id: str
    run_id: str
    state: str
    tasks: list[TaskProgress]
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether every task succeeded: unlike in Airflow, a run without tasks, or with skipped ones, has not."""
        return self.state == "success" and bool(self.tasks) and all(task.state == "success" for task in self.tasks)


class Screen(Protocol):
    """Where the progress of a run is shown."""

    def show(self, tasks: list[TaskProgress], now: datetime) -> None: ...

    def say(self, sentence: str) -> None: ...


def follow(
    client: AirflowClient,
    dag_id: str,
    run_id: str,
    screen: Screen,
    timeout: float = 4 * 3600,
    news: Callable[[], Iterable[str]] = tuple,
) -> RunResult:
    """Show a run's progress, and the `news` about the services, until it has ended. Raises UserError.

    That is after `timeout` seconds, or where Airflow does not answer for longer than a restart takes.
    """
    order: list[str] = []
    begun = answered = busy = time.monotonic()
    reason: str | None = None
    while True:
        for sentence in news():
            screen.say(sentence)
        try:
            order = order or [str(task["task_id"]) for task in client.tasks(dag_id)]
            run = client.run(dag_id, run_id)
            instances = client.task_instances(dag_id, run_id)
            tasks = progress(instances, order)
            answered = time.monotonic()
            if any(task.state in ACTIVE for task in tasks):
                busy, reason = answered, None
            elif answered - busy > IDLE_SECONDS:
                busy, shown, reason = answered, reason, waiting_reason(client, run, instances)
                if reason and reason != shown:
                    screen.say(f"Waiting: {reason}.")
        except HttpError:
            if time.monotonic() - answered > NO_ANSWER_SECONDS:
                raise
            time.sleep(POLL_SECONDS)
            continue
        screen.show(tasks, datetime.now(UTC))
        if run["state"] in FINAL_RUN_STATES:
            return RunResult(dag_id, run_id, run["state"], tasks, time.monotonic() - begun)
        if time.monotonic() - begun > timeout:
            raise UserError(
                f"the run {run_id} has not ended after {timeout / 3600:.0f} hours; "
                f"see {client.run_page(dag_id, run_id)}"
            )
        time.sleep(POLL_SECONDS)


def progress(instances: list[dict[str, Any]], order: list[str]) -> list[TaskProgress]:
    """Return the task instances of a run in the DAG's order."""
    place = {task_id: number for number, task_id in enumerate(order)}
    tasks = [
        TaskProgress(
            str(instance["task_id"]),
            instance["state"],
            int(instance["try_number"]),
            _moment(instance["start_date"]),
            _moment(instance["end_date"]),
        )
        for instance in instances
    ]
    return sorted(tasks, key=lambda task: (place.get(task.task_id, len(place)), task.task_id))


@contextmanager
def screen(title: str) -> Iterator[Screen]:
    """Show a table that changes in place on a terminal; elsewhere one line per change."""
    if not sys.stdout.isatty():
        yield _Lines()
        return
    with Live(console=Console(), refresh_per_second=4) as live:
        yield _Table(title, live)


class _Table:
    def __init__(self, title: str, live: Live) -> None:
        self._title, self._live, self._begun = title, live, datetime.now(UTC)

    def show(self, tasks: list[TaskProgress], now: datetime) -> None:
        minutes, seconds = divmod(int((now - self._begun).total_seconds()), 60)
        table = Table(title=f"{self._title}   {minutes}:{seconds:02}", title_justify="left", box=None, padding=(0, 2))
        table.add_column("task")
        table.add_column("state")
        table.add_column("time", justify="right")
        for task in tasks:
            label, style = STATE_LABELS.get(task.state, (str(task.state), ""))
            retry = f" (try {task.try_number})" if task.try_number > 1 else ""
            taken = task.seconds(now)
            clock = "" if taken is None else f"{taken:.0f} s"
            table.add_row(task.task_id, Text(label + retry, style=style), clock)
        self._live.update(table)

    def say(self, sentence: str) -> None:
        self._live.console.print(Text(sentence, style="yellow"))


class _Lines:
    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int]] = {}

    def show(self, tasks: list[TaskProgress], now: datetime) -> None:
        for task in tasks:
            label, _ = STATE_LABELS.get(task.state, (str(task.state), ""))
            if label == "waiting" or self._seen.get(task.task_id) == (label, task.try_number):
                continue
            self._seen[task.task_id] = (label, task.try_number)
            retry = f" (try {task.try_number})" if task.try_number > 1 else ""
            taken = task.seconds(now) if task.ended else None
            clock = "" if taken is None else f"  {taken:.0f} s"
            print(f"  {now:%H:%M:%S}  {task.task_id:24}{label}{retry}{clock}", flush=True)

    def say(self, sentence: str) -> None:
        print(f"  {sentence}", flush=True)


def failure_reasons(client: AirflowClient, result: RunResult, max_lines: int = 25) -> list[str]:
    """Return for each failed task its name, and the lines of its log that give the reason."""
    lines: list[str] = []
    for task in result.tasks:
        if task.state != "failed":
            continue
        lines.append(f"{task.task_id} failed (try {task.try_number}):")
        try:
            events = client.log(result.dag_id, result.run_id, task.task_id, max(1, task.try_number))
        except HttpError as error:
            lines.append(f"  its log cannot be read: {error}")
            continue
        found = error_lines(events)
        lines += [f"  {line}" for line in found[:max_lines]] or ["  its log has no error in it"]
        if len(found) > max_lines:
            page = client.run_page(result.dag_id, result.run_id)
            lines.append(f"  and {len(found) - max_lines} more lines, in its log: {page}")
    if not lines and not result.succeeded:
        lines = [f"the run is {result.state}, but not every task has run: " + _states(result.tasks)]
    return lines


def error_lines(events: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a log that give the reason of a failure: its exceptions, or else what it logged as errors."""
    raised: list[str] = []
    logged: list[str] = []
    for event in events:
        if event.get("level") not in ("error", "critical"):
            continue
        logged += [line for line in str(event.get("event", "")).splitlines() if line.strip()]
        for detail in event.get("error_detail") or []:
            raised += f"{detail.get('exc_type')}: {detail.get('exc_value')}".splitlines()
    return list(dict.fromkeys(raised or logged))


def _states(tasks: list[TaskProgress]) -> str:
    return ", ".join(f"{task.task_id} {task.state}" for task in tasks) or "it has no tasks"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
