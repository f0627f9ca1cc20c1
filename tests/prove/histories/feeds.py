"""Feeds of a few items over a few days, as Hypothesis draws them: what lands, and what is run in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date, timedelta

from hypothesis import strategies as st

from tests.spark.publishing.lakehouse import order_item
from tests.spark.silver.frames import TYPES, parsed, snake
from tests.unit.model.cases import Row

LAYERS = ("bronze", "silver", "gold")
MALFORMED = "this is no order item"
REJECTED_LINES = 6
"""Malformed lines of a date by which its gate fails: one more than a small date may have."""


@dataclass(frozen=True)
class Line:
    """An order item as it is delivered; `order_day` is a day of January 2018, '' is NULL."""

    item: int
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
        told = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default)
        return f"Line({', '.join(told)})"

    def source(self) -> dict[str, str]:
        """Its values by source column."""
        return order_item(
            self.item,
            order=(self.item + 1) // 2,
            customer=self.customer,
            product=self.product,
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
        return self.malformed >= REJECTED_LINES

    def contents(self) -> dict[str, list[dict[str, str] | str]]:
        """The lines of each file, as Lakehouse.deliver takes them."""
        files: dict[str, list[dict[str, str] | str]] = {
            f"{name}.csv": [line.source() for line in lines] for name, lines in zip("abc", self.files, strict=False)
        }
        if self.malformed:
            files.setdefault("a.csv", []).extend([MALFORMED] * self.malformed)
        return files

    def valid(self) -> Iterator[tuple[str, Line]]:
        """File and line of what is published: equal lines of a file once, lines that contradict each other never."""
        for name, lines in zip("abc", self.files, strict=False):
            different = set(lines)
            times = Counter(line.item for line in different)
            yield from ((f"{name}.csv", line) for line in different if times[line.item] == 1)


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
class Feed:
    """`deliveries` of the days 1, 2, ...; `steps` in between; `order` in which the days are caught up with at last."""

    deliveries: tuple[Delivery, ...]
    steps: tuple[Step, ...]
    order: tuple[int, ...]


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
                row[name] = parsed(text, TYPES.get(name))
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
    zipcode=st.sampled_from(["725", "00725", ""]),
    firstname=st.sampled_from(["Ann", "Bo", ""]),
    price=st.sampled_from(["100", "12.5"]),
    category=st.sampled_from(["73", "74", ""]),
    unavailable=st.sampled_from(["0", "1"]),
    status=st.sampled_from(["COMPLETE", "PENDING", "CANCELED", "SUSPECTED_FRAUD", "CLOSED"]),
    total=st.sampled_from(["90.00", "0", "120.55", "-5.00"]),
)


@st.composite
def _files(draw: st.DrawFn) -> tuple[Line, ...]:
    of_file = draw(st.lists(lines, max_size=5))
    again = draw(st.integers(0, 1)) if of_file else 0
    return (*of_file, *of_file[:again])


deliveries = st.builds(
    Delivery,
    files=st.lists(_files(), max_size=2).map(tuple),
    malformed=st.sampled_from([0, 0, 0, 1, REJECTED_LINES]),
)


@st.composite
def feeds(draw: st.DrawFn, most_days: int = 3, most_steps: int = 4) -> Feed:
    """Any feed."""
    number = draw(st.integers(2, most_days))
    days = st.integers(1, number)
    intervals = st.tuples(days, days).map(lambda pair: (min(pair), max(pair) + 1))
    runs = st.builds(
        lambda interval, layers: Run(*interval, layers),
        intervals,
        st.sampled_from(
            [LAYERS, LAYERS, ("bronze",), ("bronze", "silver"), ("silver",), ("silver", "gold"), ("gold",)]
        ),
    )
    overlaps = st.builds(Overlap, st.sampled_from(LAYERS), intervals, intervals)
    lands = st.builds(Land, days, deliveries)
    steps = st.lists(st.one_of(lands, runs, runs, overlaps, st.builds(Maintain)), max_size=most_steps)
    return Feed(
        deliveries=tuple(draw(deliveries) for _ in range(number)),
        steps=tuple(draw(steps)),
        order=tuple(draw(st.permutations(range(1, number + 1)))),
    )
