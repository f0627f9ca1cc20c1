"""The settings of a feed. Equal settings make equal bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

import numpy as np

from feeds.synthetic.draws import Flags, Integers
from spark_jobs.runtime.errors import ParameterRefused

EPOCH = date(2015, 1, 1)
"""Day 0 of every feed: the first day of the source. No feed has earlier days."""
FAULTS = ("late", "repeated", "corrupt", "malformed", "missing")
FEWER_ORDERS, DOUBLED_PRICES, MISSING_VALUES, MISSING_MARKET = INCIDENTS = (
    "fewer_orders",
    "doubled_prices",
    "missing_values",
    "missing_market",
)
"""The kinds of incidents: what can happen to a day's file as a whole."""
_MILLION = 1_000_000


@dataclass(frozen=True)
class Incident:
    """One of INCIDENTS, on consecutive days. Days are counted from the epoch."""

    kind: str
    first_day: int
    last_day: int

    @classmethod
    def parse(cls, text: str) -> Incident:
        """Parse a text such as fewer_orders=2018-03-01 or missing_market=2018-03-01/2018-03-07.

        Raises ParameterRefused.
        """
        found = re.fullmatch(r"(\w+)=([\d-]+)(?:/([\d-]+))?", text.strip())
        if not found or found[1] not in INCIDENTS:
            raise ParameterRefused(
                f"the incident is {text.strip()!r}: it must be one of {', '.join(INCIDENTS)} with its day, or its first"
                " and last day, as in fewer_orders=2018-03-01/2018-03-07"
            )
        first, last = (day_number(_date(day)) for day in (found[2], found[3] or found[2]))
        return cls(found[1], first, last)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ParameterRefused(f"the day of an incident is {text!r}, which is not a date such as 2018-01-31") from None


@dataclass(frozen=True)
class FeedSettings:
    """`scale` is in thousandths of the source's daily volume, shares are in millionths."""

    seed: int = 7
    scale: int = 1000
    late: int = 0
    """Share of orders whose first delivery comes days after their date."""
    repeated: int = 0
    """Share of lines that occur twice in their file."""
    corrupt: int = 0
    """Share of lines with a value that breaks a row rule, does not parse, or is not in the encoding."""
    malformed: int = 0
    """Share of lines with a wrong number of fields, or broken quoting."""
    missing: int = 0
    """Share of lines without the name of their department, which is no fault."""
    incidents: tuple[Incident, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1_000_000:
            raise ParameterRefused("the scale must be from 0.001 to 1000 (1 is the daily volume of the source)")
        if self.repeated + self.corrupt + self.malformed + self.missing > _MILLION:
            raise ParameterRefused(
                "the shares of repeated, corrupt and malformed lines, and of those without a value, are more than 1"
                " together"
            )

    @classmethod
    def parse(cls, seed: str, scale: str, incidents: str = "", **shares: str) -> FeedSettings:
        """Parse texts: a whole number, a decimal number, incidents separated by commas, and for each of FAULTS a share
        from 0 to 1.

        Raises ParameterRefused.
        """
        try:
            number = int(seed)
        except ValueError:
            raise ParameterRefused(f"the seed is {seed!r}: it must be a whole number") from None
        return cls(
            number,
            _scaled("scale", scale, 1000, Decimal(1000)),
            incidents=tuple(Incident.parse(text) for text in incidents.split(",") if text.strip()),
            **{name: _scaled(f"share of {name}", text, _MILLION, Decimal(1)) for name, text in shares.items()},
        )

    def incidents_on(self, day: int) -> list[str]:
        """Return the kinds of incidents that happen to the file of a day, in the order of INCIDENTS."""
        kinds = {one.kind for one in self.incidents if one.first_day <= day <= one.last_day}
        return [kind for kind in INCIDENTS if kind in kinds]

    def has(self, kind: str, days: Integers) -> Flags:
        """Return for each of these days whether an incident of a kind happens to its file."""
        happens = np.zeros(len(days), dtype=np.bool_)
        for one in self.incidents:
            if one.kind == kind:
                happens |= (one.first_day <= days) & (days <= one.last_day)
        return happens


def _scaled(name: str, text: str, factor: int, most: Decimal) -> int:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    scaled = value * factor
    if not (value.is_finite() and 0 <= value <= most and scaled == int(scaled)):
        raise ParameterRefused(f"the {name} is {text!r}: it must be a number from 0 to {most}, in steps of 1/{factor}")
    return int(scaled)


def day_number(day: date) -> int:
    """Return days since the epoch. Raises ParameterRefused before it."""
    if day < EPOCH:
        raise ParameterRefused(f"there is no feed for {day}: it begins on {EPOCH}")
    return (day - EPOCH).days


def date_of(number: int) -> date:
    return EPOCH + timedelta(days=number)
