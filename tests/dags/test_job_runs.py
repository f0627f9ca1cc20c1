"""Tasks that run jobs: one job run per try, none that outlives its try, and publish with its asset events."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
    TaskDeferred,
)
from airflow.sdk.execution_time.timeout import timeout

from include.failures import IntervalRefused, JobUnknown, PublicationForbidden, TaskStopped
from include.layer_group import published_assets
from include.notifiers import LogNotifier
from include.operators import RUN_KEY, JobRunOperator, PublishOperator
from include.settings import load
from include.triggers import JobRunTrigger
from tests.dags.tiny_workspace import OPS, TinyWorkspace

DEFER_AT_ONCE = {"LAKEHOUSE_WAIT_IN_TASK": "0"}


def build(environment: Mapping[str, str] = DEFER_AT_ONCE, **arguments: Any) -> JobRunOperator:
    settings = load({"LAKEHOUSE_POLL_SECONDS": "0.2", "LAKEHOUSE_API_RETRIES": "1", **environment})
    return JobRunOperator(task_id="build", job="bronze_build", with_interval=True, settings=settings, **arguments)


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
    wait = started(build(execution_timeout=timedelta(minutes=7)), context)
    assert isinstance(wait.trigger, JobRunTrigger)
    assert wait.timeout is not None
    assert timedelta(minutes=6.9) < wait.timeout <= timedelta(minutes=7)
    path, arguments = wait.trigger.serialize()
    assert path == "include.triggers.JobRunTrigger"
    assert JobRunTrigger(**arguments).serialize() == (path, arguments)
    assert context["ti"].xcom["run_id"] == 1000
    assert context["ti"].xcom["run_page_url"].endswith("/runs/1000")


def test_a_retry_starts_exactly_one_new_run_and_stops_the_old_one(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = None
    started(build(), context)
    next_try(context, "ti-2")
    started(build(), context)
    assert list(workspace.runs) == [1000, 1001]
    assert workspace.cancelled == [1000]


def test_a_try_that_the_scheduler_repeats_takes_its_job_run_up_again(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = None
    started(build(), context)
    context["ti"].try_number += 1
    started(build(), context)
    assert list(workspace.runs) == [1000]
    assert workspace.cancelled == []


def test_a_try_that_the_scheduler_repeats_does_not_take_up_a_failed_job_run(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    """As in github.com/apache/airflow/issues/64828, where its token found the failed one, which counted as success."""
    workspace.duration = None
    started(build(), context)
    workspace.runs[1000]["result"] = "FAILED"
    context["ti"].try_number += 1
    started(build(), context)
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

    def broken(key: str, value: Any) -> None:
        raise AirflowException("no XCom")

    monkeypatch.setattr(context["ti"], "xcom_push", broken, raising=False)
    with pytest.raises(AirflowException, match="no XCom"):
        build().execute(context)
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


def test_a_trigger_that_is_only_moved_does_not_cancel(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = None
    trigger = started(build(), context).trigger
    assert isinstance(trigger, JobRunTrigger)
    trigger.settle_seconds = 0

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
    return {"run_id": run_id, "run_page_url": "http://x", "run_state": state, "errors": []}


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
    live = SimpleNamespace(operator="MedallionOperator", dag_id="l", task_id="run", run_id="r", map_index=-1)
    other = SimpleNamespace(operator="AuditGate", dag_id="d", task_id="g", run_id="r", map_index=-1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(listeners.threading, "Thread", Now)
        listeners.on_task_instance_failed(None, ti, "manually set")
        listeners.on_task_instance_success(None, ti)
        listeners.on_task_instance_skipped(None, ti)
        listeners.on_task_instance_failed(None, live, "manually set")
        listeners.on_task_instance_failed("running", ti, "an ordinary failure")
        listeners.on_task_instance_failed(None, other, "no job")
    assert called == [*[("d", "t", "r", -1)] * 3, ("l", "run", "r", -1)]


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


def test_asset_events_carry_versions_and_row_counts(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    assert publish(workspace, context, PUBLICATION) == PUBLICATION
    extra = {asset.name: event.extra for asset, event in context["outlet_events"].items()}
    assert set(extra) == {f"spark_catalog.silver.{t}" for t in ("orders", "dim_customers", "dim_products")}
    for event in extra.values():
        assert (event["version"], event["rows"], event["publication"], event["job_run_id"]) == (3, 9, 7, "1000")


@pytest.mark.parametrize(
    "publication", [{**PUBLICATION, "layer": "gold"}, {**PUBLICATION, "job_run_id": "1"}, {}, [1]], ids=str
)
def test_a_publication_of_something_else_is_an_error(
    workspace: TinyWorkspace, context: dict[str, Any], publication: Any
) -> None:
    with pytest.raises(AirflowException, match="is not the publication of silver by job run 1000"):
        publish(workspace, context, publication)


def test_the_run_is_kept_where_tries_cannot_lose_it(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    started(build(), context)
    assert context["task_state_store"][RUN_KEY] == {"ti_id": "ti-1", "token": "ti-1", "run_id": 1000}


IN_TASK = {"LAKEHOUSE_WAIT_IN_TASK": "30"}


def test_a_short_job_run_is_waited_for_in_the_task_and_ends_it_at_once(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = 1.0
    build(IN_TASK).execute(context)
    ended = workspace.runs[1000]["started"] + workspace.duration
    assert time.monotonic() - ended < 0.7
    assert context["ti"].xcom["run_id"] == 1000


def test_a_job_run_that_lasts_longer_is_deferred(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    workspace.duration = None
    begun = time.monotonic()
    wait = started(build({"LAKEHOUSE_WAIT_IN_TASK": "1"}, execution_timeout=timedelta(seconds=60)), context)
    assert 0.5 < time.monotonic() - begun < 2
    assert wait.timeout is not None
    assert timedelta(seconds=57) < wait.timeout < timedelta(seconds=59.6), "the wait in the task counts, too"
    assert workspace.cancelled == []


def test_a_kill_while_the_task_waits_cancels_the_job_run_and_ends_the_task(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    """Airflow calls `on_kill` in a signal handler, after which the interrupted code continues."""
    workspace.duration = None
    operator = build({"LAKEHOUSE_WAIT_IN_TASK": "30", "LAKEHOUSE_POLL_SECONDS": "20"})
    previous = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    begun = time.monotonic()
    timer.start()
    try:
        with pytest.raises(TaskStopped, match="job run 1000 was cancelled"):
            operator.execute(context)
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, previous)
    assert time.monotonic() - begun < 4
    assert workspace.cancelled == [1000]


def test_a_kill_before_the_job_run_is_known_cancels_it_as_soon_as_it_is(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration = None
    operator = build(IN_TASK)
    operator.on_kill()
    with pytest.raises(TaskStopped):
        operator.execute(context)
    assert workspace.cancelled == [1000]


def test_a_time_out_while_the_task_waits_leaves_the_cancel_to_on_kill(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    """Airflow raises AirflowTaskTimeout in the interrupted code, then calls `on_kill`."""
    workspace.duration = None
    operator = build(IN_TASK)
    with pytest.raises(AirflowTaskTimeout), timeout(1.0):
        operator.execute(context)
    operator.on_kill()
    assert workspace.cancelled == [1000]


def test_a_job_run_that_fails_while_the_task_waits_is_reported_with_its_page(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    workspace.duration, workspace.result = 0.3, "FAILED"
    with pytest.raises(AirflowException, match=r"Job run 1000 ended as FAILED, http.*/runs/1000: Spark died"):
        build(IN_TASK).execute(context)
    assert workspace.cancelled == []


def test_publish_reports_its_publication_when_it_waits_in_the_task(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    context["outlet_events"] = Events()
    operator = PublishOperator(
        task_id="publish",
        layer="silver",
        published=published_assets("silver"),
    )
    allowed = {"build_job_run_id": "9", "build_id": "9_0", "fingerprint": "f" * 64}
    context["ti"].pulled["silver.gate", "return_value"] = allowed
    assert operator.execute(context)["job_run_id"] == "1000"
    assert workspace.runs[1000]["parameters"] == {"layer": "silver", **allowed}
    assert {event.extra["version"] for event in context["outlet_events"].values()} == {3}


def test_a_deferred_task_is_not_resumed_before_the_scheduler_can_have_noticed_its_deferral(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    """The scheduler takes a task for lost that resumes before it has noticed the end of the process that deferred."""
    workspace.duration = 0.1
    trigger = JobRunTrigger(1000, "databricks_default", 0.2, 300, 1, 0)
    started(build(), context)

    async def first_event() -> float:
        begun = time.monotonic()
        event = await anext(trigger.run())
        assert "SUCCESS" in event.payload["run_state"]
        return time.monotonic() - begun

    assert asyncio.run(first_event()) >= 5


def test_a_gate_that_allowed_nothing_stops_publish_for_good(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    """A person marked the gate as success: it left no result."""
    operator = PublishOperator(task_id="publish", layer="silver", published=published_assets("silver"))
    with pytest.raises(PublicationForbidden, match=r"Nothing was published. Clear the task silver\.build"):
        operator.execute(context)
    assert workspace.runs == {}


def test_a_build_without_landing_dates_starts_no_job_run(workspace: TinyWorkspace, context: dict[str, Any]) -> None:
    """A person marked check_landing as success."""
    context["dag_run"].data_interval_start = context["dag_run"].data_interval_end = None
    with pytest.raises(IntervalRefused, match="logical date of this run"):
        build().execute(context)
    assert workspace.runs == {}


def test_a_missing_job_and_two_jobs_of_one_name_are_refused_for_good(
    workspace: TinyWorkspace, context: dict[str, Any]
) -> None:
    with pytest.raises(JobUnknown, match=r"no job named '\[dev x\] bronze_build'.*in quotes"):
        build({"LAKEHOUSE_JOB_PREFIX": "[dev x]"}).execute(context)
    workspace.doubled_job_id = 99
    with pytest.raises(JobUnknown, match="2 jobs named 'bronze_build', with the ids 11, 99"):
        build().execute(context)
    assert workspace.runs == {}


@pytest.mark.parametrize(
    ("reason", "is_retried"),
    [
        ("spark_jobs.runtime.errors.GateRejected: another fingerprint", False),
        ("GateRejected: another fingerprint", False),
        ("GateRejected", False),
        ("ValueError: PublicationConflict: quoted", False),
        ("pyspark.errors.exceptions.connect.ArithmeticException: [NUMERIC_VALUE_OUT_OF_RANGE] 9999999999.99", False),
        ("jinja2.exceptions.UndefinedError: 'None' has no attribute 'isoformat'", False),
        ("spark_jobs.runtime.errors.PublicationConflict: others were first", True),
        ("spark_jobs.runtime.errors.ManifestMismatch: dt=2018-01-05 has 2 lines, not 3", True),
        ("OSError: [Errno 28] No space left on device: '/staging/5_0'", True),
        (
            "grpc._channel._MultiThreadedRendezvous: <_MultiThreadedRendezvous: UNAVAILABLE",
            True,
        ),
        ("pyspark.errors.exceptions.connect.SparkException: Job aborted due to stage failure", True),
        ("Spark died", True),
        ("The task's process was killed by signal 9 (out of memory, or by hand).", True),
        # A deploy removed the wheel of a job run that is under way. As in github.com/databricks/cli/issues/2958.
        ("Library installation attempted on the driver node and failed. The library file does not exist", True),
        ("Run failed with error message: cluster terminated", True),
    ],
)
def test_a_job_is_retried_only_after_what_another_job_run_may_heal(reason: str, is_retried: bool) -> None:
    event = finished("FAILED") | {"errors": [{"task_key": "t", "run_id": 6000, "error": reason}]}
    with pytest.raises(AirflowException, match="Job run 1000 ended as FAILED") as failed:
        build().execute_complete({}, event)
    assert isinstance(failed.value, AirflowFailException) != is_retried
    assert reason in str(failed.value)


def test_the_notifier_names_the_landing_dates(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(LogNotifier, "log", logging.getLogger("notifier"))
    context["ti"].task_id, context["ti"].dag_id, context["ti"].run_id = "silver.gate", "ecommerce_medallion", "r"
    LogNotifier().notify(context | {"exception": ValueError("two\nlines")})
    assert "silver.gate of ecommerce_medallion, run r, landing dates 2018-01-01 to 2018-01-07: two lines" in caplog.text
    context["dag_run"].data_interval_start = context["dag_run"].data_interval_end = None
    LogNotifier().notify(context)
    assert "landing dates none: no reason reported" in caplog.text
