"""The daily schedule, with an optional first and last day for a data set that began and ended; that of maintenance."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from pendulum import DateTime


class MaintenanceTimetable(CronDataIntervalTimetable):
    """Cron data intervals of which the first begins at a start date, or later: in a new lakehouse nothing is old yet.

    The newest interval only, as without catch-up. Airflow's own `start_date` would also refuse manual runs for earlier
    dates.
    """

    def __init__(self, cron: str, timezone: Any, start: datetime | None = None) -> None:
        super().__init__(cron, timezone)
        self._start = start

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next run."""
        if self._start:
            restriction = TimeRestriction(pendulum.instance(self._start), restriction.latest, restriction.catchup)
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )

    def serialize(self) -> dict[str, Any]:
        """Return what Airflow stores."""
        return {**super().serialize(), "start": self._start and self._start.isoformat()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> MaintenanceTimetable:
        """Restore the timetable from what Airflow stored."""
        plain = CronDataIntervalTimetable.deserialize(data)
        start = data["start"] and datetime.fromisoformat(data["start"])
        return cls(data["expression"], plain._timezone, start)  # type: ignore[attr-defined]


class LandingDateTimetable(CronDataIntervalTimetable):
    """Cron data intervals for the scheduler, from a start date, with catch-up, to an end date; none for manual runs.

    Without a start date the scheduler creates the newest interval only. Airflow's own `start_date` and `end_date`
    would also stop the tasks of manual runs, whose logical date is today. A backfill asks with catch-up on, and is
    not bound, and its last date counts as a whole day.
    """

    def __init__(self, cron: str, timezone: Any, start: datetime | None = None, end: datetime | None = None) -> None:
        super().__init__(cron, timezone)
        self._start, self._end = start, end

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next run; None where the scheduler asks and the run lies after the end date."""
        for_scheduler = not restriction.catchup
        if not for_scheduler and restriction.latest:
            # The last date of a backfill is a day, whatever the time of the schedule; Airflow takes its midnight.
            latest = restriction.latest.end_of("day")
            restriction = TimeRestriction(restriction.earliest, latest, catchup=True)
        if for_scheduler and self._start:
            restriction = TimeRestriction(pendulum.instance(self._start), restriction.latest, catchup=True)
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        if for_scheduler and self._end and info and info.run_after > self._end:
            return None
        return info

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """Return an interval without extent, for a run without one: `landing_dates` then uses the logical date.

        `run_after` is not always the logical date: `airflow dags trigger` passes the current time.
        """
        return DataInterval.exact(run_after)

    def serialize(self) -> dict[str, Any]:
        """Return what Airflow stores."""
        bounds = {"start": self._start, "end": self._end}
        return {**super().serialize(), **{name: bound and bound.isoformat() for name, bound in bounds.items()}}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> LandingDateTimetable:
        """Restore the timetable from what Airflow stored."""
        plain = CronDataIntervalTimetable.deserialize(data)
        start, end = (data[name] and datetime.fromisoformat(data[name]) for name in ("start", "end"))
        return cls(data["expression"], plain._timezone, start, end)  # type: ignore[attr-defined]
