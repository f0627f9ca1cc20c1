"""The synthetic feed: the same bytes however it is generated, in the source's shape, with changes over time."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from feeds.synthetic.command import run
from feeds.synthetic.feed import generate
from feeds.synthetic.feed_settings import EPOCH, FeedSettings
from feeds.synthetic.lines import LineWriter
from spark_jobs.runtime.errors import LakehouseError, LandingRefused, ParameterRefused
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.landing import landed_files
from spark_jobs.tables.source import SOURCE_NAMES
from tests.unit.model import oracle
from tests.unit.synthetic_feed import feeds

START = date(2018, 1, 1)
FAULTY = FeedSettings(seed=7, scale=500, late=20_000, repeated=10_000, corrupt=10_000, malformed=10_000)
# Changes when the bytes of a feed change: then the changelog must say so.
GOLDEN = "2f74b76da0be08e8203fdde27ee254b3bcf7d6d0558296e1b917fd82bbb6eaae"
MONEY = ("Benefit per order", "Sales per customer", "Order Item Discount", "Sales", "Order Item Total", "Product Price")


def cents(text: str) -> Decimal:
    return Decimal(text).quantize(Decimal("0.01"), ROUND_HALF_UP)


def test_golden_bytes(tmp_path: Path) -> None:
    generate(tmp_path, START, 5, FAULTY)
    assert feeds.fingerprint(tmp_path) == GOLDEN


def test_the_same_bytes_together_one_by_one_and_in_two_processes(tmp_path: Path) -> None:
    together, one_by_one, two = (tmp_path / name for name in ("together", "one by one", "two"))
    generate(together, START, 7, FAULTY, processes=1)
    for number in (3, 1, 0, 6, 2, 5, 4):
        generate(one_by_one, START + timedelta(days=number), 1, FAULTY)
    generate(two, START, 7, FAULTY, processes=2, batch=80)  # about three days at a time
    assert feeds.contents(together) == feeds.contents(one_by_one) == feeds.contents(two)


def test_lines_do_not_depend_on_chunks_or_on_other_days() -> None:
    settings = FeedSettings(scale=5000, late=50_000)
    writer = LineWriter(settings)

    def text(writer: LineWriter, first_day: int, last_day: int) -> bytes:
        return b"".join(b"".join(lines.text.to_pylist()) for lines in writer.lines(first_day, last_day))

    together = text(writer, 1100, 1120)
    assert b"".join(text(writer, day, day) for day in range(1100, 1121)) == together
    assert text(LineWriter(settings, chunk=97), 1100, 1120) == together


def test_another_seed_is_another_feed(tmp_path: Path) -> None:
    for seed in (7, 8):
        generate(tmp_path / str(seed), START, 1, FeedSettings(seed=seed, scale=100))
    assert feeds.fingerprint(tmp_path / "7") != feeds.fingerprint(tmp_path / "8")


def test_a_day_replaces_what_had_landed_and_leaves_nothing_behind(tmp_path: Path) -> None:
    old = tmp_path / "dt=2018-01-01"
    old.mkdir()
    (old / "other.csv").write_text("x")
    result = generate(tmp_path, START, 2, FeedSettings(scale=100))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_truth", "dt=2018-01-01", "dt=2018-01-02"]
    assert [path.name for path in old.iterdir()] == ["orders.csv"]
    assert landed_files(tmp_path, Interval(START, date(2018, 1, 3))).lines == result.lines


def test_a_failure_leaves_nothing_half_written(tmp_path: Path) -> None:
    obstacle = tmp_path / "_truth" / "dt=2018-01-02.jsonl"
    (obstacle / "folder").mkdir(parents=True)  # no file can take its place
    with pytest.raises(LandingRefused, match="2018-01-02"):
        generate(tmp_path, START, 3, FeedSettings(scale=100))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_truth", "dt=2018-01-01"]
    assert sorted(path.name for path in (tmp_path / "_truth").iterdir()) == ["dt=2018-01-01.jsonl", obstacle.name]


def test_a_day_without_orders_is_a_file_with_a_header_only(tmp_path: Path) -> None:
    result = generate(tmp_path, START, 30, FeedSettings(scale=1))
    files = [file.read_bytes() for file in tmp_path.glob("dt=*/orders.csv")]
    assert len(files) == 30
    assert 0 < sum(content.count(b"\n") == 1 for content in files) < 30
    assert landed_files(tmp_path, Interval(START, date(2018, 1, 31))).lines == result.lines > 0


def test_the_shape_of_the_source(tmp_path: Path) -> None:
    generate(tmp_path, START, 4, FeedSettings())
    content = (tmp_path / "dt=2018-01-02" / "orders.csv").read_bytes()
    assert content.startswith(",".join(SOURCE_NAMES).encode() + b"\r\n")
    assert content.endswith(b"\r\n")
    assert content.count(b"\n") == content.count(b"\r")
    rows = feeds.lines(tmp_path)
    for row in rows:
        assert row["Benefit per order"] == row["Order Profit Per Order"]
        assert row["Sales per customer"] == row["Order Item Total"]
        assert row["Category Id"] == row["Product Category Id"]
        assert row["Customer Id"] == row["Order Customer Id"]
        assert row["Order Item Cardprod Id"] == row["Product Card Id"]
        assert row["Order Item Product Price"] == row["Product Price"]
        assert cents(row["Sales"]) == cents(row["Product Price"]) * int(row["Order Item Quantity"])
        assert abs(cents(row["Sales"]) - cents(row["Order Item Discount"]) - cents(row["Order Item Total"])) <= Decimal(
            "0.01"
        )
        assert re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d", row["order date (DateOrders)"])
        assert row["Customer Password"] == "XXXXXXXXX"
        assert row["Customer Email"] == f"customer{row['Customer Id']}@example.com"
        assert (row["Late_delivery_risk"] == "1") == (row["Delivery Status"] == "Late delivery")
        canceled = row["Order Status"] in ("CANCELED", "SUSPECTED_FRAUD")
        assert (row["Delivery Status"] == "Shipping canceled") == canceled
    assert any("." in row[name] and len(row[name].partition(".")[2]) > 5 for row in rows for name in MONEY)
    assert any(row["Order Region"] == "West of USA " for row in rows)
    assert any(not row["Order State"].isascii() for row in rows)
    assert {row["Order Zipcode"] for row in rows} > {""}
    for path in tmp_path.glob("dt=*/*.csv"):
        of_day = [row for row in rows if row["file"] == f"{path.parent.name}/{path.name}"]
        items = [int(row["Order Item Id"]) for row in of_day]
        assert items == sorted(set(items))
        moments = [feeds.order_date(row) for row in of_day]
        assert moments == sorted(moments)


def test_orders_come_again_with_a_newer_status_and_the_same_amounts(tmp_path: Path) -> None:
    generate(tmp_path, START, 40, FeedSettings())
    deliveries = defaultdict(list)
    for row in feeds.lines(tmp_path):
        deliveries[row["Order Item Id"]].append(row)
    again = [rows for rows in deliveries.values() if len(rows) > 1]
    assert len(again) > len(deliveries) / 20
    lags = set()
    for first, second in again:
        assert first["Order Status"] != second["Order Status"]
        assert first["Type"] == second["Type"]
        assert [first[name] for name in MONEY] == [second[name] for name in MONEY]
        lags.add((date.fromisoformat(second["landing_date"]) - date.fromisoformat(first["landing_date"])).days)
    assert lags == set(range(1, 11))


def test_late_orders_come_once_after_their_date(tmp_path: Path) -> None:
    generate(tmp_path, START, 10, FeedSettings(late=100_000))
    rows = {(row["file"], row["Order Item Id"]): row for row in feeds.lines(tmp_path)}
    late = feeds.truth(tmp_path, "late")
    assert 0.05 < len(late) / len(rows) < 0.15
    for entry in late:
        content = (tmp_path / entry["file"]).read_bytes().split(b"\r\n")
        assert str(entry["order_item_id"]).encode() in content[entry["line"] - 1].split(b",")
        row = rows[entry["file"], str(entry["order_item_id"])]
        assert entry["order_date"] < row["landing_date"]
        assert sum(number == str(entry["order_item_id"]) for _, number in rows) == 1


def test_the_truth_says_where_the_damaged_lines_are(tmp_path: Path) -> None:
    result = generate(tmp_path, START, 10, FAULTY)
    entries = feeds.truth(tmp_path, "repeated", "corrupt", "malformed")
    assert len(entries) == result.damaged
    assert {entry["kind"] for entry in entries} == {"repeated", "corrupt", "malformed"}
    for entry in entries:
        content = (tmp_path / entry["file"]).read_bytes().split(b"\r\n")
        line = content[entry["line"] - 1]
        if any(reason.startswith("wrong number of fields") for reason in entry["reasons"]):
            assert entry["reasons"] == [f"wrong number of fields: found {line.count(b',') + 1} instead of 53"]
        elif entry["reasons"] == ["broken quoting"]:
            assert b'"' in line
        elif entry["reasons"] == ["exact duplicate"]:
            assert line == content[entry["line"] - 2]
        else:
            assert line.count(b",") == 52
    assert landed_files(tmp_path, Interval(START, date(2018, 1, 11))).lines == result.lines


def test_the_dimensions_show_the_truth(tmp_path: Path) -> None:
    generate(tmp_path, START, 200, FeedSettings(seed=3, late=30_000))
    bronze: list[dict[str, Any]] = []
    seen: dict[str, dict[Any, list[Any]]] = {"customer": defaultdict(list), "product": defaultdict(list)}
    for row in feeds.lines(tmp_path):
        order_date = feeds.order_date(row)
        landing_date = date.fromisoformat(row["landing_date"])
        bronze.append(
            {
                "order_item_id": int(row["Order Item Id"]),
                "order_id": int(row["Order Id"]),
                "customer_id": int(row["Customer Id"]),
                "product_card_id": int(row["Product Card Id"]),
                "order_date_dateorders": order_date,
                "customer_segment": row["Customer Segment"],
                "customer_zipcode": row["Customer Zipcode"] or None,
                **{"customer_fname": None, "customer_lname": None, "customer_email": None, "product_name": None},
                "product_price": cents(row["Product Price"]),
                "category_id": int(row["Category Id"]),
                "category_name": " ".join(row["Category Name"].split()),
                "product_status": row["Product Status"] == "1",
                "landing_date": landing_date,
                "source_file": row["file"],
                "row_hash": "h",
            }
        )
        at = feeds.effective_at(order_date, landing_date)
        seen["customer"][int(row["Customer Id"])].append(at)
        seen["product"][int(row["Product Card Id"])].append(at)
    customers = feeds.check_dimension(
        oracle.dim_customers(bronze), "customer_id", feeds.changes(tmp_path, "customer"), seen["customer"]
    )
    products = oracle.dim_products(bronze)
    shown = feeds.check_dimension(products, "product_id", feeds.changes(tmp_path, "product"), seen["product"])
    assert customers > 100
    assert shown > 50
    assert any(version["is_notavailable"] for version in products)


def test_customers_move_back_and_new_ones_join(tmp_path: Path) -> None:
    generate(tmp_path, START, 300, FeedSettings(scale=200))
    histories = feeds.changes(tmp_path, "customer").values()
    codes = [[values["customer_zipcode"] for _, values in history] for history in histories]
    assert any(len(history) > 2 and history[0] == history[2] != history[1] for history in codes)
    rows = feeds.lines(tmp_path)
    newest: dict[str, int] = {}
    for row in rows:
        newest[row["landing_date"][:7]] = max(newest.get(row["landing_date"][:7], 0), int(row["Customer Id"]))
    assert sorted(newest.values()) == list(newest.values())
    assert newest["2018-01"] < newest["2018-10"]
    first = {row["Product Card Id"] for row in rows if row["landing_date"] < "2018-02-01"}
    assert any(int(row["Product Card Id"]) > 2000 and row["Product Card Id"] not in first for row in rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--start", "2014-12-31", "--days", "1"], f"begins on {EPOCH}"),
        (["--start", "2018-01-01", "--days", "0"], "is empty"),
        (["--start", "January", "--days", "1"], "not a date"),
        (["--start", "2018-01-01"], "--days --end"),
        (["--start", "2018-01-01", "--days", "1", "--scale", "0"], "scale must be"),
        (["--start", "2018-01-01", "--days", "1", "--seed", "x"], "seed"),
        (["--start", "2018-01-01", "--days", "1", "--late", "2"], "share of late"),
        (["--start", "2018-01-01", "--days", "1", "--corrupt", "0.6", "--repeated", "0.6"], "more than 1 together"),
        (["--start", "2018-01-02", "--end", "2018-01-02"], "holds no landing date"),
        (["--start", "2018-01-01", "--days", "1", "--processes", "0"], "0 processes"),
    ],
)
def test_refusals_say_what_is_wrong(tmp_path: Path, options: list[str], message: str) -> None:
    with pytest.raises(LakehouseError, match=message):
        run(["--landing", str(tmp_path / "landing"), *options])
    assert not (tmp_path / "landing").exists()


def test_an_interval_counts_in_utc(tmp_path: Path) -> None:
    options = ["--start", "2018-01-01T02:00:00+02:00", "--end", "2018-01-02T00:00:00+00:00", "--scale", "0.1"]
    assert run(["--landing", str(tmp_path), *options]).days == 1
    assert (tmp_path / "dt=2018-01-01").is_dir()
    with pytest.raises(ParameterRefused, match="unrecognized"):
        run(["--landing", str(tmp_path), *options, "--sede", "7"])
