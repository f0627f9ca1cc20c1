"""The bronze gate catches what it should, by name and date (design, sections 5 and 8)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from pyspark.sql import SparkSession

from spark_jobs.layers.bronze.bronze_tables import ORDER_ITEMS, QUARANTINE
from spark_jobs.quality.bronze_assets import bronze_assets
from spark_jobs.quality.checkpoint import run_checkpoint
from tests.spark.audit.frames import delivery, row, table

LANDED = "landing_date date, source_file string, landed_lines bigint"
START, END = date(2018, 1, 1), date(2018, 1, 8)


def lines(day: int, first: int, count: int) -> list[tuple[object, ...]]:
    values = {"landing_date": date(2018, 1, day), "source_file": f"dt=2018-01-{day:02}/orders.csv"}
    return [delivery(item, **values) for item in range(first, first + count)]


def quarantined(day: int, count: int) -> list[tuple[object, ...]]:
    values = {"landing_date": date(2018, 1, day), "source_file": f"dt=2018-01-{day:02}/orders.csv"}
    return [row(QUARANTINE, **values, line="masked", reasons=["type is null"])] * count


def landed(*days: tuple[int, int]) -> list[tuple[object, ...]]:
    return [(date(2018, 1, day), f"dt=2018-01-{day:02}/orders.csv", count) for day, count in days]


def test_good_dates_pass_and_missing_ones_are_warnings(spark: SparkSession) -> None:
    # Day 1 at the limit of 5 %, day 2 at that of 5 lines, day 3 an empty file.
    items = table(spark, ORDER_ITEMS, [*lines(1, 1, 95), *lines(2, 200, 20)])
    bad = table(spark, QUARANTINE, [*quarantined(1, 5), *quarantined(2, 5)])
    files = spark.createDataFrame(landed((1, 100), (2, 25), (3, 0)), LANDED)
    result = run_checkpoint("bronze", bronze_assets(items, bad, files, START, END, [date(2018, 1, 5)]))
    assert result.failures == ()
    assert result.success
    assert [(w.asset, w.landing_date) for w in result.warnings] == [("missing_dates", "2018-01-05")]


def test_an_empty_change_passes(spark: SparkSession) -> None:
    nothing = table(spark, ORDER_ITEMS, []), table(spark, QUARANTINE, []), spark.createDataFrame([], LANDED)
    assert run_checkpoint("bronze", bronze_assets(*nothing, START, END)).success


def test_each_mistake_is_told_by_rule_and_date(spark: SparkSession) -> None:
    items = [
        *lines(1, 1, 94),  # 6 of 100 in quarantine
        *lines(2, 200, 9),  # a line lost
        *lines(3, 300, 10),
        *lines(3, 305, 1),  # an item doubled
        *lines(9, 900, 1),  # outside the interval
        delivery(401, landing_date=date(2018, 1, 4), source_file="f4", order_status="LOST"),
        delivery(402, landing_date=date(2018, 1, 4), source_file="f4", customer_email="ann@x.example"),
        delivery(403, landing_date=date(2018, 1, 4), source_file="f4", customer_password="pw"),
        delivery(404, landing_date=date(2018, 1, 4), source_file="f4", type=None),
        delivery(405, landing_date=date(2018, 1, 4), source_file="f4", order_item_discount_rate=Decimal("1.5")),
    ]
    files = [*landed((1, 100), (2, 10), (3, 11), (9, 1), (6, 3)), (date(2018, 1, 4), "f4", 5)]
    result = run_checkpoint(
        "bronze",
        bronze_assets(
            table(spark, ORDER_ITEMS, items),
            table(spark, QUARANTINE, [*quarantined(1, 6), *quarantined(6, 3)]),
            spark.createDataFrame(files, LANDED),
            START,
            END,
        ),
    )
    assert {(f.asset, f.column, f.landing_date) for f in result.failures} == {
        ("landing_dates", "quarantined_share", "2018-01-01"),
        ("conservation", "difference", "2018-01-02"),
        ("order_items", "landing_date, source_file, order_item_id", "2018-01-03"),
        ("landing_dates", "inside_interval", "2018-01-09"),
        ("landing_dates", "landed_without_rows", "2018-01-06"),
        ("order_items", "order_status", "2018-01-04"),
        ("order_items", "customer_email", "2018-01-04"),
        ("order_items", "customer_password", "2018-01-04"),
        ("order_items", "type", "2018-01-04"),
    }
    assert [(w.column, w.landing_date) for w in result.warnings] == [("order_item_discount_rate", "2018-01-04")]
    samples = {f.column: f.samples for f in result.failures}
    assert samples["order_status"] == ("f4: order_item_id 401, order_status LOST",)
    assert samples["customer_email"] == ("f4: order_item_id 402",)
    assert "ann@x" not in repr(result) + repr([j.result.to_json_dict() for j in result.judgements])


def test_another_schema_is_refused(spark: SparkSession) -> None:
    items = table(spark, ORDER_ITEMS, lines(1, 1, 1))
    rest = table(spark, QUARANTINE, []), spark.createDataFrame(landed((1, 1)), LANDED), START, END
    changed = items.withColumn("sales", items["sales"].cast("double")).drop("market")
    result = run_checkpoint("bronze", bronze_assets(changed, *rest))
    told = {(f.asset, f.expectation) for f in result.failures}
    assert ("schema", "expect_column_distinct_values_to_equal_set") in told
    assert ("order_items", "expect_table_columns_to_match_ordered_list") in told
    assert any("market" in f.message and "could not be evaluated" in f.message for f in result.failures)
