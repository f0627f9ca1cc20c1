"""Bronze of a synthetic feed equals the truth that the feed writes beside it."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.synthetic_feed import feeds

START, END = date(2018, 1, 1), date(2018, 3, 2)


class Bronze:
    """A feed with many faults, and bronze's judgement of all its lines."""

    def __init__(self, spark: Any, landing: Path) -> None:
        from feeds.synthetic.feed import generate
        from feeds.synthetic.feed_settings import FeedSettings
        from spark_jobs.layers.bronze.landed_lines import BuildStamp, landed_lines
        from spark_jobs.layers.bronze.row_rules import bronze_row_rules
        from spark_jobs.runtime.interval import Interval
        from spark_jobs.storage.landed_text import read_lines
        from spark_jobs.storage.landing import landed_files

        settings = FeedSettings(scale=500, late=30_000, repeated=20_000, corrupt=120_000, malformed=20_000)
        self.landing = landing
        self.feed = generate(landing, START, (END - START).days, settings)
        files = landed_files(landing, Interval(START, END)).files
        stamp = BuildStamp("1_0", "1", "0.1.0", datetime(2020, 1, 1, tzinfo=UTC))
        lines = landed_lines(read_lines(spark, landing, files), files, bronze_row_rules(), b"key", stamp)
        # Judged once; what follows reads the result.
        self.stored = str(landing / "_bronze")
        lines.write.parquet(self.stored)
        self.lines = spark.read.parquet(self.stored)


@pytest.fixture(scope="module")
def bronze(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Bronze:
    return Bronze(spark, tmp_path_factory.mktemp("landing"))


def test_every_fault_is_in_quarantine_with_its_reasons_and_nothing_else_is(bronze: Bronze) -> None:
    from feeds.synthetic.faults import corruptions, malformations, repetitions
    from spark_jobs.layers.bronze.landed_lines import quarantine
    from spark_jobs.tables.source import position

    injected = feeds.truth(bronze.landing, "repeated", "corrupt", "malformed")
    named = {fault.name for kind in (repetitions, corruptions, malformations) for fault in kind()}
    assert {entry["fault"] for entry in injected} == named, "the feed has every kind of fault"
    rows = quarantine(bronze.lines).select("source_file", "line", "reasons").collect()
    assert bronze.lines.count() == bronze.feed.lines
    assert len(rows) == len(injected) == bronze.feed.damaged

    def item(line: str) -> str:
        fields = line.split(",")
        return fields[position("order_item_id")] if len(fields) == 53 else ""

    found = Counter((row.source_file, tuple(sorted(row.reasons)), item(row.line)) for row in rows)
    expected: Counter[Any] = Counter()
    for entry in injected:
        of_file = (bronze.landing / entry["file"]).read_bytes().decode("latin-1").split("\r\n")
        line = "" if entry["reasons"] == ["broken quoting"] else of_file[entry["line"] - 1]
        expected[entry["file"], tuple(sorted(entry["reasons"])), item(line)] += 1
    assert found == expected


def test_every_change_is_in_the_dimensions_and_nothing_else_is(bronze: Bronze) -> None:
    from spark_jobs.layers.bronze.landed_lines import order_items
    from spark_jobs.layers.silver.dimensions import dim_customers, dim_products

    items = order_items(bronze.lines)
    columns = ("customer_id", "product_card_id", "order_date_dateorders", "landing_date")
    seen: dict[str, dict[int, list[datetime]]] = {"customer": defaultdict(list), "product": defaultdict(list)}
    for customer, product, order_date, landing_date in items.select(*columns).collect():
        at = feeds.effective_at(order_date, landing_date)
        seen["customer"][customer].append(at)
        seen["product"][product].append(at)
    for kind, dimension, least in (("customer", dim_customers, 5), ("product", dim_products, 20)):
        versions = [row.asDict() for row in dimension(items).collect()]
        changes = feeds.changes(bronze.landing, kind)
        assert feeds.check_dimension(versions, f"{kind}_id", changes, seen[kind]) >= least
