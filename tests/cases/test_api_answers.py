"""Answers of the API that are none, and refusals: they are asked again, and no healthy job run ends because of them.

Case -> what is answered in the place of the API, and what the last message says where it never ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.databricks.exceptions import DatabricksApiError
from airflow.providers.databricks.hooks.databricks import RunState
from airflow.sdk.exceptions import TaskDeferred

from include.failures import FileMissing, FileUnreadable, JobUnknown, NoAnswer, RunOutOfSight
from include.operators import JobRunOperator
from include.settings import Settings, load
from include.triggers import JobRunTrigger
from include.workspace import Workspace
from tests.dags.tiny_workspace import LANDING, OPS, PAGE, SIGN_IN, TinyWorkspace

Answer = tuple[int, Any, str, dict[str, str]]
JSON = "application/json"
NO_ANSWERS: dict[str, tuple[Answer, str]] = {
    "a page": ((200, PAGE, "text/html", {}), "a page, not JSON: is a proxy or a sign-in in between"),
    "a page that claims to be JSON": ((200, PAGE, JSON, {}), "a page, not JSON"),
    "an empty body": ((200, b"", JSON, {}), "an empty body, not JSON|JSON of another shape: None"),
    "JSON that is cut off": ((200, b'{"state": {"life_cyc', JSON, {}), r"not JSON \("),
    "another object": ((200, {"message": "hello"}, JSON, {}), "JSON of another shape"),
    "a state of another shape": ((200, {"state": "RUNNING!"}, JSON, {}), "JSON of another shape"),
    "a list": ((200, [1], JSON, {}), "JSON of another shape"),
    "a redirect to a page": ((302, b"", JSON, {"Location": SIGN_IN}), "a page, not JSON"),
    "a redirect to itself": ((302, b"", JSON, {"Location": "#"}), "redirects without end"),
}
OF_A_GATEWAY: dict[str, tuple[Answer, str]] = {
    "404 with a page": ((404, PAGE, "text/html", {}), "answered 404: a page, not JSON: is a proxy"),
    "403 with a page": ((403, PAGE, "text/html", {}), "answered 403: a page, not JSON: is a proxy"),
    # As in github.com/databricks/databricks-sdk-py/pull/741.
    "403 with a line of text": (
        (403, b"INVALID_STATE: no endpoint", "text/plain", {}),
        "answered 403: (not JSON|a page)",
    ),
    "400 with nothing": ((400, b"", "text/plain", {}), "answered 400: (an empty body|a page)"),
    "407 of a proxy": ((407, PAGE, "text/html", {}), "answered 407: a page"),
}
REFUSALS: dict[str, tuple[Answer, str]] = {
    "401": ((401, {"error_code": "UNAUTHENTICATED"}, JSON, {}), "the workspace refuses the token"),
    "403": ((403, {"error_code": "PERMISSION_DENIED"}, JSON, {}), "the token may not do this"),
    "404": ((404, {"error_code": "NOT_FOUND"}, JSON, {}), "the workspace knows no such thing"),
}
ALL = NO_ANSWERS | OF_A_GATEWAY | REFUSALS


def spoil(workspace: TinyWorkspace, path: str, answer: Answer, times: float = float("inf"), after: int = 0) -> None:
    """Replace the answers to a path by this one, `times` times, after the first `after` good ones."""
    asked = 0

    def spoilt(_: str, requested: str) -> Answer | None:
        nonlocal asked
        if not requested.endswith(path):
            return None
        asked += 1
        status, content, kind, headers = answer
        if headers.get("Location") == "#":
            headers = {"Location": requested}
        return (status, content, kind, headers) if after < asked <= after + times else None

    workspace.spoil = spoilt


def settings(wait_in_task: int, patience: int) -> Settings:
    return load(
        {
            "LAKEHOUSE_WAIT_IN_TASK": str(wait_in_task),
            "LAKEHOUSE_POLL_PATIENCE": str(patience),
            "LAKEHOUSE_POLL_SECONDS": "0.1",
            "LAKEHOUSE_API_RETRIES": "1",
        }
    )


def build(settings: Settings) -> JobRunOperator:
    return JobRunOperator(task_id="build", job="bronze_build", with_interval=True, settings=settings)


def run_in_task(context: dict[str, Any], patience: int) -> None:
    build(settings(30, patience)).execute(context)


def run_deferred(context: dict[str, Any], patience: int) -> None:
    operator = build(settings(0, patience))
    with pytest.raises(TaskDeferred) as wait:
        operator.execute(context)

    trigger = wait.value.trigger
    assert isinstance(trigger, JobRunTrigger)
    trigger.settle_seconds = 0

    async def event() -> Any:
        return (await anext(trigger.run())).payload

    operator.resume_execution(wait.value.method_name, {"event": asyncio.run(event())}, context)


WAYS: list[Any] = [pytest.param(run_in_task, id="in the task"), pytest.param(run_deferred, id="deferred")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ALL)
def test_a_bad_answer_to_polls_is_asked_again(
    name: str, way: Callable[..., None], workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = 0.3
    spoil(workspace, "/runs/get", ALL[name][0], times=4, after=1)
    way(context, patience=30)
    assert list(workspace.runs) == [1000]
    assert workspace.cancelled == []


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *((name, run_in_task) for name in ALL),
        *((name, run_deferred) for name in ("a page", "a list", "404", "404 with a page")),
    ],
)
def test_bad_answers_without_end_end_the_wait_with_the_reason_and_leave_the_job_run_alone(
    name: str, way: Callable[..., None], workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = None
    spoil(workspace, "/runs/get", ALL[name][0], after=1)
    with pytest.raises(RunOutOfSight, match=ALL[name][1]):
        way(context, patience=1)
    assert workspace.cancelled == []
    # The retry waits for the same job run.
    workspace.spoil = lambda *_: None
    workspace.duration = 0.1
    context["ti"].id, context["ti"].try_number = "ti-2", 2
    run_in_task(context, patience=30)
    assert list(workspace.runs) == [1000]
    assert workspace.cancelled == []


def test_a_clear_starts_a_new_job_run_after_one_that_was_out_of_sight(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = None
    spoil(workspace, "/runs/get", REFUSALS["403"][0])
    with pytest.raises(RunOutOfSight):
        run_in_task(context, patience=1)
    workspace.spoil = lambda *_: None
    workspace.duration = 0.1
    context["ti"].id, context["ti"].try_number, context["ti"].max_tries = "ti-2", 2, 3
    workspace.runs[1000]["started"] += 60
    run_in_task(context, patience=30)
    assert list(workspace.runs) == [1000, 1001]
    assert workspace.cancelled == [1000]


def test_a_job_run_that_only_seems_to_be_gone_is_found_by_its_token(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = None
    spoil(workspace, "/runs/get", REFUSALS["404"][0])
    with pytest.raises(RunOutOfSight):
        run_in_task(context, patience=1)
    spoil(workspace, "/runs/get", REFUSALS["404"][0], times=1)
    workspace.duration = 0.1
    context["ti"].id, context["ti"].try_number = "ti-2", 2
    run_in_task(context, patience=30)
    assert list(workspace.runs) == [1000], "a second job run beside the one that goes on"


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_is_replaced_during_the_wait_is_taken_up(
    way: Callable[..., None], workspace: TinyWorkspace, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in github.com/apache/airflow/issues/34968, for another provider."""
    workspace.duration = 1.0

    def rotate(_: str, path: str) -> None:
        if path.endswith("/runs/get") and workspace.token != "new":
            workspace.token = "new"
            monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_DEFAULT", workspace.connection)

    workspace.spoil = rotate
    way(context, patience=3)
    assert workspace.token == "new"
    assert list(workspace.runs) == [1000]
    assert workspace.cancelled == []


