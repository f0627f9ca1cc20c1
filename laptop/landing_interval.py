"""The landing dates of a run, as a person gives them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from machine.command_line import UserError


def parse_interval(start: str, end: str) -> tuple[datetime, datetime]:
    """Return the data interval [START, END) as midnights in UTC: its landing dates are START up to, and without, END.

    Raises UserError.
    """
    first, last = _day("START", start), _day("END", end)
    if last <= first:
        raise UserError(
            f"END={end} must be after START={start}: a run takes the landing dates from START up to, and without, END. "
            f"For the one date {start} give END={first + timedelta(days=1)}."
        )
    return _midnight(first), _midnight(last)


def landed_interval(landing: Path) -> tuple[datetime, datetime]:
    """Return the interval from the first landed date of a landing folder to the last one. Raises UserError."""
    days = [date.fromisoformat(folder.name[3:]) for folder in landing.glob("dt=????-??-??") if folder.is_dir()]
    if not days:
        raise UserError(f"nothing has landed: {landing} has no folder dt=YYYY-MM-DD. `make replay DATA=...` fills it.")
    return _midnight(min(days)), _midnight(max(days) + timedelta(days=1))


def _day(name: str, text: str) -> date:
    text = text.strip()
    if not text:
        raise UserError(
            f"{name} is missing: give both START=2018-01-01 and END=2018-01-02, the day after the last one."
        )
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise UserError(f"{name}={text} is not a date; write it like {name}=2018-01-01.")


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
