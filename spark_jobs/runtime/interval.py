"""The landing dates of a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from spark_jobs.runtime.errors import IntervalRefused


@dataclass(frozen=True, order=True)
class Interval:
    """The landing dates d with start <= d < end."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise IntervalRefused(
                f"the interval {self.start} to {self.end} holds no landing date: its end must be a later day"
                " than its start"
            )

    @classmethod
    def parse(cls, interval_start: str, interval_end: str) -> Interval:
        """Parse two ISO dates or date-times; those with a zone count as of UTC, those without are UTC.

        Raises IntervalRefused.
        """
        return cls(utc_date("interval_start", interval_start), utc_date("interval_end", interval_end))

    def dates(self) -> list[date]:
        return [self.start + timedelta(days=n) for n in range((self.end - self.start).days)]

    def overlaps(self, other: Interval) -> bool:
        return self.start < other.end and other.start < self.end

    def __str__(self) -> str:
        return f"{self.start} to {self.end} (exclusive)"


def utc_date(name: str, text: str) -> date:
    """Return the UTC date of an ISO date or date-time; one without a zone counts as UTC. Raises IntervalRefused."""
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise IntervalRefused(
            f"{name} is {text!r}, which is not a date or date-time such as 2018-01-31 or 2018-01-31T00:00:00+00:00"
        ) from None
    return instant.date() if instant.tzinfo is None else instant.astimezone(UTC).date()
