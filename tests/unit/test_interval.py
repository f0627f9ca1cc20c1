"""The landing dates of a run."""

from datetime import date

import pytest

from spark_jobs.runtime.errors import IntervalRefused
from spark_jobs.runtime.interval import Interval


def test_adjoining_intervals_share_no_date_and_miss_none() -> None:
    first = Interval.parse("2018-01-01T00:00:00+00:00", "2018-01-03T00:00:00+00:00")
    second = Interval.parse("2018-01-03", "2018-01-04")
    assert first.dates() + second.dates() == [date(2018, 1, day) for day in (1, 2, 3)]
    assert not first.overlaps(second)
    assert first.overlaps(Interval(date(2018, 1, 2), date(2018, 1, 9)))


def test_other_zones_count_as_of_utc() -> None:
    assert Interval.parse("2018-01-01T23:30:00-01:00", "2018-01-03").start == date(2018, 1, 2)


@pytest.mark.parametrize(
    ("start", "end", "named"),
    [
        ("2018-01-02", "2018-01-01", "2018-01-02 to 2018-01-01"),
        ("2018-01-01T00:00", "2018-01-01T23:59", "holds no landing date"),
        ("2018-02-30", "2018-03-01", "interval_start is '2018-02-30'"),
        ("2018-01-01", "", "interval_end is ''"),
    ],
)
def test_what_is_no_interval_is_refused_by_name(start: str, end: str, named: str) -> None:
    with pytest.raises(IntervalRefused, match=named):
        Interval.parse(start, end)
