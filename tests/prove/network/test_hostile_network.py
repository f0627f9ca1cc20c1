"""Airflow and the workspace over a network that loses, repeats, delays and breaks: one job run a try, and a right end.

The operators, their trigger and hook are the real ones, and so is the workspace; a scheduler is not needed for what
the network can do to them, and would cost half a minute a run.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.check_landing import CheckLanding
from include.failures import JobFailed, JobRefused
from include.gate import AuditGate
from include.layer_group import published_assets
from include.operators import JobRunOperator, PublishOperator
from include.settings import Settings, load
from tests.prove.budget import rounds
from tests.prove.network.conftest import Task, runs_of
from tests.prove.network.proxy import FAULTS, HostileNetwork, always, by_chance, first
from tests.workspace.conftest import Workspace, wait_until

IN_TASK = {"LAKEHOUSE_POLL_SECONDS": "1", "LAKEHOUSE_API_RETRY_DELAY": "0", "LAKEHOUSE_POLL_PATIENCE": "5"}
SETTINGS = load(IN_TASK)
DEFERRED = load(IN_TASK | {"LAKEHOUSE_WAIT_IN_TASK": "0"})


def build(job: str = "bronze_build", settings: Settings = SETTINGS, **more: str) -> JobRunOperator:
    return JobRunOperator(task_id="build", job=job, with_interval=True, job_parameters=more, settings=settings)


def newest(workspace: Workspace) -> int:
    return max((run["run_id"] for run in runs_of(workspace, 0)), default=0)


def results(workspace: Workspace, since: int) -> list[str]:
    return [run["state"].get("result_state", "") for run in runs_of(workspace, since)]


class Events(dict[Any, Any]):
    def __missing__(self, asset: Any) -> Any:
        from types import SimpleNamespace

        return self.setdefault(asset, SimpleNamespace(extra={}))


def dag_run(context: dict[str, Any], name: str) -> list[Task]:
    """Check, build, gate and publish of a layer, in order: the tasks, ended."""
    check = Task(context, f"{name}-check", lambda: CheckLanding(task_id="check", settings=SETTINGS))
    assert check.run()["landed"] == 7
    started = Task(context, f"{name}-build", build)
    started.run()
    run_id = str(started.context["ti"].xcom["run_id"])
    gate = Task(
        context,
        f"{name}-gate",
        lambda: AuditGate(task_id="gate", layer="bronze", build_job_run_id=run_id, settings=SETTINGS),
    )
    verdict = gate.run()
    publish = Task(
        context | {"outlet_events": Events()},
        f"{name}-publish",
        lambda: PublishOperator(
            task_id="publish",
            layer="bronze",
            published=published_assets("bronze", SETTINGS),
            settings=SETTINGS,
        ),
    )
    publish.context["ti"].pulled["bronze.gate", "return_value"] = verdict
    publication = publish.run()
    assert publication["fingerprint"] == verdict["fingerprint"]
    assert publication["build_id"] == f"{run_id}_0"
    return [check, started, gate, publish]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_every_first_exchange_of_a_kind(
    fault: str, lakehouse: Workspace, network: HostileNetwork, context: dict[str, Any]
) -> None:
    """No try is lost by it: four tasks, four tries, two job runs."""
    before = newest(lakehouse)
    network.rule = first(fault)
    tasks = dag_run(context, f"first {fault}"[:40])
    assert [len(task.tries) for task in tasks] == [1, 1, 1, 1], [task.errors for task in tasks]
    assert results(lakehouse, before) == ["SUCCESS", "SUCCESS"]
    assert network.count()[fault] >= 5


@pytest.mark.timed
def test_faults_by_chance(lakehouse: Workspace, network: HostileNetwork, context: dict[str, Any]) -> None:
    """DAG runs, in each of which more than half of all exchanges go wrong in some way."""
    asked: Counter[str] = Counter()
    dag_runs = tries = job_runs = 0
    for seed in rounds():
        before = newest(lakehouse)
        network.exchanges.clear()
        network.rule = by_chance(seed, 0.6)
        tasks = dag_run(context, f"chance {seed}")
        asked += network.count()
        started = runs_of(lakehouse, before)
        assert [len(task.tries) for task in tasks] == [1, 1, 1, 1], (seed, [task.errors for task in tasks])
        assert [run["run_name"] for run in started] == ["bronze_build", "publish"], seed
        assert {run["state"]["result_state"] for run in started} == {"SUCCESS"}
        dag_runs, tries, job_runs = dag_runs + 1, tries + 4, job_runs + len(started)
    print(
        f"\nnetwork: {dag_runs} DAG runs by {tries} tries over {asked.total()} exchanges, "
        f"{asked.total() - asked['none']} of them spoilt {dict(asked)}: {job_runs} job runs, two a DAG run"
    )


@pytest.mark.timed
def test_more_faults_than_a_call_bears(lakehouse: Workspace, network: HostileNetwork, context: dict[str, Any]) -> None:
    """Tries fail now: every one has one job run at most, no run continues after a failed try, and the end is right."""
    spoilt, tries, job_runs = Counter[str](), 0, 0
    for seed in (4 * round_ + number for round_ in rounds() for number in range(4)):
        before = newest(lakehouse)
        network.exchanges.clear()
        network.rule = by_chance(seed, 0.95, most_in_a_row=12, faults=[f for f in FAULTS if f not in ("hang", "late")])
        task = Task(context, f"more {seed}", build, retries=60)
        task.run()
        started = runs_of(lakehouse, before)
        assert 1 <= len(started) <= len(task.tries)
        wait_until(lambda since=before: all(results(lakehouse, since)))
        assert results(lakehouse, before)[-1] == "SUCCESS"
        assert int(task.context["ti"].xcom["run_id"]) == started[-1]["run_id"]
        spoilt += network.count()
        tries, job_runs = tries + len(task.tries), job_runs + len(started)
    print(f"\nnetwork: {tries} tries, more than one call may bear: {job_runs} job runs; {dict(spoilt)}")


def after_an_outage(fault: str, where: str, network: HostileNetwork, context: dict[str, Any]) -> Task:
    """A first try that is never answered, and a second one when the network is well again."""
    operators = [build("long"), build("long", layer="quick"), build("long", layer="quick")]
    task = Task(context, f"outage {fault} {where}"[:40], lambda: operators.pop(0))
    network.rule = always(fault, where)
    with pytest.raises(AirflowException, match="Giving up"):
        task.one_try()
    network.rule = always("none")
    task.one_try()
    return task


@pytest.mark.parametrize("fault", ["lose", "502 after", "cut in the body"])
def test_a_run_that_nobody_knows_of_is_found_and_stopped(
    fault: str, lakehouse: Workspace, network: HostileNetwork, context: dict[str, Any]
) -> None:
    """It may have read what has changed since, so the next try has another run."""
    before = newest(lakehouse)
    task = after_an_outage(fault, "POST .*/run-now", network, context)
    wait_until(lambda: results(lakehouse, before) == ["CANCELED", "SUCCESS"])
    assert int(task.context["ti"].xcom["run_id"]) == runs_of(lakehouse, before)[-1]["run_id"]


@pytest.mark.parametrize("fault", ["refuse", "503", "lose"])
def test_a_workspace_that_was_away_has_one_run(
    fault: str, lakehouse: Workspace, network: HostileNetwork, context: dict[str, Any]
) -> None:
    before = newest(lakehouse)
    after_an_outage(fault, "", network, context)
    assert results(lakehouse, before) == ["SUCCESS"]


def test_a_clear_after_a_job_run_that_ended_at_once_runs_again(
    lakehouse: Workspace, network: HostileNetwork, context: dict[str, Any]
) -> None:
    """The network is slow enough for the job run to end before its first poll."""

    def slow(_: int, method: str, path: str) -> str:
        if "runs/get" in path:
            wait_until(lambda: all(result == "SUCCESS" for result in results(lakehouse, before)))
        return "none"

    before = newest(lakehouse)
    network.rule = slow
    task = Task(context, "cleared", build)
    task.one_try()
    task.one_try()
    assert task.deferred == 0
    assert results(lakehouse, before) == ["SUCCESS", "SUCCESS"]


@pytest.mark.parametrize(
    ("exception", "error", "tries"),
    [("FileNotFoundError", JobFailed, 2), ("ValueError", JobRefused, 1)],
    ids=["retried", "for good"],
)
@pytest.mark.parametrize("fault", [f for f in FAULTS if f not in ("none", "hang", "late")])
def test_a_failed_run_is_reported_with_its_reason(
    fault: str,
    exception: str,
    error: type[AirflowException],
    tries: int,
    lakehouse: Workspace,
    network: HostileNetwork,
    context: dict[str, Any],
) -> None:
    """The reason decides whether there is another try, so it must get through as well."""
    before = newest(lakehouse)
    network.rule = first(fault, times=2)
    task = Task(context, f"failed {fault} {exception}", lambda: build("broken", layer=exception), retries=1)
    with pytest.raises(error, match=f"{exception}: the order files are gone"):
        task.run()
    assert len(task.tries) == tries, task.errors
    assert results(lakehouse, before) == ["FAILED"] * tries


@pytest.mark.parametrize("fault", ["lose", "cut in the body", "503", "reset"])
def test_a_cancel_gets_through(
    fault: str, lakehouse: Workspace, network: HostileNetwork, context: dict[str, Any]
) -> None:
    """By the worker that is killed, by the trigger, and by a wait that took too long."""
    import asyncio

    from airflow.sdk.exceptions import TaskDeferralTimeout, TaskDeferred

    for number, way in enumerate(("on_kill", "trigger", "time-out")):
        before = newest(lakehouse)
        network.rule = always("none")
        task = Task(context, f"cancel {fault} {number}", lambda: build("long"))
        task.context["ti"].id = f"cancel {fault} {number}"
        operator = build("long", DEFERRED)
        with pytest.raises(TaskDeferred) as wait:
            operator.execute(task.context)
        network.rule = first(fault, times=2)
        if way == "on_kill":
            operator.on_kill()
        elif way == "trigger":
            asyncio.run(wait.value.trigger.on_kill())
        else:
            with pytest.raises(TaskDeferralTimeout):
                build("long").resume_execution("__fail__", {"error": "Trigger timeout"}, task.context)
        wait_until(lambda since=before: results(lakehouse, since) == ["CANCELED"])


@pytest.mark.parametrize("settings", [SETTINGS, DEFERRED], ids=["in the task", "deferred"])
def test_a_workspace_that_is_away_while_a_run_goes_on_does_not_end_the_wait(
    settings: Settings, lakehouse: Workspace, network: HostileNetwork, context: dict[str, Any]
) -> None:
    """Five polls in a row are lost, in every way, again and again: those of the triggerer, and those of the task."""
    ways = [fault for fault in FAULTS if fault not in ("none", "delay", "hang", "late")]
    polls = 0

    def rule(_: int, method: str, path: str) -> str:
        nonlocal polls
        is_poll = method == "POLL" if settings is DEFERRED else "runs/get" in path
        polls += is_poll
        return ways[polls % len(ways)] if is_poll and polls % 6 else "none"

    before = newest(lakehouse)
    network.rule = rule
    task = Task(context, f"polls {int(settings is DEFERRED)}", lambda: build("long", settings, layer="brief"))
    task.run()
    assert (len(task.tries), task.deferred) == (1, int(settings is DEFERRED)), task.errors
    assert results(lakehouse, before) == ["SUCCESS"]
    assert set(network.count()) == {"none", *ways}


def test_someone_s_cancel_is_not_undone_by_the_network(
    lakehouse: Workspace, network: HostileNetwork, context: dict[str, Any]
) -> None:
    import threading

    before = newest(lakehouse)
    network.rule = first("cut in the body", times=2)
    task = Task(context, "cancelled", lambda: build("long"))

    def cancel() -> None:
        (run,) = wait_until(lambda: runs_of(lakehouse, before))
        lakehouse.call("POST", "/api/2.2/jobs/runs/cancel", {"run_id": run["run_id"]})

    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(AirflowFailException, match="cancelled in the workspace"):
        task.run()
    assert len(task.tries) == 1
    assert results(lakehouse, before) == ["CANCELED"]
