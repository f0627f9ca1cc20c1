"""The first task of a run: check that the data interval has landing dates and that their files have landed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time
from typing import Any

from airflow.sdk import BaseOperator

from include.failures import FileMissing, IntervalRefused, LandingIncomplete
from include.intervals import date_ranges, days, landing_dates
from include.landing_names import Entry, folder_name, near_misses, why_not_landed
from include.settings import SETTINGS, Settings
from include.workspace import Workspace

MOST_FOLDERS_READ = 62
"""Of a longer interval, only the folders of the last dates are looked into, which are those that may still be arriving.
The build looks into all of them."""
REQUESTS_AT_ONCE = 8
NO_FOLDER = "no folder"


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
        self.log.info("Landing dates of this run: %s (%d).", date_ranges(expected), len(expected))
        root = self.settings.landing_volume
        workspace = Workspace(self.settings, "CheckLanding")
        try:
            entries = workspace.entries(root)
        except FileMissing as error:
            raise LandingIncomplete(
                f"The landing folder {root} does not exist, so none of {date_ranges(expected)} has landed. Create it "
                "by delivering a first date, as <landing>/dt=YYYY-MM-DD/*.csv."
            ) from error
        missing = _missing(workspace, root, {str(e["name"]) for e in entries if e.get("is_directory")}, expected)
        if missing:
            message = _sentence(root, missing, len(expected), [str(entry["name"]) for entry in entries])
            if not self.settings.allow_missing_dates or len(missing) == len(expected):
                given_up = datetime.now(UTC) + self.settings.landing_retries * self.settings.landing_retry_delay
                if ahead := [day for day in missing if datetime.combine(day, time(), UTC) > given_up]:
                    raise IntervalRefused(f"{message} {date_ranges(ahead)} lies ahead: run it when it has landed.")
                raise LandingIncomplete(
                    f"{message} Deliver them (for a day without orders a file with a header only), or tolerate missing "
                    "dates with LAKEHOUSE_ALLOW_MISSING_DATES=true."
                )
            self.log.warning("%s LAKEHOUSE_ALLOW_MISSING_DATES tolerates them.", message)
        return {
            "first": first.isoformat(),
            "after": after.isoformat(),
            "dates": len(expected),
            "landed": len(expected) - len(missing),
        }


def _missing(workspace: Workspace, root: str, folders: set[str], expected: list[date]) -> dict[date, str]:
    """Return the dates that have not landed, each with the reason."""
    missing = {day: NO_FOLDER for day in expected if folder_name(day) not in folders}
    read = [day for day in expected[-MOST_FOLDERS_READ:] if day not in missing]

    def reason(day: date) -> str:
        try:
            found = workspace.entries(f"{root}/{folder_name(day)}")
        except FileMissing:  # removed since the listing
            return NO_FOLDER
        return why_not_landed(Entry(str(entry["name"]), entry.get("file_size")) for entry in found)

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        reasons = dict(zip(read, pool.map(reason, read), strict=True))
    return dict(sorted((missing | {day: why for day, why in reasons.items() if why}).items()))


def _sentence(root: str, missing: dict[date, str], expected: int, names: list[str]) -> str:
    """Say which dates have not landed and why, and which entries of the landing root may be meant for them."""
    by_reason: dict[str, list[date]] = {}
    for day, reason in missing.items():
        by_reason.setdefault(reason, []).append(day)
    parts = [f"{len(missing)} of {expected} landing dates have not landed in {root}."]
    if without := by_reason.pop(NO_FOLDER, None):
        parts.append(f"There is no folder dt=YYYY-MM-DD for {date_ranges(without)}.")
    parts += [f"{date_ranges(dates)}: {reason}." for reason, dates in by_reason.items()]
    if seen := near_misses(names, missing):
        parts.append(f"In the landing folder, {'; '.join(seen)}.")
    return " ".join(parts)
