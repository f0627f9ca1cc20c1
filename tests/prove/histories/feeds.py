"""Feeds of a few items over a few days, as Hypothesis draws them: what lands, and what is run in between.

A run of a layer takes seconds, whatever few rows it has. So feeds travel in convoys: each has its own orders, customers
and products, and all of them land in the same folders and are run in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from itertools import zip_longest

from hypothesis import strategies as st

from tests.spark.publishing.lakehouse import order_item
from tests.spark.silver.frames import TYPES, parsed, snake
from tests.unit.model.cases import Row

ZIP_CODES = ("customer_zipcode", "order_zipcode")
LAYERS = ("bronze", "silver", "gold")
MALFORMED = "this is no order item"
TOO_MANY = 200
"""Malformed lines by which the gate of any date of a convoy fails."""
QUARANTINED_LINES, QUARANTINED_SHARE, SMALL = 5, 0.05, 100
"""What the bronze gate allows to be quarantined: a number of lines on a date under SMALL lines, else a share."""


@dataclass(frozen=True)
class Line:
    """An order item as delivered. `order_day` is a day of January 2018, empty text NULL; keys count within its feed."""

    item: int
    feed: int = 0
    order_day: int = 1
    hour: int = 10
    customer: int = 1
    product: int = 5
    segment: str = "Consumer"
    zipcode: str = "725"
    firstname: str = "Ann"
    price: str = "100"
    category: str = "73"
    unavailable: str = "0"
    status: str = "COMPLETE"
    total: str = "90.00"

    def __repr__(self) -> str:
        """What differs from a plain item."""
        given = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default)
        return f"Line({', '.join(given)})"

    def source(self) -> dict[str, str]:
        """Its values by source column."""
        first = 100 * self.feed
        return order_item(
            first + self.item,
            order=first + (self.item + 1) // 2,
            customer=first + self.customer,
            product=first + self.product,
            price=self.price,
            segment=self.segment,
            status=self.status,
            total=self.total,
            **{
                "order date (DateOrders)": f"1/{self.order_day}/2018 {self.hour}:00",
                "Customer Zipcode": self.zipcode,
                "Customer Fname": self.firstname,
                "Category Id": self.category,
                "Product Category Id": self.category,
                "Product Status": self.unavailable,
            },
        )


@dataclass(frozen=True)
class Delivery:
    """What a day's folder holds: the lines of each file, and how many malformed ones its first file has besides."""

    files: tuple[tuple[Line, ...], ...] = ()
    malformed: int = 0

    @property
    def is_rejected(self) -> bool:
        landed, valid = sum(map(len, self.files)) + self.malformed, sum(1 for _ in self.valid())
        allowed = QUARANTINED_LINES if landed < SMALL else QUARANTINED_SHARE * landed
        return landed - valid > allowed or (landed > 0 and not valid)

    def mended(self) -> Delivery:
        """Without the lines that cannot be published."""
        files: dict[str, list[Line]] = {name: [] for name, _ in zip("abc", self.files, strict=False)}
        for name, line in sorted(self.valid(), key=repr):
            files[name[:-4]].append(line)
        return Delivery(tuple(map(tuple, files.values())))

    def contents(self) -> dict[str, list[dict[str, str] | str]]:
        """The lines of each file, as Lakehouse.deliver takes them."""
        files: dict[str, list[dict[str, str] | str]] = {
            f"{name}.csv": [line.source() for line in lines] for name, lines in zip("abc", self.files, strict=False)
        }
        if self.malformed:
            files.setdefault("a.csv", []).extend([MALFORMED] * self.malformed)
        return files or {"a.csv": []}

    def valid(self) -> Iterator[tuple[str, Line]]:
        """File and line of what is published: equal lines of a file once, lines that contradict each other never."""
        for name, lines in zip("abc", self.files, strict=False):
            different = set(lines)
            times = Counter((line.feed, line.item) for line in different)
            yield from ((f"{name}.csv", line) for line in different if times[line.feed, line.item] == 1)


@dataclass(frozen=True)
class Land:
    """The day is delivered (again)."""

    day: int
    delivery: Delivery


@dataclass(frozen=True)
class Run:
    """The layers, one after the other, for the days from `start` up to `end` (exclusive)."""

    start: int
    end: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Overlap:
    """Two builds of a layer stand beside each other; the one that was built last is published first."""

    layer: str
    first: tuple[int, int]
    second: tuple[int, int]


@dataclass(frozen=True)
class Maintain:
    """The weekly maintenance."""


Step = Land | Run | Overlap | Maintain


@dataclass(frozen=True)
class Convoy:
    """`deliveries` of the days 1, 2, ...; `steps` in between; `order` in which the days are caught up with at last."""

    feeds: int

    deliveries: tuple[Delivery, ...]
    steps: tuple[Step, ...]
    order: tuple[int, ...]

    @property
    def lines(self) -> int:
        """How many order items land at first."""
        return sum(len(file) for delivery in self.deliveries for file in delivery.files)


