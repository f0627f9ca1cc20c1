"""check_landing: which intervals it accepts, and which dates it waits for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from include.check_landing import CheckLanding
from include.failures import IntervalRefused, LandingIncomplete
from include.intervals import spans, utc_dates
from include.settings import load
from tests.dags.tiny_workspace import LANDING, TinyWorkspace


def check(start: datetime | None, end: datetime | None, **settings: str) -> dict[str, Any]:
    run = SimpleNamespace(data_interval_start=start, data_interval_end=end)
    loaded = load({f"LAKEHOUSE_{name}": value for name, value in settings.items()})
    return CheckLanding(task_id="check_landing", settings=loaded).execute({"dag_run": run})


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2018, 1, number, hour, tzinfo=UTC)


def test_dates_are_those_from_start_up_to_end_in_utc() -> None:
    assert utc_dates(day(1), day(8)) == (date(2018, 1, 1), date(2018, 1, 8))
    assert utc_dates(day(1, 4), day(2, 4)) == (date(2018, 1, 1), date(2018, 1, 2))
    vienna = timezone(timedelta(hours=1))
    assert utc_dates(datetime(2018, 1, 1, tzinfo=vienna), day(8)) == (date(2017, 12, 31), date(2018, 1, 8))


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (None, None, "no data interval"),
        (day(8), day(1), "ends before it starts"),
        (day(1), day(1), "ends before it starts"),
        (day(1, 2), day(1, 20), "contains no landing date"),
    ],
)
def test_an_interval_without_dates_is_refused_before_any_request(
    workspace: TinyWorkspace, start: datetime | None, end: datetime | None, words: str
) -> None:
    with pytest.raises(IntervalRefused, match=words):
        check(start, end)
    assert workspace.requests == []


def test_landed_dates_are_counted_over_all_pages_of_the_listing(workspace: TinyWorkspace) -> None:
    workspace.page_size = 10
    assert check(day(1), day(31)) == {"first": "2018-01-01", "after": "2018-01-31", "dates": 30, "landed": 30}
    assert workspace.requests == [("GET", f"/api/2.0/fs/directories{LANDING}")] * 4


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


def test_a_missing_landing_folder_is_named(workspace: TinyWorkspace) -> None:
    with pytest.raises(LandingIncomplete, match="/Volumes/spark_catalog/x_landing/files does not exist"):
        check(day(1), day(3), SCHEMA_PREFIX="x_")


def test_many_spans_are_cut_short() -> None:
    dates = [date(2018, 1, 1) + timedelta(days=2 * n) for n in range(30)]
    assert spans(dates).endswith("and 10 more spans up to 2018-02-28")
