"""Landing dates of a data interval."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from include.failures import IntervalRefused

INTERVAL_HELP = (
    'In the UI choose "Specify Manually" under Data Interval; through the API send logical_date together with '
    "data_interval_start and data_interval_end; for many days use `airflow backfill create`."
)


def utc_dates(start: datetime | None, end: datetime | None) -> tuple[date, date]:
    """Return the first landing date and the date after the last one; raise `IntervalRefused` if there is none."""
    if start is None or end is None:
        raise IntervalRefused(f"This run has no data interval, so it has no landing dates. {INTERVAL_HELP}")
    shown = f"{start.isoformat()} to {end.isoformat()}"
    if end <= start:
        raise IntervalRefused(f"The data interval {shown} ends before it starts. {INTERVAL_HELP}")
    first, after = start.astimezone(UTC).date(), end.astimezone(UTC).date()
    if first >= after:
        raise IntervalRefused(
            f"The data interval {shown} contains no landing date: the dates d with date(start) <= d < date(end), "
            f"in UTC, are taken. {INTERVAL_HELP}"
        )
    return first, after


def days(first: date, after: date) -> list[date]:
    """Return the dates from `first` up to but not including `after`."""
    return [first + timedelta(days=n) for n in range((after - first).days)]


def spans(dates: Iterable[date], at_most: int = 20) -> str:
    """Describe dates for people: consecutive dates as one span, at most `at_most` spans."""
    found: list[list[date]] = []
    for day in sorted(set(dates)):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1][1] = day
        else:
            found.append([day, day])
    shown = [a.isoformat() if a == b else f"{a.isoformat()} to {b.isoformat()}" for a, b in found[:at_most]]
    if len(found) > at_most:
        shown.append(f"and {len(found) - at_most} more spans up to {found[-1][1].isoformat()}")
    return ", ".join(shown)