def day_name(day: int) -> str:
    """The landing date of a day of January 2018."""
    return date(2018, 1, day).isoformat()


def bronze_rows(landed: dict[int, Delivery]) -> Iterator[Row]:
    """The valid rows of what has landed, by Python alone; their row hash is empty, since no two rows need it."""
    for day, delivery in landed.items():
        for file, line in delivery.valid():
            row: Row = {}
            for header, text in line.source().items():
                name = snake(header)
                row[name] = parsed(text.lstrip("0") if name in ZIP_CODES else text, TYPES.get(name))
            row |= {"landing_date": date(2018, 1, day), "source_file": f"dt={day_name(day)}/{file}", "row_hash": ""}
            yield row


def as_of(rows: Iterable[Row]) -> date | None:
    """1 day + the greatest landing date that has a row."""
    newest = max((row["landing_date"] for row in rows), default=None)
    return newest + timedelta(days=1) if newest else None


lines = st.builds(
    Line,
    item=st.integers(1, 6),
    order_day=st.integers(1, 4),
    hour=st.sampled_from([10, 0, 23]),
    customer=st.integers(1, 3),
    product=st.integers(5, 6),
    segment=st.sampled_from(["Consumer", "Corporate", "Home Office", ""]),
    zipcode=st.sampled_from(["725", "00725", "601", ""]),
    firstname=st.sampled_from(["Ann", "Bo", ""]),
    price=st.sampled_from(["100", "12.5"]),
    category=st.sampled_from(["73", "74", ""]),
    unavailable=st.sampled_from(["0", "1"]),
    status=st.sampled_from(["COMPLETE", "PENDING", "CANCELED", "SUSPECTED_FRAUD", "CLOSED"]),
    total=st.sampled_from(["90.00", "0", "120.55", "-5.00"]),
)


Files = tuple[tuple[Line, ...], ...]


@st.composite
def _file(draw: st.DrawFn) -> tuple[Line, ...]:
    """Items, mostly different ones; the first may be delivered twice, and an item may contradict itself."""
    of_file = draw(st.lists(lines, max_size=4, unique_by=lambda line: line.item))
    if of_file and draw(st.integers(0, 9)) == 9:
        of_file.append(draw(st.sampled_from([of_file[0], replace(of_file[0], total="7.77")])))
    return tuple(of_file)


def _feed(deliveries: int) -> st.SearchStrategy[tuple[Files, ...]]:
    """The files of one feed, in this number of deliveries."""
    files = st.lists(_file(), max_size=2).map(tuple)
    return st.tuples(*[files] * deliveries)


def _delivery(feeds: tuple[Files, ...], malformed: int) -> Delivery:
    """What the feeds have for one day, in the same files."""
    of_feeds = [[tuple(replace(line, feed=n) for line in file) for file in files] for n, files in enumerate(feeds)]
    files = tuple(sum(parts, ()) for parts in zip_longest(*of_feeds, fillvalue=()))
    return Delivery(files, malformed)


@st.composite
def convoys(draw: st.DrawFn, most_days: int = 3, most_steps: int = 5) -> Convoy:
    """Any convoy of feeds."""
    number = draw(st.integers(2, most_days))
    days = st.integers(1, number)
    intervals = st.tuples(days, days).map(lambda pair: (min(pair), max(pair) + 1))
    layers = st.sampled_from(
        [LAYERS] * 4 + [("bronze",), ("bronze", "silver"), ("silver",), ("silver", "gold"), ("gold",)]
    )
    kinds: dict[type, st.SearchStrategy[Step]] = {
        Run: st.builds(lambda interval, layers: Run(interval[0], interval[1], layers), intervals, layers),
        Land: st.builds(Land, days, st.just(Delivery())),
        Overlap: st.builds(Overlap, st.sampled_from(LAYERS), intervals, intervals),
        Maintain: st.builds(Maintain),
    }
    # Left to itself, Hypothesis draws mostly short lists, and few runs in them.
    kind = st.sampled_from([Run] * 5 + [Land] * 2 + [Overlap] * 2 + [Maintain])
    many = draw(st.sampled_from(range(most_steps + 1)))
    steps: list[Step] = [draw(kinds[draw(kind)]) for _ in range(many)]
    order = tuple(draw(st.permutations(range(1, number + 1))))
    landings = number + sum(isinstance(step, Land) for step in steps)
    malformed = [draw(st.sampled_from([0, 0, 0, 0, 1, 1, TOO_MANY])) for _ in range(landings)]
    feeds = draw(st.sampled_from([1, 12, 24, 36, 48]))  # whole numbers would mostly be small
    of_feeds = [draw(_feed(landings)) for _ in range(feeds)]
    deliveries = [_delivery(of_day, bad) for of_day, bad in zip(zip(*of_feeds, strict=True), malformed, strict=True)]
    again = iter(deliveries[number:])
    steps = [Land(step.day, next(again)) if isinstance(step, Land) else step for step in steps]
    return Convoy(feeds, tuple(deliveries[:number]), tuple(steps), order)