@pytest.mark.parametrize("way", WAYS)
def test_the_answer_about_another_job_run_is_none(
    way: Callable[..., None], workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    """A cache in between tells polls apart by their address, which all job runs share."""
    workspace.duration = 0.3
    ended = {"run_id": 999, "state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED"}}
    spoil(workspace, "/runs/get", (200, ended, JSON, {}), times=2)
    way(context, patience=30)
    assert workspace.cancelled == []


RETRIED = {"LAKEHOUSE_API_RETRIES": "2", "LAKEHOUSE_API_RETRY_DELAY": "0", "LAKEHOUSE_POLL_SECONDS": "0.1"}


@pytest.mark.parametrize("name", [name for name in ALL if name != "a state of another shape"])
def test_the_start_of_a_job_run_is_asked_again(name: str, workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = 0.1
    spoil(workspace, "/run-now", ALL[name][0], times=1)
    build(load(RETRIED)).execute(context)
    assert list(workspace.runs) == [1000]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        *(
            (name, FileUnreadable)
            for name in ("a page", "an empty body", "JSON that is cut off", "a redirect to a page")
        ),
        *((name, FileUnreadable) for name in OF_A_GATEWAY),
        *((name, DatabricksApiError) for name in ("401", "403")),
        ("404", FileMissing),
    ],
)
def test_a_file_is_asked_for_again(name: str, error: type[Exception], workspace: TinyWorkspace) -> None:
    workspace.write(f"{OPS}/verdict.json", {"success": True})
    answer, words = ALL[name]
    spoil(workspace, "/verdict.json", answer, times=1)
    assert Workspace(load(RETRIED)).read_json(f"{OPS}/verdict.json") == {"success": True}
    spoil(workspace, "/verdict.json", answer)
    with pytest.raises(error, match="There is no file" if error is FileMissing else words):
        Workspace(load(RETRIED)).read_json(f"{OPS}/verdict.json")


