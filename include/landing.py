"""The first task of a run: is the interval one, and have its files landed? (design, sections 3 and 4)"""

from __future__ import annotations

from datetime import UTC, date
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from include.intervals import days, spans, utc_dates
from include.settings import SETTINGS, Settings
from include.workspace import FileMissing, Workspace


class LandingIncomplete(AirflowException):
    """Landing dates of the interval have no folder yet. Looked for again on check_landing's own schedule."""


def missing_dates(folders: set[str], first: date, after: date) -> list[date]:
    """The landing dates from `first` up to `after` that have no folder dt=YYYY-MM-DD."""
    return [day for day in days(first, after) if f"dt={day.isoformat()}" not in folders]


class CheckLanding(BaseOperator):
    """Refuses an interval without landing dates before any job runs, and waits for dates that have not landed."""

    ui_color = "#d9e8f5"

    def __init__(self, *, settings: Settings = SETTINGS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings

    def execute(self, context: Any) -> dict[str, Any]:
        """Returns the landing dates of the run: first, the first one after, how many, and how many have landed."""
        run = context["dag_run"]
        first, after = utc_dates(run.data_interval_start, run.data_interval_end)
        expected = days(first, after)
        self.log.info("Landing dates of this run: %s (%d).", spans(expected), len(expected))
        for bound in (run.data_interval_start, run.data_interval_end):
            if bound.astimezone(UTC).time().isoformat() != "00:00:00":
                self.log.warning("%s is not midnight in UTC: only its date counts.", bound.isoformat())
        root = self.settings.landing_volume
        try:
            folders = Workspace(self.settings, "CheckLanding").folders(root)
        except FileMissing as error:
            raise LandingIncomplete(
                f"The landing folder {root} does not exist, so none of {spans(expected)} has landed. Create it by "
                "delivering a first date, as <landing>/dt=YYYY-MM-DD/*.csv."
            ) from error
        missing = missing_dates(folders, first, after)
        if missing:
            message = (
                f"{len(missing)} of {len(expected)} landing dates have not landed: {spans(missing)}. "
                f"There is no folder dt=YYYY-MM-DD for them in {root}."
            )
            if not self.settings.allow_missing_dates or len(missing) == len(expected):
                raise LandingIncomplete(
                    f"{message} Deliver them (a day without orders is an empty folder), or let missing dates pass "
                    "with LAKEHOUSE_ALLOW_MISSING_DATES=true."
                )
            self.log.warning("%s They are let pass, as LAKEHOUSE_ALLOW_MISSING_DATES asks.", message)
        return {
            "first": first.isoformat(),
            "after": after.isoformat(),
            "dates": len(expected),
            "landed": len(expected) - len(missing),
        }
