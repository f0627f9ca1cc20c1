"""In which order a file writes day and month, decided from the evidence that the file has.

`9/6/2017` is 6 September where the month comes first, and 9 June where the day does. Most dates can be read both ways,
so the order is a setting of the source; `auto` decides for each file:

- **Certain evidence** is a part above 12, or that the order's and the shipping date are as many days apart as the line
  states (`Days for shipping (real)`) in one order and not in the other.
- **Weak evidence** counts where a file has no certain one: an order lies within the bounds of its landing date (it is
  not placed after it was landed) in one order and not in the other.
- A file of which all evidence agrees is read by it. Where evidence disagrees, or there is none, a line is ambiguous
  unless it itself has certain evidence for the order that most lines have evidence for.

The standard library is enough: `feeds.daily_replay` uses it as bronze does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal

ORDER_DATE = "order date (DateOrders)"
SHIPPING_DATE = "shipping date (DateOrders)"
STATED_DAYS = "Days for shipping (real)"
EVIDENCE_COLUMNS = (ORDER_DATE, SHIPPING_DATE, STATED_DAYS)

Order = Literal["month_first", "day_first"]
AUTO = "auto"
MONTH_FIRST: Order = "month_first"
DAY_FIRST: Order = "day_first"
_BOTH = (MONTH_FIRST, DAY_FIRST)
DATE_ORDERS = (AUTO, MONTH_FIRST, DAY_FIRST)
SEPARATORS = "/-"
Texts = tuple[bytes, bytes, bytes]
"""The fields of EVIDENCE_COLUMNS as they stand in a line."""

_BLANKS = r"[\s\x80-\xff]*+"  # of any encoding: white space, or bytes beyond ASCII
_AROUND = rf'{_BLANKS}"?{_BLANKS}'
_DATE = re.compile(rf"{_AROUND}(\d{{1,2}})([{SEPARATORS}])(\d{{1,2}})\2(\d{{4}})(?!\d)", re.ASCII)
_DAYS = re.compile(rf"{_AROUND}([+-]?\d{{1,9}}){_AROUND}", re.ASCII)
_FIELD = re.compile(rb',("[^"]*+(?:""[^"]*+)*+"[^,]*+|[^,]*+)')
_LONGEST = 24
"""Bytes of a date, with blanks and quotes around it."""


def fields_of(record: bytes) -> list[bytes]:
    """Return the fields of a record as they stand in it, quotes included."""
    return _FIELD.findall(b"," + record) if b'"' in record else record.split(b",")


@dataclass(frozen=True)
class Readings:
    """The day that a text is in either order; None where it is none."""

    month_first: date | None = None
    day_first: date | None = None

    @classmethod
    def of(cls, text: str) -> Readings:
        """Read the date that a text begins with."""
        if not (found := _DATE.match(text)):
            return cls()
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        return cls(_day(year, first, second), _day(year, second, first))

    def by(self, order: Order) -> date | None:
        return self.month_first if order == MONTH_FIRST else self.day_first

    @property
    def only(self) -> Order | None:
        """The one order in which the text is a date."""
        if (self.month_first is None) == (self.day_first is None):
            return None
        return DAY_FIRST if self.month_first is None else MONTH_FIRST

    @property
    def is_ambiguous(self) -> bool:
        return None not in (self.month_first, self.day_first) and self.month_first != self.day_first


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


@dataclass(frozen=True)
class LineDates:
    """What a line states: when it was ordered and shipped, and the days in between."""

    ordered: Readings
    shipped: Readings
    certain: frozenset[Order]
    """The orders for which the line has certain evidence."""


def evidence_texts(fields: Sequence[bytes], positions: Sequence[int | None], shift: int = 0) -> Texts:
    """Return the fields at the positions of EVIDENCE_COLUMNS, None where there is no such column; dates without times.

    Without the time of day few lines differ.
    """
    last = len(fields) - shift
    ordered, shipped, days = (
        fields[position + shift][:_LONGEST] if position is not None and -shift <= position < last else b""
        for position in positions
    )
    return ordered.rpartition(b" ")[0] or ordered, shipped.rpartition(b" ")[0] or shipped, days


@lru_cache(maxsize=100_000)
def line_dates(texts: Texts) -> LineDates:
    """Read what `evidence_texts` gives."""
    ordered, shipped, days = (text.decode("latin-1") for text in texts)
    readings = Readings.of(ordered), Readings.of(shipped)
    stated = _DAYS.fullmatch(days)
    return LineDates(*readings, frozenset(_certain(*readings, int(stated[1]) if stated else None)))


def _certain(ordered: Readings, shipped: Readings, days: int | None) -> Iterator[Order]:
    if ordered.only or shipped.only:
        yield from (only for only in (ordered.only, shipped.only) if only)
        return
    agreeing = [order for order in _BOTH if days is not None and _apart(ordered.by(order), shipped.by(order)) == days]
    if len(agreeing) == 1:
        yield agreeing[0]


def _apart(ordered: date | None, shipped: date | None) -> int | None:
    return (shipped - ordered).days if ordered and shipped else None


@dataclass(frozen=True)
class DateOrder:
    """How the dates of one file are read."""

    order: Order | None
    """None where no order has more evidence than the other."""
    agreed: bool
    """Whether all evidence of the file is for it, or the order was set. Else each line needs its own evidence."""
    is_set: bool = False
    """Whether it was set: then no date is read in the other order, not even one that is none in this order."""

    def day(self, line: LineDates) -> date | None:
        """Return the day of an order; None where it is no date, or ambiguous."""
        if self.order and self.is_set:
            return line.ordered.by(self.order)
        if not line.ordered.is_ambiguous:
            return line.ordered.month_first or line.ordered.day_first
        if self.order and (self.agreed or line.certain == {self.order}):
            return line.ordered.by(self.order)
        return None


class DateEvidence:
    """Collects the evidence of one file, line by line, and decides.

    `is_plausible` tells whether an order of a day can have been landed with the file; None where that is not known.
    """

    def __init__(self, setting: str = AUTO, is_plausible: Callable[[date], bool] | None = None) -> None:
        self._setting = setting
        self._is_plausible = is_plausible
        self._lines: Counter[Texts] = Counter()

    def add(self, texts: Texts) -> None:
        """Add a line by its `evidence_texts`."""
        self._lines[texts] += 1

    def decide(self) -> DateOrder:
        """Return the order of the lines that were added."""
        if self._setting != AUTO:
            return DateOrder(DAY_FIRST if self._setting == DAY_FIRST else MONTH_FIRST, agreed=True, is_set=True)
        certain: Counter[Order] = Counter()
        weak: Counter[Order] = Counter()
        for texts, number in self._lines.items():
            line = line_dates(texts)
            for order in line.certain:
                certain[order] += number
            for order in self._weak(line):
                weak[order] += number
        votes = certain or weak
        month_first, day_first = (votes[order] for order in _BOTH)
        if month_first == day_first:
            return DateOrder(None, agreed=False)
        return DateOrder(MONTH_FIRST if month_first > day_first else DAY_FIRST, agreed=not (month_first and day_first))

    def _weak(self, line: LineDates) -> list[Order]:
        if self._is_plausible is None or not line.ordered.is_ambiguous:
            return []
        plausible = [order for order in _BOTH if (day := line.ordered.by(order)) and self._is_plausible(day)]
        return plausible if len(plausible) == 1 else []
