"""Tasks that run jobs: one try is one run, a run whose try is over is cancelled, publish tells the assets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferralTimeout, TaskDeferred

from include.layer_group import published_assets
from include.operators import RUN_KEY, JobRunOperator, PublishOperator
from include.triggers import JobRunTrigger
from tests.dags.tiny_workspace import OPS, TinyWorkspace


def build(token: str = "ti-1", **given: Any) -> JobRunOperator:
    parameters = {"interval_start": "2018-01-01", "interval_end": "2018-01-08"}
    operator = JobRunOperator(task_id="build", job="bronze_build", job_parameters=parameters, **given)
    operator.idempotency_token = token
    return operator


def started(operator: JobRunOperator, context: dict[str, Any]) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as wait:
        operator.execute(context)
    return wait.value


def next_try(context: dict[str, Any], token: str) -> None:
    context["ti"].id = token
    context["ti"].try_number += 1


def test_waits_with_the_trigger_that_cancels_for_as_long_as_the_task_may_take(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    from datetime import timedelta

    wait = started(build(execution_timeout=timedelta(minutes=7)), context)
    assert isinstance(wait.trigger, JobRunTrigger)
    assert wait.timeout == timedelta(minutes=7)
    path, arguments = wait.trigger.serialize()
    assert path == "include.triggers.JobRunTrigger"
    assert JobRunTrigger(**arguments).serialize() == (path, arguments)
    assert context["ti"].xcom["run_id"] == 1000
    assert context["ti"].xcom["run_page_url"].endswith("/runs/1000")


def test_a_retry_starts_exactly_one_new_run_and_stops_the_old_one(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = None
    started(build("ti-1"), context)
    next_try(context, "ti-2")
    started(build("ti-2"), context)
    assert list(workspace.runs) == [1000, 1001]
    assert workspace.cancelled == [1000]


def test_the_same_try_told_twice_takes_its_run_up_again(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = None
    started(build("ti-1"), context)
    context["ti"].try_number += 1
    started(build("ti-1"), context)
    assert list(workspace.runs) == [1000]
    assert workspace.cancelled == []


def test_the_same_try_told_twice_does_not_take_up_a_failed_run(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = None
    started(build("ti-1"), context)
    workspace.runs[1000]["result"] = "FAILED"
    context["ti"].try_number += 1
    started(build("ti-1"), context)
    assert list(workspace.runs) == [1000, 1001]


def test_a_wait_that_took_too_long_cancels_the_run(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = None
    started(build(), context)
    with pytest.raises(TaskDeferralTimeout):
        build().resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert workspace.cancelled == [1000]


def test_a_trigger_that_failed_cancels_the_run(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = None
    started(build(), context)
    with pytest.raises(AirflowException):
        build().resume_execution("__fail__", {"error": "Trigger failure"}, context)
    assert workspace.cancelled == [1000]


def test_an_error_after_the_start_cancels_the_run(
    workspace: TinyWorkspace, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.duration = None
    operator = build()

    def broken(run_id: int) -> str:
        raise AirflowException("no page")

    monkeypatch.setattr(operator._hook, "get_run_page_url", broken)
    with pytest.raises(AirflowException, match="no page"):
        operator.execute(context)
    assert workspace.cancelled == [1000]


def test_the_worker_that_is_killed_cancels_the_run(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = None
    operator = build()
    started(operator, context)
    operator.on_kill()
    assert workspace.cancelled == [1000]


def test_a_killed_trigger_cancels_even_before_its_first_poll(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = None
    trigger = started(build(), context).trigger
    assert trigger is not None
    asyncio.run(trigger.on_kill())
    assert workspace.cancelled == [1000]


def test_a_trigger_that_is_only_moved_does_not_cancel(
    workspace: TinyWorkspace, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.duration = None
    trigger = started(build(), context).trigger
    assert trigger is not None
    monkeypatch.setattr("include.triggers.SETTLE_SECONDS", 0)

    async def poll() -> None:
        async for _ in trigger.run():
            pass

    async def restart() -> None:
        task = asyncio.create_task(poll())
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await trigger.cleanup()

    asyncio.run(restart())
    assert ("GET", "/api/2.2/jobs/runs/get") in workspace.requests
    assert workspace.cancelled == []


def finished(result: str, run_id: int = 1000) -> dict[str, Any]:
    from airflow.providers.databricks.hooks.databricks import RunState

    state = RunState("TERMINATED", result, "").to_json()
    return {"run_id": run_id, "run_page_url": "http://x", "run_state": state, "errors": [], "repair_run": False}


def test_a_failed_run_is_retried_a_cancelled_one_is_not(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    with pytest.raises(AirflowException) as failed:
        build().execute_complete(context, finished("FAILED"))
    assert not isinstance(failed.value, AirflowFailException)
    with pytest.raises(AirflowFailException, match="cancelled in the workspace"):
        build().execute_complete(context, finished("CANCELED"))


def test_a_mark_by_hand_cancels_what_no_trigger_has_seen(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    from types import SimpleNamespace

    from include import listeners

    called: list[tuple[Any, ...]] = []

    class Now:
        def __init__(self, target: Any, args: tuple[Any, ...], daemon: bool) -> None:
            self.args = args

        def start(self) -> None:
            called.append(self.args)

    ti = SimpleNamespace(operator="JobRunOperator", dag_id="d", task_id="t", run_id="r", map_index=-1)
    other = SimpleNamespace(operator="AuditGate", dag_id="d", task_id="g", run_id="r", map_index=-1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(listeners.threading, "Thread", Now)
        listeners.on_task_instance_failed(None, ti, "manually set")
        listeners.on_task_instance_success(None, ti)
        listeners.on_task_instance_skipped(None, ti)
        listeners.on_task_instance_failed("running", ti, "an ordinary failure")
        listeners.on_task_instance_failed(None, other, "no job")
    assert called == [("d", "t", "r", -1)] * 3


class Events(dict[Any, Any]):
    def __missing__(self, asset: Any) -> Any:
        from types import SimpleNamespace

        self[asset] = SimpleNamespace(extra={})
        return self[asset]


def publish(workspace: TinyWorkspace, context: dict[str, Any], publication: Any) -> Any:
    workspace.write(f"{OPS}/publications/1000.json", publication)
    context["outlet_events"] = Events()
    operator = PublishOperator(task_id="publish", layer="silver", published=published_assets("silver"))
    return operator.execute_complete(context, finished("SUCCESS"))


PUBLICATION = {
    "layer": "silver",
    "seq": 7,
    "job_run_id": "1000",
    "already_published": False,
    "interval_start": "2018-01-01",
    "interval_end": "2018-01-08",
    "tables": {f"silver.{t}": {"version": 3, "rows": 9} for t in ("orders", "dim_customers", "dim_products")},
}


def test_publish_tells_the_assets_versions_and_rows(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    assert publish(workspace, context, PUBLICATION) == PUBLICATION
    extra = {asset.name: event.extra for asset, event in context["outlet_events"].items()}
    assert set(extra) == {f"spark_catalog.silver.{t}" for t in ("orders", "dim_customers", "dim_products")}
    for said in extra.values():
        assert (said["version"], said["rows"], said["publication"], said["job_run_id"]) == (3, 9, 7, "1000")


@pytest.mark.parametrize(
    "publication", [{**PUBLICATION, "layer": "gold"}, {**PUBLICATION, "job_run_id": "1"}, {}, [1]], ids=str
)
def test_a_publication_of_something_else_is_an_error(
    workspace: TinyWorkspace, context: dict[str, Any], publication: Any
) -> None:
    with pytest.raises(AirflowException, match="is not the publication of silver by job run 1000"):
        publish(workspace, context, publication)


def test_the_run_is_kept_where_tries_cannot_lose_it(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    started(build("ti-1"), context)
    assert context["task_state_store"][RUN_KEY] == {"ti_id": "ti-1", "token": "ti-1", "run_id": 1000}
