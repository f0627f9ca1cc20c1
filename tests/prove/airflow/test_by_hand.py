"""What a person does by hand in Airflow: started, marked, cleared, tested. Each case on one real Airflow.

The tiny workspace rejects bronze, but for the date YES, so that a run ends after its first gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laptop.airflow_settings import POOLS
from laptop.services import DAG
from laptop.waiting import waiting_reason
from tests.cases.test_api_answers import ALL
from tests.dags.tiny_workspace import good_verdict
from tests.prove import budget
from tests.prove.airflow.live_airflow import LiveAirflow, live_airflow

pytestmark = budget.only_in_make_prove("tests/cases/test_by_hand.py")
YES = "2018-01-25"
FAILED_ONCE = {"state": "failed", "try_number": 1}


def verdict(layer: str, run_id: int, parameters: dict[str, str]) -> dict[str, Any]:
    """Reject bronze."""
    found = good_verdict(layer, run_id, parameters)
    if layer == "bronze" and parameters["interval_start"][:10] == YES:
        return found
    return found | {"success": False, "statistics": {"evaluated": 57, "successful": 56, "failed": 1, "warnings": 0}}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveAirflow]:
    with live_airflow(tmp_path_factory.mktemp("by_hand")) as live:
        live.workspace.verdict = verdict
        yield live


def failed_once(task: dict[str, Any]) -> bool:
    return {name: task[name] for name in FAILED_ONCE} == FAILED_ONCE


# --- one rule for dates ---


@dataclass(frozen=True)
class Started:
    """How a run is started, and its landing dates, or the words by which it is refused."""

    how: Callable[[LiveAirflow], str]
    landing_dates: tuple[str, str] | None = None
    refusal: str = ""


def by_api(**fields: Any) -> Callable[[LiveAirflow], str]:
    return lambda live: live.trigger(**fields)


def by_command(command: str, logical_date: str) -> Callable[[LiveAirflow], str]:
    """By a command of Airflow; the run is found by its logical date."""

    def start(live: LiveAirflow) -> str:
        done = live.airflow(command)
        assert done.returncode == 0, done.stderr[-2000:]

        def found() -> str | None:
            runs = live.client.get(f"/dags/{DAG}/dagRuns", limit=100)["dag_runs"]
            return next((r["dag_run_id"] for r in runs if (r["logical_date"] or "").startswith(logical_date)), None)

        return str(live.until(found))

    return start


def interval(start: str, end: str) -> dict[str, str]:
    return {"data_interval_start": start, "data_interval_end": end}


NEXT_YEAR = f"{datetime.now(UTC).year + 1}-01"
STARTED = {
    "the API, a logical date alone": Started(by_api(logical_date="2018-01-03T00:00:00Z"), ("2018-01-03", "2018-01-04")),
    "dags trigger --logical-date": Started(
        by_command(f"dags trigger {DAG} --logical-date 2018-01-04", "2018-01-04"), ("2018-01-04", "2018-01-05")
    ),
    "a backfill, with a schedule at twenty past four": Started(
        by_command(f"backfill create --dag-id {DAG} --from-date 2018-01-10 --to-date 2018-01-10", "2018-01-10"),
        ("2018-01-10", "2018-01-11"),
    ),
    "the form, an interval": Started(
        by_api(**interval("2018-01-05T00:00:00Z", "2018-01-08T00:00:00Z")), ("2018-01-05", "2018-01-08")
    ),
    "the form, a day of another zone": Started(
        by_api(**interval("2018-01-04T23:00:00Z", "2018-01-05T23:00:00Z")),
        refusal="2018-01-04 23:00:00 in UTC, not the start of a day",
    ),
    "the form, an interval without extent": Started(
        by_api(logical_date="2018-01-20T00:00:00Z", **interval("2018-01-05T00:00:00Z", "2018-01-05T00:00:00Z")),
        refusal="does not end after its start",
    ),
    "the API, a logical date of another zone": Started(
        by_api(logical_date="2018-01-05T00:00:00+01:00"), refusal="2018-01-04 23:00:00 in UTC, not the start of a day"
    ),
    # Airflow drops the interval without a word (TriggerDAGRunPostBody).
    "the API, an interval without a logical date": Started(
        by_api(logical_date=None, **interval("2018-01-05T00:00:00Z", "2018-01-08T00:00:00Z")),
        refusal="Airflow drops an interval that comes without a logical date",
    ),
    "the API, nothing": Started(by_api(logical_date=None), refusal="neither a data interval nor a logical date"),
    "a date that lies ahead": Started(
        by_api(**interval(f"{NEXT_YEAR}-05T00:00:00Z", f"{NEXT_YEAR}-06T00:00:00Z")),
        refusal=f"{NEXT_YEAR}-05 lies ahead: run it when it has landed",
    ),
}


@pytest.fixture(scope="module")
def started(live: LiveAirflow) -> dict[str, str]:
    """All of STARTED, side by side: name -> id of the run."""
    return {name: case.how(live) for name, case in STARTED.items()}


@pytest.mark.parametrize("name", STARTED)
def test_a_logical_date_is_the_landing_date_and_an_interval_means_what_it_says(
    name: str, live: LiveAirflow, started: dict[str, str]
) -> None:
    case, run_id = STARTED[name], started[name]
    assert live.wait_for_end(run_id) == "failed"
    tasks = live.tasks(run_id)
    if case.landing_dates:
        assert tasks["bronze.gate"]["state"] == "failed"
        found = live.parameters(run_id)
        assert tuple(found[bound][:10] for bound in ("interval_start", "interval_end")) == case.landing_dates
    else:
        assert failed_once(tasks["check_landing"])
        assert case.refusal in live.reason(run_id, "check_landing")


# --- tests beside the live services ---


def test_dags_test_runs_on_a_copy_of_the_database(live: LiveAirflow, capfd: pytest.CaptureFixture[str]) -> None:
    live.make_airflow(f"dags test {DAG} 2018-01-06")
    shown = capfd.readouterr()
    assert "runs on a copy of Airflow's database" in shown.err
    assert "forbids publishing" in shown.out + shown.err
    builds = [run["parameters"]["interval_start"][:10] for run in live.workspace.runs.values()]
    assert builds.count("2018-01-06") == 1
    assert live.workspace.cancelled == []
    runs = live.client.get(f"/dags/{DAG}/dagRuns", limit=100)["dag_runs"]
    assert not [run for run in runs if (run["logical_date"] or "").startswith("2018-01-06")]


def test_tasks_test_defers_nothing_to_the_triggerer_that_runs(live: LiveAirflow) -> None:
    live.workspace.duration = 7.0
    done = live.airflow(f"tasks test {DAG} bronze.build 2018-01-07", LAKEHOUSE_WAIT_IN_TASK="0")
    live.workspace.duration = 0.2
    assert "succeeded" in done.stdout + done.stderr
    assert live.workspace.cancelled == []


# --- marks, and what is cleared ---


def test_a_gate_marked_as_success_does_not_publish(live: LiveAirflow, started: dict[str, str]) -> None:
    run_id = started["the API, a logical date alone"]
    live.wait_for_end(run_id)
    live.mark(run_id, "bronze.gate", "success")
    live.clear(run_id, "bronze.publish")
    assert failed_once(live.wait_for(run_id, "bronze.publish", "failed", "up_for_retry"))
    reason = live.reason(run_id, "bronze.publish")
    assert "marking it as success does not publish. Nothing was published. Clear the task bronze.build" in reason


def test_a_run_without_dates_that_is_marked_on_builds_nothing(live: LiveAirflow, started: dict[str, str]) -> None:
    run_id = started["the API, nothing"]
    live.wait_for_end(run_id)
    live.mark(run_id, "check_landing", "success")
    live.clear(run_id, "bronze.build")
    assert failed_once(live.wait_for(run_id, "bronze.build", "failed", "up_for_retry"))
    assert "neither a data interval nor a logical date" in live.reason(run_id, "bronze.build")


def test_a_build_marked_as_success_while_its_job_runs_is_cancelled_and_leaves_no_verdict(live: LiveAirflow) -> None:
    live.workspace.duration = None
    run_id = live.trigger("2018-01-21T00:00:00Z")
    live.until(lambda: live.client.xcom(DAG, run_id, "bronze.build", "run_id"))
    live.mark(run_id, "bronze.build", "success")
    live.until(lambda: live.workspace.cancelled)
    live.workspace.duration = 0.2
    assert failed_once(live.wait_for(run_id, "bronze.gate", "failed", "up_for_retry"))
    assert "left no verdict on bronze" in live.reason(run_id, "bronze.gate")
    assert "Clear the task bronze.build with its downstream tasks" in live.reason(run_id, "bronze.gate")
    job_run = live.client.xcom(DAG, run_id, "bronze.build", "run_id")
    assert live.workspace.cancelled == [job_run]


def test_two_jobs_of_one_name_fail_the_task_once_with_their_ids(live: LiveAirflow) -> None:
    live.workspace.doubled_job_id = 99
    run_id = live.trigger("2018-01-22T00:00:00Z")
    assert failed_once(live.wait_for(run_id, "bronze.build", "failed", "up_for_retry"))
    live.workspace.doubled_job_id = None
    assert "2 jobs named 'bronze_build', with the ids 11, 99" in live.reason(run_id, "bronze.build")


def test_a_job_run_outlives_every_bad_answer_about_it(live: LiveAirflow) -> None:
    """Sign-in pages, cut answers, refusals: each once, one good answer between two."""
    bad, asked = [answer for answer, _ in ALL.values()], 0

    def spoilt(_: str, path: str) -> Any:
        nonlocal asked
        asked += path.endswith("/runs/get")
        if not path.endswith("/runs/get") or asked % 2 or not bad:
            return None
        status, content, kind, headers = bad.pop()
        return status, content, kind, {"Location": path} if headers.get("Location") == "#" else headers

    live.workspace.duration, live.workspace.spoil = 30, spoilt
    cancelled = list(live.workspace.cancelled)
    run_id = live.trigger("2018-01-24T00:00:00Z")
    build = live.wait_for(run_id, "bronze.build", "success", "failed")
    live.workspace.duration, live.workspace.spoil = 0.2, lambda *_: None
    assert (build["state"], build["try_number"], bad) == ("success", 1, [])
    assert live.workspace.cancelled == cancelled


# --- what waits says why ---


def why(live: LiveAirflow, run_id: str) -> str | None:
    return waiting_reason(live.client, live.client.run(DAG, run_id), live.client.task_instances(DAG, run_id))


def test_a_pool_that_is_missing_is_made_when_a_run_begins(live: LiveAirflow, started: dict[str, str]) -> None:
    """The services were started without one."""
    live.wait_for_end(started["the API, a logical date alone"])
    for name, slots in POOLS.items():
        pool = live.client.get(f"/pools/{name}")
        assert (pool["slots"], pool["include_deferred"]) == (slots, True)


def test_a_pool_that_is_deleted_during_a_run_is_named(live: LiveAirflow) -> None:
    live.workspace.duration = None
    run_id = live.trigger(f"{YES}T00:00:00Z")
    live.until(lambda: live.client.xcom(DAG, run_id, "bronze.build", "run_id"))
    live.client.call("DELETE", "/pools/databricks_bronze")
    live.workspace.duration = 0.2
    live.wait_for(run_id, "bronze.gate", "scheduled")
    assert "bronze.gate runs in the pool 'databricks_bronze', which does not exist" in str(why(live, run_id))
    live.trigger(None)  # the next run makes it again
    live.wait_for(run_id, "bronze.publish", "success")


def test_a_run_that_cannot_begin_says_why(live: LiveAirflow) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    run_id = live.trigger("2018-01-23T00:00:00Z", run_after=later.isoformat())
    assert f"begins at {later:%Y-%m-%d %H:%M:%S} UTC at the earliest" in str(why(live, run_id))
    ahead = live.trigger(f"{NEXT_YEAR}-05T00:00:00Z")
    sentence = f"Airflow begins no task before the logical date of the run, {NEXT_YEAR}-05 00:00:00 UTC"
    assert why(live, ahead) == sentence
    live.until(lambda: "begins no task before" in (live.client.run(DAG, ahead)["note"] or ""))
    live.client.call("PATCH", f"/dags/{DAG}?update_mask=is_paused", {"is_paused": True})
    assert f'the DAG is paused. Unpause it: make airflow ARGS="dags unpause {DAG}"' in str(why(live, run_id))
    live.client.unpause(DAG)
