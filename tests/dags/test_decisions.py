"""The gate and a person's word: when it asks, whom, what it makes of the answer, and of none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from airflow.sdk.exceptions import TaskAwaitingInput
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

from include.failures import JobFailed, JobRefused, PublicationForbidden
from include.gate import AuditGate
from include.settings import load
from tests.dags.tiny_workspace import OPS, TinyWorkspace, good_verdict

INTERVAL = {"interval_start": "2018-01-01T00:00:00+00:00", "interval_end": "2018-01-08T00:00:00+00:00"}
PATH = f"{OPS}/verdicts/bronze/123.json"
SHARE = {
    "table": "landed_files",
    "rule": "few_lines_are_quarantined",
    "severity": "critical",
    "landing_date": "2018-01-03",
    "message": "landed_files: At most the allowed share is in quarantine. Broken by 1 row on 2018-01-03",
    "bad_rows": 1,
    "samples": [],
    "may_be_overruled": True,
}
REJECTION = {
    **good_verdict("bronze", 123, INTERVAL),
    "success": False,
    "statistics": {"evaluated": 57, "successful": 56, "failed": 1, "warnings": 0},
    "failures": [SHARE],
    "may_be_overruled": True,
}
ALLOWED = {"build_job_run_id": "123", "build_id": "123_0", "fingerprint": f"{123:064x}"}


class Supervisor:
    """Airflow, as far as a task asks it to ask people."""

    def __init__(self) -> None:
        self.sent: list[CreateHITLDetailPayload] = []

    def send(self, msg: Any) -> None:
        if isinstance(msg, CreateHITLDetailPayload):
            self.sent.append(msg)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@pytest.fixture(autouse=True)
def task_id(context: dict[str, Any]) -> None:
    """Airflow gives each try of a task an id, under which it keeps the question."""
    context["ti"].id = UUID(int=1)


@pytest.fixture
def rejecting(workspace: TinyWorkspace) -> TinyWorkspace:
    workspace.write(PATH, REJECTION)
    workspace.duration = 0
    return workspace


def gate(**settings: str) -> AuditGate:
    quick = {"LAKEHOUSE_API_RETRIES": "1", "LAKEHOUSE_DECISION_WAIT": "7200", "LAKEHOUSE_DECIDERS": "ann, bob"}
    return AuditGate(task_id="gate", layer="bronze", build_job_run_id="123", settings=load(quick | settings))


def answer(chosen: str = "Publish anyway", **changes: Any) -> dict[str, Any]:
    """What Airflow resumes the task with."""
    return {
        "chosen_options": [chosen],
        "params_input": {"reason": "a known outage", "confirmed_incident": False},
        "responded_at": datetime(2018, 1, 8, 9, 30, tzinfo=UTC),
        "responded_by_user": {"id": "7", "name": "ann"},
        "timedout": False,
    } | changes


def test_by_default_a_gate_does_not_wait(
    rejecting: TinyWorkspace, context: dict[str, Any], supervisor: Supervisor
) -> None:
    with pytest.raises(PublicationForbidden, match="few_lines_are_quarantined"):
        gate(LAKEHOUSE_DECISION_WAIT="0").execute(context)
    assert not supervisor.sent


@pytest.mark.parametrize(
    "changed",
    [
        {"may_be_overruled": False},
        {"may_be_overruled": "yes"},
        {"may_be_overruled": None},
    ],
)
def test_what_nobody_may_overrule_is_not_asked(
    rejecting: TinyWorkspace, context: dict[str, Any], supervisor: Supervisor, changed: dict[str, Any]
) -> None:
    rejecting.write(PATH, REJECTION | changed)
    with pytest.raises(PublicationForbidden):
        gate().execute(context)
    assert not supervisor.sent


def test_a_gate_that_says_yes_asks_nobody(
    rejecting: TinyWorkspace, context: dict[str, Any], supervisor: Supervisor
) -> None:
    rejecting.write(PATH, good_verdict("bronze", 123, INTERVAL) | {"may_be_overruled": True})
    assert gate().execute(context) == ALLOWED
    assert not supervisor.sent


def test_a_question_names_numbers_pages_and_those_who_may_answer(
    rejecting: TinyWorkspace, context: dict[str, Any], supervisor: Supervisor
) -> None:
    with pytest.raises(TaskAwaitingInput) as waiting:
        gate().execute(context)
    assert (waiting.value.method_name, waiting.value.timeout) == ("answered", timedelta(hours=2))
    (question,) = supervisor.sent
    assert question.options == ["Publish anyway", "Reject"]
    assert [user.id for user in question.assigned_users or ()] == ["ann", "bob"]
    assert "bronze, landing dates 2018-01-01 to 2018-01-07" in question.subject
    assert question.body
    assert question.params
    for words in ("Broken by 1 row on 2018-01-03", f"{123:064x}", "[Verdict](http", "[Data Docs](http", "UTC"):
        assert words in question.body
    reason = question.params["reason"]
    assert reason["schema"]["minLength"] == 1
    assert not rejecting.runs, "nothing runs while a person thinks"


@pytest.mark.parametrize(("chosen", "decision"), [("Publish anyway", "publish"), ("Reject", "reject")])
def test_an_answer_is_recorded_by_the_job_and_decides(
    rejecting: TinyWorkspace, context: dict[str, Any], chosen: str, decision: str
) -> None:
    given = {"reason": " a known outage\n", "confirmed_incident": True}
    if decision == "publish":
        assert gate().answered(context, answer(chosen, params_input=given)) == ALLOWED
    else:
        with pytest.raises(PublicationForbidden, match="ann decided to reject: a known outage"):
            gate().answered(context, answer(chosen, params_input=given))
    (run,) = rejecting.runs.values()
    assert run["job"] == "decide"
    assert run["parameters"] == {
        "layer": "bronze",
        "build_id": "123_0",
        "fingerprint": f"{123:064x}",
        "decision": decision,
        "reason": "a known outage",
        "decided_by": "ann",
        "confirmed_incident": "true",
        "decided_at": "2018-01-08T09:30:00+00:00",
    }


@pytest.mark.parametrize("given", [{}, {"reason": " "}, {"reason": None}, None])
def test_an_answer_without_a_reason_is_refused(
    rejecting: TinyWorkspace, context: dict[str, Any], given: dict[str, Any] | None
) -> None:
    with pytest.raises(PublicationForbidden, match=r"ann decided about bronze .* without a reason"):
        gate().answered(context, answer(params_input=given))
    assert not rejecting.runs


def test_no_answer_in_time_rejects(rejecting: TinyWorkspace, context: dict[str, Any]) -> None:
    with pytest.raises(PublicationForbidden, match=r"Nobody decided about bronze \(build 123_0\) within 2:00:00"):
        gate().answered(context, {"error": "The timeout has passed.", "error_type": "timeout"})
    assert not rejecting.runs


def test_what_the_job_refuses_fails_for_good_and_is_asked_again_after_a_clear(
    rejecting: TinyWorkspace, context: dict[str, Any], supervisor: Supervisor
) -> None:
    rejecting.result = "FAILED"
    rejecting.error = "spark_jobs.runtime.errors.DecisionRefused: 'eve' may not decide about gates"
    with pytest.raises(JobRefused, match="'eve' may not decide about gates"):
        gate().answered(context, answer(responded_by_user={"id": "8", "name": "eve"}))
    with pytest.raises(TaskAwaitingInput):
        gate().execute(context)
    assert len(supervisor.sent) == 1


def test_an_answer_survives_the_retry_of_its_job(
    rejecting: TinyWorkspace, context: dict[str, Any], supervisor: Supervisor
) -> None:
    rejecting.result = "FAILED"
    with pytest.raises(JobFailed):
        gate().answered(context, answer())
    rejecting.result = "SUCCESS"
    context["ti"].id = UUID(int=2)
    assert gate().execute(context) == ALLOWED
    assert [run["parameters"] for run in rejecting.runs.values()] == [rejecting.runs[1000]["parameters"]] * 2
    assert not supervisor.sent, "nobody is asked twice"


@pytest.mark.parametrize("changed", [{"fingerprint": "5" * 64}, {"decision": 1}, {"text": None}])
def test_a_decision_about_another_build_counts_for_nothing(
    rejecting: TinyWorkspace, context: dict[str, Any], changed: dict[str, Any]
) -> None:
    decision = {"decision": "publish", "text": "ann decided", "fingerprint": f"{123:064x}"}
    rejecting.write(PATH, REJECTION | {"decision": decision})
    assert gate(LAKEHOUSE_DECISION_WAIT="0").execute(context) == ALLOWED
    rejecting.write(PATH, REJECTION | {"decision": decision | changed})
    with pytest.raises(PublicationForbidden):
        gate(LAKEHOUSE_DECISION_WAIT="0").execute(context)
    rejecting.write(PATH, REJECTION | {"decision": decision, "may_be_overruled": False})
    with pytest.raises(PublicationForbidden, match="ann decided"):
        gate().execute(context)
