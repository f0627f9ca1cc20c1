"""Landing dates of a data interval."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from include.failures import IntervalRefused

INTERVAL_HELP = (
    'In the UI choose "Specify Manually" under Data Interval, from 00:00 to 00:00 in UTC; on the command line use '
    "`airflow dags trigger --logical-date 2018-01-05`; for many days use `airflow backfill create`."
)


def landing_dates(run: Any) -> tuple[date, date]:
    """Return the first landing date of a DAG run and the date after its last one.

    A data interval means what it says: whole days in UTC. Without one, the logical date is the landing date. The
    interval of a schedule whose cron does not run at midnight covers the dates d with date(start) <= d < date(end).
    Raises `IntervalRefused` if there is no landing date.
    """
    start, end = run.data_interval_start, run.data_interval_end
    given = start is not None and end is not None and (start != end or _is_given(start, run.logical_date))
    if not given:
        if run.logical_date is None:
            raise IntervalRefused(
                "This run has neither a data interval nor a logical date (Airflow drops an interval that comes without "
                f"a logical date). {INTERVAL_HELP}"
            )
        first = _midnight(run.logical_date, "logical date")
        return first, first + timedelta(days=1)
    if end <= start:
        raise IntervalRefused(
            f"The data interval {start.isoformat()} to {end.isoformat()} does not end after its start. {INTERVAL_HELP}"
        )
    if getattr(run.run_type, "value", run.run_type) not in ("scheduled", "backfill"):
        return _midnight(start, "start of the data interval"), _midnight(end, "end of the data interval")
    first, after = start.astimezone(UTC).date(), end.astimezone(UTC).date()
    if first == after:
        raise IntervalRefused(
            f"The data interval {start.isoformat()} to {end.isoformat()} lies within one day and has no landing date: "
            "LAKEHOUSE_SCHEDULE must not run more than once a day."
        )
    return first, after


def _is_given(moment: datetime, logical_date: datetime | None) -> bool:
    """Return whether an interval without extent was given: the timetable makes one of the logical date, or of now."""
    return moment != logical_date and moment.astimezone(UTC).time() == time()


def interval_parameters(run: Any) -> dict[str, str]:
    """Return the job parameters of a DAG run's landing dates: the midnights in UTC that bound them."""
    first, after = landing_dates(run)
    return {"interval_start": f"{first}T00:00:00+00:00", "interval_end": f"{after}T00:00:00+00:00"}


def _midnight(moment: datetime, what: str) -> date:
    utc = moment.astimezone(UTC)
    if utc.time() != time():
        raise IntervalRefused(
            f"The {what} of this run, {moment.isoformat()}, is {utc:%Y-%m-%d %H:%M:%S} in UTC, not the "
            f"start of a day. Landing dates are days in UTC. {INTERVAL_HELP}"
        )
    return utc.date()


def days(first: date, after: date) -> list[date]:
    """Return the dates from `first` up to but not including `after`."""
    return [first + timedelta(days=n) for n in range((after - first).days)]


def date_ranges(dates: Iterable[date], at_most: int = 20) -> str:
    """Describe dates for people: consecutive dates as one range, at most `at_most` ranges."""
    found: list[list[date]] = []
    for day in sorted(set(dates)):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1][1] = day
        else:
            found.append([day, day])
    shown = [a.isoformat() if a == b else f"{a.isoformat()} to {b.isoformat()}" for a, b in found[:at_most]]
    if len(found) > at_most:
        shown.append(f"and {len(found) - at_most} more ranges up to {found[-1][1].isoformat()}")
    return ", ".join(shown)
