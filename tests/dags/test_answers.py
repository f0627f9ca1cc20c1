"""Answers that are none, and refusals of a poll: they are asked again, and no healthy job run ends because of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.databricks.hooks.databricks import RunState
from airflow.sdk.exceptions import TaskDeferred

from include.failures import FileUnreadable, NoAnswer, RunOutOfSight
from include.operators import JobRunOperator
from include.settings import Settings, load
from include.triggers import JobRunTrigger
from include.workspace import Workspace
from tests.dags.tiny_workspace import OPS, PAGE, SIGN_IN, TinyWorkspace

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
REFUSALS: dict[str, tuple[Answer, str]] = {
    "401": ((401, {"error_code": "UNAUTHENTICATED"}, JSON, {}), "the workspace refuses the token"),
    "403": ((403, {"error_code": "PERMISSION_DENIED"}, JSON, {}), "the token may not see the job run"),
    "404": ((404, {"error_code": "NOT_FOUND"}, JSON, {}), "the workspace does not know the job run"),
}
ALL = NO_ANSWERS | REFUSALS


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
    [*((name, run_in_task) for name in ALL), *((name, run_deferred) for name in ("a page", "a list", "404"))],
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


@pytest.mark.parametrize("name", [name for name in NO_ANSWERS if name != "a state of another shape"])
def test_the_start_of_a_job_run_is_asked_again(name: str, workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = 0.1
    spoil(workspace, "/run-now", NO_ANSWERS[name][0], times=1)
    retried = load({"LAKEHOUSE_API_RETRIES": "2", "LAKEHOUSE_API_RETRY_DELAY": "0", "LAKEHOUSE_POLL_SECONDS": "0.1"})
    build(retried).execute(context)
    assert list(workspace.runs) == [1000]


@pytest.mark.parametrize("name", ["a page", "an empty body", "JSON that is cut off", "a redirect to a page"])
def test_a_file_is_asked_for_again(name: str, workspace: TinyWorkspace) -> None:
    workspace.write(f"{OPS}/verdict.json", {"success": True})
    spoil(workspace, "/verdict.json", NO_ANSWERS[name][0], times=1)
    retried = load({"LAKEHOUSE_API_RETRIES": "2", "LAKEHOUSE_API_RETRY_DELAY": "0"})
    assert Workspace(retried).read_json(f"{OPS}/verdict.json") == {"success": True}
    spoil(workspace, "/verdict.json", NO_ANSWERS[name][0])
    with pytest.raises(FileUnreadable, match="not JSON"):
        Workspace(retried).read_json(f"{OPS}/verdict.json")


def test_a_cancel_that_gets_no_answer_is_asked_for_again(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = None
    retried = load({"LAKEHOUSE_API_RETRIES": "3", "LAKEHOUSE_API_RETRY_DELAY": "0", "LAKEHOUSE_WAIT_IN_TASK": "0"})
    operator = build(retried)
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    spoil(workspace, "/runs/get", NO_ANSWERS["a page"][0], times=2)
    operator.on_kill()
    assert workspace.cancelled == [1000]


def test_no_jobs_in_a_page_is_not_taken_for_a_missing_job(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    spoil(workspace, "/jobs/list", NO_ANSWERS["another object"][0])
    with pytest.raises(NoAnswer, match="jobs/list answered with JSON of another shape"):
        run_in_task(context, patience=1)


def test_an_unknown_life_cycle_state_does_not_end_the_wait(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = 0.3
    assert "SUSPENDED" not in RunState.RUN_LIFE_CYCLE_STATES
    spoil(workspace, "/runs/get", (200, {"state": {"life_cycle_state": "SUSPENDED"}}, JSON, {}), times=3)
    run_in_task(context, patience=30)
    assert workspace.cancelled == []
