"""The schedule: a data interval a day, and an end for data that have ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import CronDataIntervalTimetable
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable as CoreCronDataIntervalTimetable


class EndingCronTimetable(CoreCronDataIntervalTimetable):
    """Cron data intervals of which the scheduler makes no run that would end after a date.

    Airflow's own `end_date` cannot do this: it also refuses the tasks of manual runs, whose logical date is today.
    A backfill asks with catch-up on, and is not bound.
    """

    def __init__(self, cron: str, timezone: Any, end: datetime) -> None:
        super().__init__(cron, timezone)
        self._end = end

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next run, unless it is one for the scheduler and lies after the end."""
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        if info is None or restriction.catchup or info.run_after <= self._end:
            return info
        return None

    def serialize(self) -> dict[str, Any]:
        """What Airflow stores of the timetable."""
        return {**super().serialize(), "end": self._end.isoformat()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> EndingCronTimetable:
        """The timetable again, from what was stored."""
        plain = CoreCronDataIntervalTimetable.deserialize(data)
        return cls(data["expression"], plain._timezone, datetime.fromisoformat(data["end"]))  # type: ignore[attr-defined]


def daily(cron: str, end: datetime | None) -> CronDataIntervalTimetable | EndingCronTimetable:
    """The timetable of the daily run, in UTC."""
    return EndingCronTimetable(cron, "UTC", end) if end else CronDataIntervalTimetable(cron, timezone="UTC")
