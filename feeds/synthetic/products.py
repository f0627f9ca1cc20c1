"""The products on sale on a day, and their prices: a function of the seed, the product and the day.

The catalogue has as many slots as the source has products. About every ten years a slot gets a new product (so one
joins every month). Its predecessor is then unavailable, and is sold rarely for another two months. Prices change about
every 240 days, and are often equal to the first price. Sometimes a product is out of stock for a while: it is sold
rarely, and its lines say that it is not available.

A product's row is its slot + generation x number of slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feeds.synthetic.calibration import parameters
from feeds.synthetic.draws import Bits, Flags, Integers, Stream, below, pair
from feeds.synthetic.feed_settings import FeedSettings

_GENERATION_EVERY, _GENERATION_SPREAD = 3650, 3000
SOLD_OFF_FOR = 60
PRICE_EVERY = 240
_PRICE_FACTORS = np.array([90, 95, 100, 100, 100, 100, 105, 110])
_OUTAGE_EVERY, _OUTAGE_ONE_IN, _OUTAGE_SHORTEST, _OUTAGE_SPREAD = 180, 3, 5, 20
_ON_SALE, _RUN_OUT, _SOLD_OFF = 20, 5, 1  # how often they are picked, relative to each other
_ID_STEP = 2000
HIGHEST_FACTOR = 1.15 * 1.10


@dataclass(frozen=True)
class Catalogue:
    """The products of consecutive days, with weights."""

    first_day: int
    rows: Integers
    """Of all days, in order of the days."""
    ends: Integers
    """Running sums of the weights: first for known customers, then continued for new ones."""
    bounds: Integers
    """The sums at which the days begin: those for known customers, those for new ones, and the end."""

    def pick(self, draw: Bits, days: Integers, is_new: Flags) -> Integers:
        """Return a product's row for each draw of 32 bits."""
        at = days - self.first_day + np.where(is_new, len(self.bounds) // 2, 0)
        found = self.bounds[at] + below(draw, self.bounds[at + 1] - self.bounds[at])
        return self.rows[np.searchsorted(self.ends, found, side="right") % len(self.rows)]


class Products:
    """All products of a feed."""

    def __init__(self, settings: FeedSettings) -> None:
        content = parameters()["products"]
        self.slots = len(content)
        self._first_ids = np.array([row[0] for row in content], dtype=np.int64)
        self._cents = np.array([row[7] for row in content], dtype=np.int64)
        self.most = np.array([row[8] for row in content], dtype=np.int64)
        self._weights = np.array([row[9:11] for row in content], dtype=np.int64)
        self._joining, self._prices, self._factors, self._outages = (
            Stream(settings.seed, f"product {name}") for name in ("joining", "prices", "factors", "outages")
        )

    def ids(self, rows: Integers) -> Integers:
        return self._first_ids[rows % self.slots] + _ID_STEP * (rows // self.slots)

    def joined(self, rows: Integers) -> Integers:
        """Return the day on which each is first on sale; products of the source always were."""
        generation = rows // self.slots
        spread = below(self._joining.halves(rows)[0], _GENERATION_SPREAD)
        return np.where(generation == 0, -_GENERATION_EVERY, (generation - 1) * _GENERATION_EVERY + spread + 1)

    def rows(self, days: Integers) -> tuple[Integers, Integers]:
        """Return all rows that may be in a line of these days (on sale, or until recently), and the day of each, in
        order of the days and then of the slots."""
        slots = np.tile(np.arange(self.slots), len(days))
        each = np.repeat(days, self.slots)
        newest = slots + self.slots * (each // _GENERATION_EVERY + 1)
        newest = np.where(self.joined(newest) <= each, newest, newest - self.slots)
        is_fresh = (newest >= self.slots) & (self.joined(newest) + 2 * SOLD_OFF_FOR > each)
        times = 1 + is_fresh
        is_older = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times) == 1
        return np.repeat(newest, times) - np.where(is_older, self.slots, 0), np.repeat(each, times)

    def catalogue(self, first_day: int, last_day: int) -> Catalogue:
        days = np.arange(first_day, last_day + 1)
        rows, each = self.rows(days)
        successors = self.joined(rows + self.slots)
        factor = np.where(self._run_out(rows, each), _RUN_OUT, _ON_SALE)
        factor = np.where(successors > each, factor, np.where(successors + SOLD_OFF_FOR > each, _SOLD_OFF, 0))
        ends = np.cumsum((self._weights[rows % self.slots] * factor[:, None]).T.reshape(-1))
        begins = np.searchsorted(each, days)
        before = np.concatenate([[0], ends])
        return Catalogue(first_day, rows, ends, before[np.concatenate([begins, begins + len(rows), [len(ends)]])])

    def is_unavailable(self, rows: Integers, day: int | Integers) -> Flags:
        return self._run_out(rows, day) | (self.joined(rows + self.slots) <= day)

    def cents(self, rows: Integers, day: int | Integers) -> Integers:
        """Return list prices, on one day or each on its own day."""
        phase = below(self._prices.halves(rows)[1], PRICE_EVERY)
        period, since = np.divmod(day + phase, PRICE_EVERY)
        change_at = below(self._prices.halves(pair(rows, period + 1))[0], PRICE_EVERY)
        level = np.where(since >= change_at, period, period - 1)
        factor = _PRICE_FACTORS[below(self._factors.halves(pair(rows, level + 2))[0], len(_PRICE_FACTORS))]
        newer = np.where(rows < self.slots, 100, 95 + below(self._factors.halves(pair(rows, rows * 0))[1], 21))
        first = (self._cents[rows % self.slots] * newer + 50) // 100
        return np.maximum(1, (first * factor + 50) // 100)

    def changed(self, days: Integers) -> tuple[Integers, Integers]:
        """Return the rows whose price or availability differs from the day before, and the day of each."""
        rows, each = self.rows(days)
        differ = (self.cents(rows, each) != self.cents(rows, each - 1)) | (
            self.is_unavailable(rows, each) != self.is_unavailable(rows, each - 1)
        )
        found = differ & (self.joined(rows) < each)
        return rows[found], each[found]

    def _run_out(self, rows: Integers, day: int | Integers) -> Flags:
        phase = below(self._outages.halves(rows)[1], _OUTAGE_EVERY)
        period, since = np.divmod(day + phase, _OUTAGE_EVERY)
        chance, length = self._outages.halves(pair(rows, period + 1))
        days = _OUTAGE_SHORTEST + below(length, _OUTAGE_SPREAD)
        begin = below(self._outages.halves(pair(rows, period + 30_001))[0], _OUTAGE_EVERY - days)
        happens = below(chance, _OUTAGE_ONE_IN) == 0
        return happens & (since >= begin) & (since < begin + days)
