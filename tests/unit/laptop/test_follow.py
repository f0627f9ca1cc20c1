"""The progress of a run on the screen, and the reasons of a failure."""

from datetime import UTC, datetime
from typing import Any

import pytest

from laptop.airflow_client import upstream_first
from laptop.follow import RunResult, TaskProgress, error_lines, progress, screen


def instance(task_id: str, state: str | None, start: str | None = None, end: str | None = None) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "state": state,
        "try_number": 1,
        "start_date": start,
        "end_date": end,
    }


def test_tasks_come_in_the_order_of_the_dag() -> None:
    downstream = {"gold": [], "bronze": ["silver", "gold"], "check": ["bronze"], "silver": ["gold"]}
    assert upstream_first(downstream) == ["check", "bronze", "silver", "gold"]
    tasks = progress([instance(name, None) for name in downstream], upstream_first(downstream))
    assert [task.task_id for task in tasks] == ["check", "bronze", "silver", "gold"]


def test_a_task_takes_from_its_start_to_its_end_or_to_now() -> None:
    now = datetime(2018, 1, 1, 0, 1, tzinfo=UTC)
    done = instance("a", "success", "2018-01-01T00:00:00Z", "2018-01-01T00:00:05Z")
    running, waiting = instance("b", "deferred", "2018-01-01T00:00:10Z"), instance("c", None)
    assert [task.seconds(now) for task in progress([done, running, waiting], ["a", "b", "c"])] == [5.0, 50.0, None]


@pytest.mark.parametrize(
    ("state", "tasks", "ok"),
    [
        ("success", ["success", "success"], True),
        ("success", [], False),  # Airflow calls a run without any task a success
        ("success", ["success", "skipped"], False),
        ("failed", ["success", "failed"], False),
    ],
)
def test_a_run_succeeded_only_if_every_task_did(state: str, tasks: list[str], ok: bool) -> None:
    done = [TaskProgress(f"t{number}", found, 1, None, None) for number, found in enumerate(tasks)]
    assert RunResult("d", "r", state, done, 1.0).succeeded is ok


def test_the_reason_is_the_exception_or_else_the_logged_error() -> None:
    info = {"event": "hello", "level": "info"}
    logged = {"event": "Failed: 2018-01-03: too many", "level": "error"}
    raised = {
        "event": "Task failed with exception",
        "level": "error",
        "error_detail": [{"exc_type": "AirflowFailException", "exc_value": "forbidden:\n  2018-01-03: too many"}],
    }
    assert error_lines([info, logged]) == ["Failed: 2018-01-03: too many"]
    assert error_lines([info, logged, raised]) == ["AirflowFailException: forbidden:", "  2018-01-03: too many"]


def test_off_a_terminal_each_change_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime(2018, 1, 1, 0, 1, tzinfo=UTC)
    waiting = progress([instance("a", None)], ["a"])
    running = progress([instance("a", "running", "2018-01-01T00:00:00Z")], ["a"])
    done = progress([instance("a", "success", "2018-01-01T00:00:00Z", "2018-01-01T00:00:07Z")], ["a"])
    with screen("a run") as lines:
        for tasks in (waiting, running, running, done, done):
            lines.show(tasks, now)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[2:] for line in shown] == [["running"], ["done", "7", "s"]]
