"""The orders of a feed: their numbers, their customers, and the days on which they are delivered.

Orders are numbered without a gap from the epoch on. The number of orders before a day follows from the weekdays alone,
plus a small random difference, so the numbers of any day can be computed directly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from feeds.synthetic.calibration import parameters
from feeds.synthetic.customers import Customers
from feeds.synthetic.draws import Flags, Integers, Stream, Weighted, below
from feeds.synthetic.feed_settings import EPOCH, FeedSettings

MOST_ITEMS = 5
LONGEST_LAG = 10
"""Days after an order's date within which all of its deliveries come."""
# Final status: the status of an earlier delivery, for the same way of payment.
EARLIER_STATUS = {
    "COMPLETE": "ON_HOLD",
    "PROCESSING": "PENDING",
    "CANCELED": "PENDING",
    "SUSPECTED_FRAUD": "PROCESSING",
    "PAYMENT_REVIEW": "PENDING_PAYMENT",
}
CANCELED = ("CANCELED", "SUSPECTED_FRAUD")
_AGAIN_ONE_IN = 5  # of the orders whose status can have an earlier one
_LAGS = (0, 40, 22, 12, 8, 5, 4, 3, 2, 2, 2)  # weights of a lag of 0, 1, 2 ... days
_SPREAD = 32  # variance of the orders per day, at scale 1, times 1.5: the source's variance is 21
_MILLION = 1_000_000
_MINUTES = 24 * 60


@dataclass(frozen=True)
class Deliveries:
    """Deliveries of orders, sorted by the day of delivery and the order's number."""

    numbers: Integers
    """Counted from 0; the order id is one more."""
    days: Integers
    """The day of the order's date."""
    delivered_on: Integers
    is_late: Flags
    """The first delivery, on a day after the order's date."""
    is_again: Flags
    """The second delivery."""

    def where(self, kept: slice | Flags) -> Deliveries:
        return Deliveries(
            self.numbers[kept], self.days[kept], self.delivered_on[kept], self.is_late[kept], self.is_again[kept]
        )


@dataclass(frozen=True)
class Orders:
    """Attributes of orders, one row per delivery."""

    minutes: Integers
    customers: Integers
    is_new: Flags
    """Its customer's first order."""
    payments: Integers
    """Way of payment and the status as of this delivery: a position in the parameters' list."""
    shippings: Integers
    places: Integers
    items: Integers


