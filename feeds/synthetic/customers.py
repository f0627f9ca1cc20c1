"""Who a customer is on a day: a function of the seed, the customer's id and the day.

A customer has a home: a segment, a store and an address. At fixed intervals, each on another day, regular customers
draw their state again: it is mostly the home state, so some customers move and some of them move back. New customers
join with about every eighth order (each block of orders has exactly one). One in sixteen of them becomes a regular
customer and replaces an old one, so the number of regular customers stays that of the source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feeds.synthetic.calibration import names, parameters
from feeds.synthetic.draws import Flags, Integers, Stream, Weighted, below, pair
from feeds.synthetic.feed_settings import FeedSettings

# Primes, so that ids in arithmetic progression meet all days.
MOVES_EVERY, SEGMENTS_EVERY = 127, 211
_AWAY_ONE_IN, _OTHER_SEGMENT_ONE_IN = 8, 12
STAYS_ONE_IN = 16
_MILLION = 1_000_000


@dataclass(frozen=True)
class CustomerRows:
    """Attributes of customers on a day, one row per customer: positions in the lists of vocabulary.py."""

    ids: Integers
    first_name: Integers
    last_name: Integers
    """The length of the list of last names means none."""
    segment: Integers
    store: Integers
    position: Integers
    house: Integers
    street: Integers
    suffix: Integers
    blanks: Integers
    """0: a plain street, 1: one with a blank at its end, 2: one with two blanks inside."""
    zip_missing: Flags
    """The zip code is missing: its column is empty, the state holds it, and the street holds the city."""


@dataclass(frozen=True)
class CustomerChanges:
    """Changes of tracked attributes, with the new values, in order of days and ids."""

    days: Integers
    ids: Integers
    segments: Integers
    zip_codes: np.ndarray
    """Texts, empty if the zip code is missing."""


class Customers:
    """All customers of a feed."""

    def __init__(self, settings: FeedSettings) -> None:
        content = parameters()
        self.regulars = max(1, content["regular_customers"] * settings.scale // 1000)
        self._segments = Weighted([row[-1] for row in content["segments"]])
        self._stores = Weighted([row[4] for row in content["stores"]])
        self._positions = np.array([row[7] for row in content["stores"]], dtype=np.int64)
        self._zip_codes = np.array([row[3] for row in content["stores"]])
        self._no_last_name = content["customers_in_millionths"]["no last name"]
        self._no_zip_code = content["customers_in_millionths"]["no zip code"]
        blanks = content["streets_in_thousandths"]
        self._blanks = Weighted(
            [1000 - sum(blanks.values()), blanks["trailing blank"], blanks["inner blanks"]],
        )
        lists = names()
        self._counts = tuple(len(lists[name]) for name in ("first_names", "last_names", "street_suffixes"))
        self._home, self._moves, self._changes, self._names, self._house, self._road, self._quirks = (
            Stream(settings.seed, f"customer {name}")
            for name in ("home", "moves", "segments", "names", "house", "road", "quirks")
        )

    def newcomer_id(self, number: Integers) -> Integers:
        """Return the id of new customers, counted from 0."""
        return self.regulars + number + 1

    def regular_id(self, number: Integers) -> Integers:
        """Return the id of regular customers, counted from 0: those of the beginning, then newcomers who have
        stayed."""
        late = self.regulars + STAYS_ONE_IN * (number - self.regulars)
        return np.where(number < self.regulars, number, late) + 1

    def regulars_joined(self, newcomers: Integers) -> Integers:
        """Return the number of regular customers ever, after that number of newcomers has joined."""
        return self.regulars + -(-newcomers // STAYS_ONE_IN)

    def segments(self, ids: Integers, day: Integers) -> Integers:
        home = self._segments.pick(self._home.halves(ids)[1])
        chance, other = self._changes.halves(pair(ids, (day + ids) // SEGMENTS_EVERY))
        changed = (below(chance, _OTHER_SEGMENT_ONE_IN) == 0) & self._is_regular(ids)
        return np.where(changed, self._segments.pick(other), home)

    def stores(self, ids: Integers, day: Integers) -> tuple[Integers, Integers]:
        """Return the store near which each lives, and the index of the address: -1 at home, else the number of the
        move."""
        home = self._stores.pick(self._home.halves(ids)[0])
        moves = (day + ids) // MOVES_EVERY
        chance, other = self._moves.halves(pair(ids, moves))
        away = (below(chance, _AWAY_ONE_IN) == 0) & self._is_regular(ids)
        return np.where(away, self._stores.pick(other), home), np.where(away, moves, -1)

    def rows(self, ids: Integers, day: Integers) -> CustomerRows:
        """Return the attributes of these customers, each on a day."""
        store, address = self.stores(ids, day)
        first, last = self._names.halves(ids)
        living_at = pair(ids, address + 1)
        house, street = self._house.halves(living_at)
        suffix, position = self._road.halves(living_at)
        quirk, blanks = self._quirks.halves(ids)
        unusual = below(quirk, _MILLION)
        last_name = below(last, self._counts[1])
        nameless = unusual < self._no_last_name
        return CustomerRows(
            ids=ids,
            first_name=below(first, self._counts[0]),
            last_name=np.where(nameless, self._counts[1], last_name),
            segment=self.segments(ids, day),
            store=store,
            position=below(position, self._positions[store]),
            house=1 + below(house, 9999),
            street=below(street, self._counts[1]),
            suffix=below(suffix, self._counts[2]),
            blanks=self._blanks.pick(blanks),
            zip_missing=self._has_no_zip_code(unusual),
        )

    def changed(self, numbers: Integers, first_day: int, last_day: int) -> CustomerChanges:
        """Find when these regular customers (counted from 0) have another segment or zip code than on the day
        before."""
        ids = self.regular_id(numbers)
        found = []
        for every in (MOVES_EVERY, SEGMENTS_EVERY):
            due, days = ids, first_day + (-(first_day + ids)) % every
            while len(due := due[days <= last_day]):
                days = days[days <= last_day]
                found.append(np.stack([days, due]))
                days = days + every
        days, ids = np.unique(np.concatenate([np.empty((2, 0), dtype=np.int64), *found], axis=1), axis=1)
        (old_segments, old_codes), (segments, codes) = (self._tracked(ids, each) for each in (days - 1, days))
        differ = (old_segments != segments) | (old_codes != codes)
        return CustomerChanges(days[differ], ids[differ], segments[differ], codes[differ])

    def _tracked(self, ids: Integers, day: Integers) -> tuple[Integers, np.ndarray]:
        missing = self._has_no_zip_code(below(self._quirks.halves(ids)[0], _MILLION))
        return self.segments(ids, day), np.where(missing, "", self._zip_codes[self.stores(ids, day)[0]])

    def _has_no_zip_code(self, unusual: Integers) -> Flags:
        return (unusual >= self._no_last_name) & (unusual < self._no_last_name + self._no_zip_code)

    def _is_regular(self, ids: Integers) -> Flags:
        return (ids <= self.regulars) | ((ids - self.regulars - 1) % STAYS_ONE_IN == 0)