def test_a_page_of_another_shape_is_no_empty_folder(workspace: TinyWorkspace) -> None:
    spoil(workspace, LANDING, NO_ANSWERS["another object"][0], times=1)
    assert Workspace(load(RETRIED)).entries(LANDING)
    workspace.folders[LANDING] = []
    assert not Workspace(load(RETRIED)).entries(LANDING)


@pytest.mark.parametrize("asked", ["/runs/get", "/runs/cancel"])
@pytest.mark.parametrize("name", ["a page", "404 with a page", "401", "403", "404"])
def test_a_cancel_that_gets_no_answer_is_asked_for_again(
    name: str, asked: str, workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = None
    operator = build(load(RETRIED | {"LAKEHOUSE_WAIT_IN_TASK": "0"}))
    with pytest.raises(TaskDeferred) as wait:
        operator.execute(context)
    spoil(workspace, asked, ALL[name][0], times=1)
    operator.on_kill()
    assert workspace.cancelled == [1000]
    if asked == "/runs/cancel":
        spoil(workspace, asked, ALL[name][0], times=1)
        asyncio.run(wait.value.trigger.on_kill())
        assert workspace.cancelled == [1000, 1000]


def test_no_jobs_in_a_page_is_not_taken_for_a_missing_job(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    spoil(workspace, "/jobs/list", NO_ANSWERS["another object"][0])
    with pytest.raises(NoAnswer, match="jobs/list answered with JSON of another shape"):
        run_in_task(context, patience=1)


def test_a_job_is_looked_for_on_all_pages(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    """As in github.com/open-metadata/OpenMetadata/pull/33204: version 2.2 has no `has_more`, and leaves out what is
    empty."""
    spoil(workspace, "/jobs/list", (200, {"next_page_token": "2"}, JSON, {}), times=1)
    workspace.duration = 0.1
    run_in_task(context, patience=30)
    assert list(workspace.runs) == [1000]


def test_an_empty_list_of_jobs_is_an_answer(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    """As above: the job is unknown, and asking again would not change that."""
    workspace.jobs.clear()
    with pytest.raises(JobUnknown, match="no job named 'bronze_build'"):
        run_in_task(context, patience=30)


def test_an_unknown_life_cycle_state_does_not_end_the_wait(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = 0.3
    assert "SUSPENDED" not in RunState.RUN_LIFE_CYCLE_STATES
    spoil(workspace, "/runs/get", (200, {"state": {"life_cycle_state": "SUSPENDED"}}, JSON, {}), times=3)
    run_in_task(context, patience=30)
    assert workspace.cancelled == []
