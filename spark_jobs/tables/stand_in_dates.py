"""Dates that programs write where there is none: the zero of their clocks, and the ends of their calendars."""

from __future__ import annotations

from datetime import date

FIRST_YEAR, LAST_YEAR = 1902, 2098
"""Dates of other years stand for none: 0001, 1601, 1753, 1899-12-30, 1900-01-01; 2099, 2262, 9999-12-31."""
DATES = (
    *(date(1904, 1, 1), date(1904, 1, 2)),  # spreadsheets of the Mac
    *(date(1969, 12, 31), date(1970, 1, 1), date(1970, 1, 2)),  # Unix, in any time zone
    *(date(1980, 1, 1), date(2038, 1, 19)),  # the beginning of DOS, and the end of seconds in 32 bits
)


def is_stand_in(day: date) -> bool:
    """Return whether a day stands for no date."""
    return day in DATES or not FIRST_YEAR <= day.year <= LAST_YEAR


def _spelled(day: date) -> set[str]:
    padded = (f"{day.month:02}", f"{day.day:02}")
    plain = (str(day.month), str(day.day))
    pairs = {pair for first, second in (padded, plain) for pair in ((first, second), (second, first))}
    return {str(day), *(f"{a}{sign}{b}{sign}{day.year}" for a, b in pairs for sign in "/-")}


SPELLINGS: tuple[str, ...] = tuple(sorted({text for day in DATES for text in _spelled(day)}))
"""How these days are written, by any order of day and month."""
_YEARS = r"(?:0[0-9]{3}|1[0-8][0-9]{2}|190[01]|2099|2[1-9][0-9]{2}|[3-9][0-9]{3})"
OTHER_YEARS = rf"^(?:[0-9]{{1,2}}[/-][0-9]{{1,2}}[/-]{_YEARS}|{_YEARS}-[0-9]{{2}}-[0-9]{{2}})\z"
"""A regular expression for a day of a year before FIRST_YEAR or after LAST_YEAR, in these ways."""
