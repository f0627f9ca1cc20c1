"""check_landing: which intervals it accepts, and which dates it waits for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest

from include.check_landing import CheckLanding
from include.failures import IntervalRefused, LandingIncomplete
from include.intervals import date_ranges, interval_parameters, landing_dates
from include.settings import load
from tests.dags.tiny_workspace import LANDING, TinyWorkspace


def dag_run(
    start: datetime | None, end: datetime | None, logical_date: datetime | None = None, run_type: str = "manual"
) -> SimpleNamespace:
    return SimpleNamespace(
        data_interval_start=start, data_interval_end=end, logical_date=logical_date, run_type=run_type
    )


def check(start: datetime | None, end: datetime | None, **settings: str) -> dict[str, Any]:
    loaded = load({f"LAKEHOUSE_{name}": value for name, value in settings.items()})
    return CheckLanding(task_id="check_landing", settings=loaded).execute({"dag_run": dag_run(start, end)})


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2018, 1, number, hour, tzinfo=UTC)


VIENNA, LONDON = timezone(timedelta(hours=1)), ZoneInfo("Europe/London")
NOW = datetime(2026, 11, 29, 14, 32, tzinfo=UTC)


@pytest.mark.parametrize(
    ("run", "first", "after"),
    [
        pytest.param(dag_run(day(1), day(8), NOW), 1, 8, id="an interval means what it says"),
        pytest.param(dag_run(None, None, day(5)), 5, 6, id="a logical date alone"),
        pytest.param(dag_run(NOW, NOW, day(5)), 5, 6, id="dags trigger --logical-date"),
        pytest.param(dag_run(day(5), day(5), day(5)), 5, 6, id="dags test, the API with a logical date alone"),
        pytest.param(dag_run(day(4, 23).astimezone(VIENNA), day(6), NOW), None, None, id="midnight of another zone"),
        pytest.param(dag_run(day(1, 4), day(2, 4), None, "scheduled"), 1, 2, id="a schedule at four o'clock"),
        pytest.param(dag_run(day(1), day(2), None, "backfill"), 1, 2, id="a backfill"),
    ],
)
def test_the_one_rule_for_landing_dates(run: SimpleNamespace, first: int | None, after: int | None) -> None:
    if first is None or after is None:
        with pytest.raises(IntervalRefused, match="2018-01-04 23:00:00 in UTC, not the start of a day"):
            landing_dates(run)
    else:
        assert landing_dates(run) == (day(first).date(), day(after).date())
        parameters = interval_parameters(run)
        assert parameters["interval_start"] == day(first).isoformat()
        assert parameters["interval_end"] == day(after).isoformat()


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (dag_run(None, None), "neither a data interval nor a logical date"),
        (dag_run(day(8), day(1)), "does not end after its start"),
        (dag_run(day(8), day(8), day(1)), "does not end after its start"),
        (dag_run(NOW, NOW, NOW), "logical date of this run, 2026-11-29T14:32"),
        (dag_run(day(1, 2), day(1, 20)), "start of the data interval of this run"),
        (dag_run(day(1), day(2, 1)), "end of the data interval of this run"),
        (dag_run(day(1, 2), day(1, 20), None, "scheduled"), "lies within one day"),
        # As in github.com/apache/airflow/pull/70089: a day of 23 hours, which begins in UTC and ends in summer time.
        (
            dag_run(datetime(2018, 3, 25, tzinfo=LONDON), datetime(2018, 3, 26, tzinfo=LONDON), NOW),
            "end of the data interval of this run, 2018-03-26T00:00:00.01:00, is 2018-03-25 23:00:00 in UTC",
        ),
    ],
)
def test_a_run_without_landing_dates_is_refused_before_any_request(
    workspace: TinyWorkspace, run: SimpleNamespace, words: str
) -> None:
    with pytest.raises(IntervalRefused, match=words):
        CheckLanding(task_id="check_landing").execute({"dag_run": run})
    assert workspace.requests == []


def test_landed_dates_are_counted_over_all_pages_of_the_listing(workspace: TinyWorkspace) -> None:
    workspace.page_size = 10
    assert check(day(1), day(31)) == {"first": "2018-01-01", "after": "2018-01-31", "dates": 30, "landed": 30}
    listings = [f"/api/2.0/fs/directories{LANDING}"] * 4
    folders = [f"/api/2.0/fs/directories{LANDING}/dt=2018-01-{day:02}" for day in range(1, 31)]
    assert [path for _, path in workspace.requests[:4]] == listings
    assert sorted(unquote(path) for _, path in workspace.requests[4:]) == folders


def test_missing_dates_are_named(workspace: TinyWorkspace) -> None:
    workspace.folders[LANDING] = ["dt=2018-01-01", "dt=2018-01-04", ".dt=2018-01-02", "dt=2018-01-03.csv"]
    with pytest.raises(
        LandingIncomplete, match=r"4 of 6 .*2018-01-02 to 2018-01-03, 2018-01-05 to 2018-01-06"
    ) as found:
        check(day(1), day(7))
    assert not isinstance(found.value, IntervalRefused), "check_landing must be retried"


def test_a_setting_tolerates_some_missing_dates_but_not_all(workspace: TinyWorkspace) -> None:
    workspace.folders[LANDING] = ["dt=2018-01-01"]
    assert check(day(1), day(3), ALLOW_MISSING_DATES="true")["landed"] == 1
    with pytest.raises(LandingIncomplete):
        check(day(2), day(3), ALLOW_MISSING_DATES="true")


def test_a_date_that_lies_further_ahead_than_the_retries_is_refused(workspace: TinyWorkspace) -> None:
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    after = tomorrow + timedelta(days=1)
    with pytest.raises(IntervalRefused, match=f"{tomorrow:%Y-%m-%d} lies ahead: run it when it has landed"):
        check(tomorrow, after, LANDING_RETRIES="0")
    with pytest.raises(LandingIncomplete):
        check(tomorrow, after, LANDING_RETRIES="2", LANDING_RETRY_DELAY="86400")


def test_a_missing_landing_folder_is_named(workspace: TinyWorkspace) -> None:
    with pytest.raises(LandingIncomplete, match="/Volumes/spark_catalog/x_landing/files does not exist"):
        check(day(1), day(3), SCHEMA_PREFIX="x_")


def test_many_spans_are_cut_short() -> None:
    dates = [date(2018, 1, 1) + timedelta(days=2 * n) for n in range(30)]
    assert date_ranges(dates).endswith("and 10 more ranges up to 2018-02-28")
