"""The sample feed: the source's shape, the same bytes for the same seed, and some history."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

from spark_jobs.interval import Interval
from spark_jobs.landing import landed_files
from spark_jobs.sample_feed import generate

START = date(2018, 1, 1)


def rows(landing: Path) -> list[dict[str, str]]:
    found = []
    for path in sorted(landing.glob("dt=*/*.csv")):
        with path.open(encoding="windows-1252", newline="") as stream:
            found += list(csv.DictReader(stream))
    return found


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        generate(tmp_path / name, START, 3, 20, seed)
    contents = [b"".join(path.read_bytes() for path in sorted((tmp_path / name).glob("*/*.csv"))) for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_shape_and_history(tmp_path: Path) -> None:
    feed = generate(tmp_path, START, 14, 60, 7)
    landing = landed_files(tmp_path, Interval(START, date(2018, 1, 15)))
    found = rows(tmp_path)
    assert landing.lines == feed.lines == len(found)
    assert len({row["Order Id"] for row in found}) == feed.orders == 14 * 60
    assert len({row["Order Item Id"] for row in found}) == len(found)
    for key, attribute in (
        ("Customer Id", "Customer Segment"),
        ("Customer Id", "Customer Zipcode"),
        ("Product Card Id", "Product Price"),
    ):
        assert len({(row[key], row[attribute]) for row in found}) > len({row[key] for row in found})
    for left, right in (("Benefit per order", "Order Profit Per Order"), ("Sales per customer", "Order Item Total")):
        assert all(row[left] == row[right] for row in found)


def test_a_day_without_orders_is_an_empty_folder(tmp_path: Path) -> None:
    generate(tmp_path, START, 1, 0, 7)
    assert list((tmp_path / "dt=2018-01-01").iterdir()) == []