class OrderBook:
    """All orders of a feed."""

    def __init__(self, settings: FeedSettings, customers: Customers) -> None:
        content = parameters()
        self._customers = customers
        self._scale, self._late = settings.scale, settings.late
        by_weekday = content["orders_per_weekday_in_thousandths"]
        from_epoch = [by_weekday[(EPOCH.weekday() + n) % 7] for n in range(7)]
        self._sums = np.cumsum([0, *from_epoch])
        slowest = min(by_weekday) * settings.scale // _MILLION
        self._jitter = min(math.isqrt(_SPREAD * settings.scale // 1000), slowest // 2)
        self._new_every = content["orders_per_new_customer"]
        self._payments = Weighted([row[-1] for row in content["payments"]])
        self._shippings = Weighted([row[-1] for row in content["shipping"]])
        self._items = tuple(Weighted(weights) for weights in content["items"])
        # Places as vocabulary.places lists them, with separate weights for each kind of customer.
        leaves = _leaves(content["places"])
        self._places = tuple(Weighted([leaf[kind] for leaf in leaves]) for kind in (0, 1))
        self._lags = Weighted(_LAGS)
        pairs = [(row[0], row[1]) for row in content["payments"]]
        self._earlier = np.array(
            [pairs.index((kind, EARLIER_STATUS[status])) if status in EARLIER_STATUS else -1 for kind, status in pairs]
        )
        self._counts, self._newcomers, self._who, self._what, self._where, self._delays, self._late_lags = (
            Stream(settings.seed, f"order {name}")
            for name in ("counts", "newcomers", "who", "what", "where", "delays", "late")
        )

    def before(self, days: Integers) -> Integers:
        """Return the number of orders before each of these days."""
        weeks, rest = np.divmod(days, 7)
        expected = (weeks * self._sums[-1] + self._sums[rest]) * self._scale // _MILLION
        jitter = below(self._counts.halves(days)[0], 2 * self._jitter + 1) - self._jitter
        return expected + np.where(days == 0, 0, jitter)

    def regulars_before(self, days: Integers) -> Integers:
        """Return the number of regular customers ever before each of these days."""
        return self._customers.regulars_joined(self.before(days) // self._new_every)

    def delivered(self, first_day: int, last_day: int) -> Deliveries:
        """Return the deliveries of consecutive days."""
        days = np.arange(max(0, first_day - LONGEST_LAG), last_day + 1)
        bounds = self.before(np.append(days, last_day + 1))
        numbers, own = np.arange(bounds[0], bounds[-1]), np.repeat(days, np.diff(bounds))
        late, again = self._delay(numbers)
        second = np.flatnonzero((late == 0) & (again > 0) & (own + again >= first_day) & (own + again <= last_day))
        # An order is delivered twice only if its status has an earlier one.
        second = second[self._earlier[self._payments.pick(self._what.halves(numbers[second])[0])] >= 0]
        first = np.flatnonzero((own + late >= first_day) & (own + late <= last_day))
        at = np.concatenate([first, second])
        is_again = np.arange(len(at)) >= len(first)
        delivery = own[at] + np.where(is_again, again[at], late[at])
        order = np.lexsort([at, delivery])
        at = at[order]
        return Deliveries(numbers[at], own[at], delivery[order], late[at] > 0, is_again[order])

    def orders(self, deliveries: Deliveries) -> Orders:
        """Return the attributes of these orders as of their deliveries."""
        numbers, days = deliveries.numbers, deliveries.days
        unique, at = np.unique(days, return_inverse=True)
        begins, ends = self.before(unique)[at], self.before(unique + 1)[at]
        who, items = self._who.halves(numbers)
        what, shipping = self._what.halves(numbers)
        where, minute = self._where.halves(numbers)
        late, again = self._delay(numbers)

        block = numbers // self._new_every
        is_new = numbers % self._new_every == below(self._newcomers.halves(block)[0], self._new_every)
        joined = self.regulars_before(unique)[at]
        regular = joined - self._customers.regulars + below(who, self._customers.regulars)
        payments = self._payments.pick(what)
        earlier = self._earlier[payments]
        is_early = (late == 0) & (again > 0) & ~deliveries.is_again & (earlier >= 0)
        counts = [weighted.pick(items) for weighted in self._items]
        places = [weighted.pick(where) for weighted in self._places]
        return Orders(
            minutes=((numbers - begins) * _MINUTES + below(minute, _MINUTES)) // (ends - begins),
            customers=np.where(is_new, self._customers.newcomer_id(block), self._customers.regular_id(regular)),
            is_new=is_new,
            payments=np.where(is_early, earlier, payments),
            shippings=self._shippings.pick(shipping),
            places=np.where(is_new, places[1], places[0]),
            items=1 + np.where(is_new, counts[1], counts[0]),
        )

    def _delay(self, numbers: Integers) -> tuple[Integers, Integers]:
        """Return days until the first delivery, and until the second one (0: no second one)."""
        chance, lag = self._delays.halves(numbers)
        again = np.where(below(chance, _AGAIN_ONE_IN) == 0, self._lags.pick(lag), 0)
        if not self._late:
            return np.zeros(len(numbers), dtype=np.int64), again
        chance, lag = self._late_lags.halves(numbers)
        return np.where(below(chance, _MILLION) < self._late, self._lags.pick(lag), 0), again


def _leaves(tree: object) -> list[list[int]]:
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in _leaves(branch)]
    assert isinstance(tree, list)  # noqa: S101 - a place's two weights
    return [tree]
