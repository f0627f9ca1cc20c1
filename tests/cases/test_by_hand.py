"""What a person does by hand in Airflow: `make run` names what a run waits for.

`make prove` does the rest with a real Airflow (tests/prove/airflow/test_by_hand.py).
"""

from __future__ import annotations

from typing import Any

import pytest

from laptop.waiting import waiting_reason
from machine.http_client import HttpError


class StubClient:
    """Answers of the API as texts of a test: path -> answer."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def get(self, path: str, **_: Any) -> Any:
        answer = next(answer for name, answer in self._answers.items() if name in path)
        if isinstance(answer, HttpError):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("state", "answers", "reason"),
    [
        (
            "running",
            {"tasks": {"pool": "p"}, "pools": HttpError(404, "no pool")},
            "which does not exist",
        ),
        ("queued", {"dagRuns": {"dag_runs": [{"dag_run_id": "a"}, {"dag_run_id": "b"}]}}, "2 other runs are under way"),
        ("queued", {"dagRuns": {"dag_runs": [{"dag_run_id": "a"}]}}, None),
        ("running", {"tasks": {"pool": "p"}, "pools": {"open_slots": 0, "slots": 3}}, "all 3 are taken by other tasks"),
        ("running", {"tasks": {"pool": "p"}, "pools": {"open_slots": 1, "slots": 3}}, None),
    ],
)
def test_queues_are_named(state: str, answers: dict[str, Any], reason: str | None) -> None:
    client: Any = StubClient(**answers, dags={"is_paused": False, "max_active_runs": 2})
    run = {"dag_id": "d", "state": state, "run_after": "2018-01-01T00:00:00Z", "logical_date": None}
    found = waiting_reason(client, run, [{"task_id": "t", "state": "scheduled"}])
    assert (reason in str(found)) if reason else found is None
