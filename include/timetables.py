"""The daily schedule, with an optional first and last day for a data set that began and ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pendulum
from airflow.sdk import CronDataIntervalTimetable
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable as CoreCronDataIntervalTimetable


class BoundedCronTimetable(CoreCronDataIntervalTimetable):
    """Cron data intervals for the scheduler, from a start date, with catch-up, to an end date.

    Without a start date the scheduler creates the newest interval only. Airflow's own `start_date` and `end_date`
    would also stop the tasks of manual runs, whose logical date is today. A backfill asks with catch-up on, and is
    not bound.
    """

    def __init__(self, cron: str, timezone: Any, start: datetime | None, end: datetime | None) -> None:
        super().__init__(cron, timezone)
        self._start, self._end = start, end

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next run; None where the scheduler asks and the run lies after the end date."""
        for_scheduler = not restriction.catchup
        if for_scheduler and self._start:
            restriction = TimeRestriction(pendulum.instance(self._start), restriction.latest, catchup=True)
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        if for_scheduler and self._end and info and info.run_after > self._end:
            return None
        return info

    def serialize(self) -> dict[str, Any]:
        """Return what Airflow stores."""
        bounds = {"start": self._start, "end": self._end}
        return {**super().serialize(), **{name: bound and bound.isoformat() for name, bound in bounds.items()}}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> BoundedCronTimetable:
        """Restore the timetable from what Airflow stored."""
        plain = CoreCronDataIntervalTimetable.deserialize(data)
        start, end = (data[name] and datetime.fromisoformat(data[name]) for name in ("start", "end"))
        return cls(data["expression"], plain._timezone, start, end)  # type: ignore[attr-defined]


def daily(cron: str, start: datetime | None, end: datetime | None) -> CronDataIntervalTimetable | BoundedCronTimetable:
    """Return the timetable of the daily run, in UTC."""
    if start or end:
        return BoundedCronTimetable(cron, "UTC", start, end)
    return CronDataIntervalTimetable(cron, timezone="UTC")
