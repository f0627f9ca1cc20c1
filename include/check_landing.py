"""The first task of a run: check that the data interval has landing dates and that their files have landed."""

from __future__ import annotations

from datetime import date
from typing import Any

from airflow.sdk import BaseOperator

from include.failures import FileMissing, LandingIncomplete
from include.intervals import days, landing_dates, spans
from include.settings import SETTINGS, Settings
from include.workspace import Workspace


def missing_dates(folders: set[str], first: date, after: date) -> list[date]:
    """Return the landing dates from `first` up to but not including `after` that have no folder dt=YYYY-MM-DD."""
    return [day for day in days(first, after) if f"dt={day.isoformat()}" not in folders]


class CheckLanding(BaseOperator):
    """Refuse an interval without landing dates before any job runs, and wait for dates that have not landed.

    Raises `IntervalRefused` for good, and `LandingIncomplete`, which Airflow retries.
    """

    ui_color = "#d9e8f5"

    def __init__(self, *, settings: Settings = SETTINGS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings

    def execute(self, context: Any) -> dict[str, Any]:
        """Return the first landing date, the date after the last one, and how many dates there are and have landed."""
        first, after = landing_dates(context["dag_run"])
        expected = days(first, after)
        self.log.info("Landing dates of this run: %s (%d).", spans(expected), len(expected))
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
                    f"{message} Deliver them (a day without orders is an empty folder), or tolerate missing "
                    "dates with LAKEHOUSE_ALLOW_MISSING_DATES=true."
                )
            self.log.warning("%s LAKEHOUSE_ALLOW_MISSING_DATES tolerates them.", message)
        return {
            "first": first.isoformat(),
            "after": after.isoformat(),
            "dates": len(expected),
            "landed": len(expected) - len(missing),
        }
