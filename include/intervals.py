"""Landing dates of a data interval (design, section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from airflow.sdk.exceptions import AirflowFailException

HOW_TO_GIVE_ONE = (
    'In the UI choose "Specify Manually" under Data Interval; through the API send logical_date together with '
    "data_interval_start and data_interval_end; for many days use `airflow backfill create`."
)


def utc_dates(start: datetime | None, end: datetime | None) -> tuple[date, date]:
    """The first landing date of an interval and the first one after it, or a refusal."""
    if start is None or end is None:
        raise AirflowFailException(f"This run has no data interval, so it has no landing dates. {HOW_TO_GIVE_ONE}")
    shown = f"{start.isoformat()} to {end.isoformat()}"
    if end <= start:
        raise AirflowFailException(f"The data interval {shown} ends before it starts. {HOW_TO_GIVE_ONE}")
    first, after = start.astimezone(UTC).date(), end.astimezone(UTC).date()
    if first >= after:
        raise AirflowFailException(
            f"The data interval {shown} contains no landing date: the dates d with date(start) <= d < date(end), "
            f"in UTC, are taken. {HOW_TO_GIVE_ONE}"
        )
    return first, after


def days(first: date, after: date) -> list[date]:
    """The dates from `first` up to but not including `after`."""
    return [first + timedelta(days=n) for n in range((after - first).days)]


def spans(dates: Iterable[date], at_most: int = 20) -> str:
    """Dates for people: neighbours as one span, and no more than `at_most` spans."""
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
