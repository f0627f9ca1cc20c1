"""Incidents of a feed: what happens to a day's file as a whole, and what the truth says of it."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from feeds.synthetic.command import run
from feeds.synthetic.feed import generate
from feeds.synthetic.feed_settings import INCIDENTS, FeedSettings
from spark_jobs.runtime.errors import ParameterRefused
from tests.unit.synthetic_feed import feeds

START, INCIDENT = date(2018, 1, 1), "2018-01-03"
DAYS = 5


def settings(incidents: str = "", missing: str = "0") -> FeedSettings:
    return FeedSettings.parse("7", "4", incidents, missing=missing)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    landing = tmp_path_factory.mktemp("clean")
    generate(landing, START, DAYS, settings())
    return landing


def rows_of(landing: Path, day: str) -> dict[str, feeds.Row]:
    return {row["Order Item Id"]: row for row in feeds.lines(landing) if row["landing_date"] == day}


@pytest.mark.parametrize("kind", INCIDENTS)
def test_only_the_day_of_an_incident_is_another(kind: str, clean: Path, tmp_path: Path) -> None:
    generate(tmp_path, START, DAYS, settings(f"{kind}={INCIDENT}"))
    ours, theirs = feeds.contents(clean), feeds.contents(tmp_path)
    assert ours.keys() == theirs.keys()
    assert {name for name in ours if ours[name] != theirs[name]} == {
        f"dt={INCIDENT}/orders.csv",
        f"_truth/dt={INCIDENT}.jsonl",
    }
    (entry,) = feeds.truth(tmp_path, "incident")
    assert (entry["incident"], entry["landing_date"]) == (kind, INCIDENT)
    assert feeds.truth(clean, "incident") == []


def test_three_orders_in_ten_are_lost(clean: Path, tmp_path: Path) -> None:
    generate(tmp_path, START, DAYS, settings(f"fewer_orders={INCIDENT}"))
    before, after = rows_of(clean, INCIDENT), rows_of(tmp_path, INCIDENT)
    assert all(before[item] == row for item, row in after.items())
    were, are = ({row["Order Id"] for row in rows.values()} for rows in (before, after))
    assert 0.6 < len(are) / len(were) < 0.8
    assert Counter(row["Order Id"] for row in after.values()) == Counter(
        row["Order Id"] for row in before.values() if row["Order Id"] in are
    ), "an order comes whole or not at all"


def test_prices_are_doubled(clean: Path, tmp_path: Path) -> None:
    generate(tmp_path, START, DAYS, settings(f"doubled_prices={INCIDENT}"))
    before, after = rows_of(clean, INCIDENT), rows_of(tmp_path, INCIDENT)
    assert before.keys() == after.keys()
    for item, row in after.items():
        for name in ("Product Price", "Sales"):
            price = round(Decimal(before[item][name]), 2)
            assert abs(round(Decimal(row[name]), 2) - 2 * price) <= Decimal("0.01")


def test_a_market_is_missing_each_day_another_one(clean: Path, tmp_path: Path) -> None:
    generate(tmp_path, START, DAYS, settings("missing_market=2018-01-01/2018-01-05"))
    lost = {entry["landing_date"]: entry["market"] for entry in feeds.truth(tmp_path, "incident")}
    assert len(set(lost.values())) == DAYS
    for day, market in lost.items():
        before, after = rows_of(clean, day), rows_of(tmp_path, day)
        assert after == {item: row for item, row in before.items() if row["Market"] != market}


def test_values_are_missing_in_a_share_of_the_lines(tmp_path: Path) -> None:
    generate(tmp_path, START, DAYS, settings(f"missing_values={INCIDENT}", missing="0.01"))
    shares = {}
    for number in range(1, DAYS + 1):
        rows = rows_of(tmp_path, f"2018-01-0{number}").values()
        shares[number] = sum(not row["Department Name"] for row in rows) / len(rows)
    assert 0.07 < shares.pop(3) < 0.13
    assert all(0 < share < 0.03 for share in shares.values())
    assert feeds.truth(tmp_path, "missing") == [], "such a line is valid"


@pytest.mark.parametrize("text", ["no_orders=2018-01-01", "fewer_orders", "fewer_orders=2018-02-30", "2018-01-01"])
def test_what_cannot_happen_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterRefused, match="incident"):
        run(["--landing", str(tmp_path), "--start", "2018-01-01", "--days", "1", "--incidents", text])
