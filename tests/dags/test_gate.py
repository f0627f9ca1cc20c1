"""The gate: what it allows, what it forbids for good, and which verdicts it reads again on a retry."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.failures import BuildMissing, FileUnreadable, VerdictMissing, VerdictUnusable
from include.gate import AuditGate
from include.links import DATA_DOCS_URL, VERDICT_URL
from include.settings import load
from include.verdict_file import lines
from tests.dags.tiny_workspace import OPS, TOKEN, TinyWorkspace, good_verdict

INTERVAL = {"interval_start": "2018-01-01T00:00:00+00:00", "interval_end": "2018-01-08T00:00:00+00:00"}
PATH = f"{OPS}/verdicts/bronze/123.json"
FAILURE = {
    "table": "landed_files",
    "rule": "landed_is_valid_and_quarantined",
    "severity": "critical",
    "landing_date": "2018-01-03",
    "message": "landed_files: Every landed line is kept. Broken by 2 rows on 2018-01-03, such as landed 10, valid 9",
    "bad_rows": 2,
    "samples": ["landed 10, valid 9"],
}


def run_gate(
    workspace: TinyWorkspace, context: dict[str, Any], content: Any = None, run_id: str = "123", **changed: Any
) -> dict[str, str]:
    """Return the gate's result for a verdict."""
    if content is None:
        content = {**good_verdict("bronze", 123, INTERVAL), **changed}
    workspace.write(PATH, content)
    settings = load({"LAKEHOUSE_API_RETRIES": "1"})
    gate = AuditGate(task_id="gate", layer="bronze", build_job_run_id=run_id, settings=settings)
    return gate.execute(context)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Capture the gate's log; an operator's own logger bypasses the standard library."""
    monkeypatch.setattr(AuditGate, "log", logging.getLogger("gate"))
    caplog.set_level(logging.INFO, "gate")
    return caplog


def test_a_verdict_that_allows_publication_passes_the_build_on(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    answer = run_gate(workspace, context)
    assert answer == {"build_job_run_id": "123", "build_id": "123_0", "fingerprint": f"{123:064x}"}
    pushed = context["ti"].xcom
    base = f"http://127.0.0.1:{workspace.port}/explore/data/volumes/spark_catalog/ops/files"
    assert pushed[VERDICT_URL] == f"{base}/verdicts/bronze/123.json"
    assert pushed[DATA_DOCS_URL] == f"{base}/data_docs/bronze/123_0/index.html"
    assert pushed["verdict"]["statistics"]["evaluated"] == 57
    assert TOKEN not in str(pushed)


def test_a_warning_is_logged_and_does_not_forbid(
    workspace: TinyWorkspace, context: dict[str, Any], log: pytest.LogCaptureFixture
) -> None:
    statistics = {"evaluated": 1057, "successful": 1055, "failed": 0, "warnings": 2}
    answer = run_gate(workspace, context, statistics=statistics, warnings=[{**FAILURE, "severity": "warning"}])
    assert answer["build_id"] == "123_0"
    assert "Broken by 2 rows" in context["ti"].xcom["verdict"]["warnings"][0]
    assert "Warning: 2018-01-03: landed_is_valid_and_quarantined: landed_files: Every landed line is kept." in log.text


def test_the_log_shows_the_verdict(
    workspace: TinyWorkspace, context: dict[str, Any], log: pytest.LogCaptureFixture
) -> None:
    run_gate(workspace, context, notes=["a date is missing"])
    assert "build 123_0: publish. 57 of 57 rules hold, 0 failed, 0 warnings." in log.text
    for words in ("Rows: {'landed': 10", "Note: a date is missing", "Data Docs: http"):
        assert words in log.text
    log.clear()
    run_gate(workspace, context, notes=None, rows=None, data_docs=None)
    for words in ("Rows", "Note", "Data Docs"):
        assert words not in log.text
    assert context["ti"].xcom["verdict"]["notes"] == []
    log.clear()
    with pytest.raises(AirflowFailException):
        run_gate(workspace, context, success=False, failures=[FAILURE])
    assert "build 123_0: do not publish" in log.text
    assert "2018-01-03: landed_is_valid_and_quarantined" in log.text


def test_a_job_run_id_may_be_a_number(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    assert run_gate(workspace, context, job_run_id=123)["build_id"] == "123_0"


def test_a_broken_rule_fails_for_good_with_its_name_and_date(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    statistics = {"evaluated": 57, "successful": 56, "failed": 1, "warnings": 0}
    with pytest.raises(AirflowFailException) as refused:
        run_gate(workspace, context, success=False, statistics=statistics, failures=[FAILURE])
    for words in (
        "1 of 57 rules failed",
        "2018-01-03",
        "landed_is_valid_and_quarantined",
        "landed_files",
        "landed 10, valid 9",
    ):
        assert words in str(refused.value)
    assert "lists no failed rule" not in str(refused.value)
    assert context["ti"].xcom[DATA_DOCS_URL]


def test_a_verdict_without_success_forbids_even_without_failures(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    with pytest.raises(AirflowFailException, match="lists no failed rule"):
        run_gate(workspace, context, success=False)


@pytest.mark.parametrize(
    ("evaluated", "successful", "failed", "reason"),
    [
        (0, 0, 0, "no rule was evaluated"),
        (57, 56, 1, "1 rule failed"),
        (57, 57, 2, "2 rules failed"),
        (57, 55, 0, "not every evaluated rule is accounted for"),
        (57, 50, 2, "2 rules failed and not every evaluated rule is accounted for"),
    ],
)
def test_a_verdict_that_contradicts_itself_forbids(
    workspace: TinyWorkspace, context: dict[str, Any], evaluated: int, successful: int, failed: int, reason: str
) -> None:
    statistics = {"evaluated": evaluated, "successful": successful, "failed": failed, "warnings": 1}
    with pytest.raises(AirflowFailException, match=f"allows publication, but {reason}"):
        run_gate(workspace, context, statistics=statistics)


def test_success_with_failures_forbids(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match="allows publication, but 1 rule failed"):
        run_gate(workspace, context, failures=[FAILURE])


@pytest.mark.parametrize(
    "changed",
    [
        {"layer": "silver"},
        {"job_run_id": "124"},
        {"job_run_id": "122"},
        {"job_run_id": None},
        {"interval_start": "2018-01-02"},
        {"interval_start": "2017-12-31"},
        {"interval_end": "2018-01-09"},
        {"success": "true"},
        {"success": None},
        {"statistics": {}},
        {"statistics": {"evaluated": True, "successful": 1, "failed": 0, "warnings": 0}},
        {"statistics": {"evaluated": 57, "successful": 57, "failed": 0, "warnings": -1}},
        {"statistics": {"evaluated": 57.0, "successful": 57, "failed": 0, "warnings": 0}},
        {"fingerprint": ""},
        {"fingerprint": "f" * 63},
        {"build_id": ""},
        {"failures": None},
        {"failures": ["something"]},
        {"warnings": ["something"]},
    ],
    ids=str,
)
def test_a_verdict_of_another_build_or_shape_is_retried(
    workspace: TinyWorkspace, context: dict[str, Any], changed: dict[str, Any]
) -> None:
    with pytest.raises(VerdictUnusable, match=r"bronze/123\.json"):
        run_gate(workspace, context, **changed)
    assert not issubclass(VerdictUnusable, AirflowFailException)


@pytest.mark.parametrize("content", [b"{half", b"\xff\xfe\x00", b""], ids=["cut off", "not text", "empty"])
def test_an_unreadable_verdict_is_retried(workspace: TinyWorkspace, context: dict[str, Any], content: bytes) -> None:
    with pytest.raises(FileUnreadable, match="not readable as JSON"):
        run_gate(workspace, context, content)


@pytest.mark.parametrize("content", [b"[1]", b'"yes"', b"true"])
def test_json_that_is_no_object_is_retried(workspace: TinyWorkspace, context: dict[str, Any], content: bytes) -> None:
    with pytest.raises(VerdictUnusable, match="is not an object"):
        run_gate(workspace, context, content)


def test_a_missing_verdict_fails_for_good_and_names_what_to_clear(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    with pytest.raises(VerdictMissing, match=r"Job run 125 left no verdict on bronze.*Clear the task bronze\.build"):
        run_gate(workspace, context, run_id="125")


def test_a_build_without_job_run_fails_for_good(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    with pytest.raises(BuildMissing, match=r"Clear the task bronze\.build"):
        run_gate(workspace, context, run_id="None")


@pytest.mark.parametrize("path", ["../../secrets", "/etc/passwd", "https://elsewhere/x", "", 7])
def test_data_docs_outside_the_volume_are_not_linked(
    workspace: TinyWorkspace, context: dict[str, Any], path: Any
) -> None:
    run_gate(workspace, context, data_docs=path)
    assert DATA_DOCS_URL not in context["ti"].xcom


def test_many_failures_are_cut_short() -> None:
    shown = lines([FAILURE] * 45)
    assert len(shown) == 21
    assert shown[-1] == "and 25 more: see Data Docs"
    assert len(lines([FAILURE] * 20)) == 20
    assert len(lines([FAILURE] * 19)) == 19


def test_a_failure_is_one_line() -> None:
    assert lines([FAILURE]) == [f"2018-01-03: landed_is_valid_and_quarantined: {FAILURE['message']}"]
    assert lines([{"rule": "r", "message": "m"}]) == ["all dates: r: m"]
