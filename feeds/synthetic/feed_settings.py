"""The settings of a feed. Equal settings make equal bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

from spark_jobs.runtime.errors import ParameterRefused

EPOCH = date(2015, 1, 1)
"""Day 0 of every feed: the first day of the source. No feed has earlier days."""
FAULTS = ("late", "repeated", "corrupt", "malformed")
_MILLION = 1_000_000


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

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1_000_000:
            raise ParameterRefused("the scale must be from 0.001 to 1000 (1 is the daily volume of the source)")
        if self.repeated + self.corrupt + self.malformed > _MILLION:
            raise ParameterRefused("the shares of repeated, corrupt and malformed lines are more than 1 together")

    @classmethod
    def parse(cls, seed: str, scale: str, **shares: str) -> FeedSettings:
        """Parse texts: a whole number, a decimal number, and for each of FAULTS a share from 0 to 1.

        Raises ParameterRefused.
        """
        try:
            number = int(seed)
        except ValueError:
            raise ParameterRefused(f"the seed is {seed!r}: it must be a whole number") from None
        return cls(
            number,
            _scaled("scale", scale, 1000, Decimal(1000)),
            **{name: _scaled(f"share of {name}", text, _MILLION, Decimal(1)) for name, text in shares.items()},
        )


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
