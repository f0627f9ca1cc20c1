"""The bronze gate catches what it should, by rule and landing date."""

# ruff: noqa: DTZ001 - Spark's timestamps are naive, in UTC

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.layers.bronze.metrics import metrics
from spark_jobs.layers.registry import TABLES
from spark_jobs.quality.anomalies import Anomaly
from spark_jobs.quality.checkpoint import AuditResult, run_checkpoint
from spark_jobs.quality.metric_history import as_evidence
from spark_jobs.quality.rules import read_rules
from tests.spark.audit.frames import broken, delivery, given, row, rules_about, sampled, table, tables_in

ORDER_ITEMS, QUARANTINE = (TABLES[f"bronze.{name}"].schema for name in ("order_items", "quarantine"))
LANDED = "landing_date date, source_file string, landed_lines bigint"
START, END = date(2018, 1, 1), date(2018, 1, 8)
LIMITS = {
    "max_quarantined_share": 0.05,
    "max_quarantined_lines": 5,
    "fewer_lines_warning_percent": 50,
    "fewer_lines_critical_percent": 40,
    "max_order_age_days": 100,
    "max_order_days_ahead": 1,
    "interval_start": START,
    "interval_end": END,
    "open_from": END,
}

DATES = ("interval_start", "interval_end", "open_from")

Rows = list[tuple[Any, ...]]


def at(day: int) -> dict[str, Any]:
    return {"landing_date": date(2018, 1, day), "source_file": f"dt=2018-01-{day:02}/orders.csv"}


def lines(day: int, first: int, count: int) -> Rows:
    return [delivery(item, order_id=item, **at(day)) for item in range(first, first + count)]


def quarantined(day: int, count: int) -> Rows:
    return [row(QUARANTINE, **at(day), line="masked", reasons=["type is null"])] * count


def landed(*days: tuple[int, int]) -> Rows:
    return [(*at(day).values(), count) for day, count in days]


def judged(
    spark: SparkSession,
    items: DataFrame | Rows,
    bad: Rows,
    files: Rows,
    missing: Sequence[date] = (),
    limits: Mapping[str, Any] = LIMITS,
    published: Rows | tuple[()] = (),
    spoil: Callable[[DataFrame], DataFrame] = lambda metrics: metrics,
    anomalies: Sequence[Anomaly] = (),
) -> AuditResult:
    """The metrics are those of the lines, as `spoil` changes them."""
    frames = {
        "order_items": table(spark, ORDER_ITEMS, items) if isinstance(items, list) else items,
        "quarantine": table(spark, QUARANTINE, bad),
        "landed_files": spark.createDataFrame(files, LANDED),
        "landed_files_published": spark.createDataFrame([*published], LANDED),
        "missing_dates": spark.createDataFrame(
            [(day, "it has no folder") for day in missing], "landing_date date, reason string"
        ),
    }
    frames["anomalies"] = as_evidence(spark, anomalies)
    frames["metrics"] = spoil(metrics(frames["landed_files"], frames["order_items"], frames["quarantine"]))
    return run_checkpoint(
        spark, "bronze", tables_in("bronze"), {name: given(frame) for name, frame in frames.items()}, limits
    )


def test_good_dates_pass_and_missing_ones_are_warnings(spark: SparkSession) -> None:
    # Day 1 at the limit of 5 %, day 2 at that of 5 lines, day 3 an empty file.
    items, bad = [*lines(1, 1, 95), *lines(2, 200, 20)], [*quarantined(1, 5), *quarantined(2, 5)]
    result = judged(spark, items, bad, landed((1, 100), (2, 25), (3, 0)), [date(2018, 1, 5)])
    assert result.failures == ()
    assert result.success
    assert [(w.rule, w.landing_date) for w in result.warnings] == [("the_landing_date_has_landed", "2018-01-05")]


def test_an_empty_change_passes(spark: SparkSession) -> None:
    assert judged(spark, [], [], []).success


def both_dates(instant: datetime) -> dict[str, Any]:
    return {"order_date_dateorders": instant, "shipping_date_dateorders": instant}


def spoiled_rows() -> dict[str, dict[str, Any]]:
    """Rule about rows -> values of a line that breaks it. The row rules' suite is the table of most of them."""
    suite = {rule.name: rule for rule in read_rules("bronze.order_items").rules if rule.name.endswith(SUITE_ENDINGS)}
    broken: dict[str, dict[str, Any]] = {}
    for name, rule in suite.items():
        column = rule.shows[0]
        if name.endswith("_is_null"):
            broken[name] = {column: None}
        elif name.endswith("_is_not_a_known_value"):
            broken[name] = {column: "LOST"}
        elif name.endswith("_is_not_greater_than_0"):
            broken[name] = {column: 0 if column.endswith("quantity") else Decimal("0.00")}
        else:
            broken[name] = {column: Decimal("9.00") if column in DECIMALS else 9}
    return broken | {
        "every_row_has_its_hash": {"row_hash": "B" * 64},
        "no_address_is_in_clear": {"customer_email": "ann@x.example"},
        "no_password_is_stored": {"customer_password": "pw"},
        "discount_rates_are_shares": {"order_item_discount_rate": Decimal("1.5")},
        "discounts_are_not_negative": {"order_item_discount": Decimal("-0.01")},
        "sales_are_not_negative": {"sales": Decimal("-0.01")},
        "totals_are_not_negative": {"order_item_total": Decimal("-0.01"), "sales_per_customer": Decimal("-0.01")},
        "profit_is_at_most_the_total": {"order_item_profit_ratio": Decimal("1.0001")},
        "shipping_takes_no_negative_time": {"days_for_shipping_real": -1},
        "shipping_is_scheduled_for_no_negative_time": {"days_for_shipment_scheduled": -1},
        "latitudes_are_degrees": {"latitude": Decimal("90.1")},
        "longitudes_are_degrees": {"longitude": Decimal("-180.1")},
        "no_order_was_placed_after_it_was_landed": both_dates(datetime(2018, 1, 6)),
        "no_order_is_too_old": both_dates(datetime(2017, 9, 25, 23)),
        "no_date_stands_for_none": {"shipping_date_dateorders": datetime(1970, 1, 1)},
        "nothing_is_shipped_before_it_is_ordered": {"shipping_date_dateorders": datetime(2018, 1, 2, 11)},
        "days_for_shipping_are_those_between_the_dates": {"days_for_shipping_real": 1},
        "no_value_may_be_a_missing_one": {"order_region": "None"},
    }


SUITE_ENDINGS = ("_is_null", "_is_not_a_known_value", "_is_not_greater_than_0", *(f"_differs_from_{c}" for c in (
    "order_profit_per_order", "order_item_total", "product_category_id", "order_customer_id", "product_card_id",
    "product_price")))  # fmt: skip
DECIMALS = {name for name in ORDER_ITEMS.names if ORDER_ITEMS[name].dataType.simpleString().startswith("decimal")}


def test_every_mistake_in_a_row_is_seen(spark: SparkSession) -> None:
    mistakes = spoiled_rows()
    items = [row(ORDER_ITEMS, **{"order_item_id": n, **at(4), **values}) for n, values in enumerate(mistakes.values())]
    result = judged(spark, items, [], landed((4, len(items))))
    found = {(f.rule, f.landing_date) for f in (*result.failures, *result.warnings)}
    assert {(rule, "2018-01-04") for rule in mistakes} <= found
    numbers = {rule: str(n) for n, rule in enumerate(mistakes) if rule != "order_item_id_is_null"}
    for rule, number in numbers.items():
        assert number in sampled(result, "order_items", rule, "order_item_id"), rule
    assert "order_status LOST" in repr([f.samples for f in result.failures])
    assert "ann@x" not in repr(result)
    untested = {rule for asset, rule in rules_about("bronze") if asset == "order_items"} - set(mistakes)
    assert untested == {
        "the_columns_are_those_of_the_source",
        "every_row_has_its_landing_date",
        "every_row_has_its_file",
        "an_item_occurs_once_in_a_file",
    }, "these are tested below"


def anomaly(severity: str, message: str) -> Anomaly:
    one = Decimal(1)
    return Anomaly(date(2018, 1, 6), "orders", "", one, None, one, one, severity, message)


def spoiled_metrics(rows: DataFrame) -> DataFrame:
    """One of the fifth day more than there are, another one twice, and a third not at all."""
    day, metric = F.col("landing_date") == date(2018, 1, 5), F.col("metric")
    is_changed = day & (metric == "orders") & (F.col("dimension") == "Europe")
    changed = rows.withColumn("value", F.when(is_changed, F.lit(94).cast("decimal(24,6)")).otherwise(F.col("value")))
    kept = changed.where(~(day & (metric == "profit")))
    return kept.unionByName(rows.where(day & (metric == "average_price")))


def test_each_mistake_about_files_and_dates_is_seen(spark: SparkSession) -> None:
    items = [
        *lines(1, 1, 94),  # 6 of 100 in quarantine
        *lines(2, 200, 9),  # a line is lost
        *lines(3, 300, 10),
        *lines(3, 305, 1),  # an item is doubled
        *lines(9, 900, 1),  # outside the interval
        *lines(5, 500, 93),  # 6 of 99 in quarantine
        delivery(600, **{**at(7), "landing_date": None}),
        delivery(601, **{**at(7), "source_file": None}),
    ]
    bad = [
        *quarantined(1, 6),
        *quarantined(6, 3),
        *quarantined(5, 6),
        *quarantined(9, 6),  # as many, of a date that is still being delivered
        row(QUARANTINE, **at(7), line="masked", reasons=[]),
        row(QUARANTINE, **at(7), line="masked", reasons=None),
        row(QUARANTINE, **at(7), line=None, reasons=["type is null"]),
    ]
    files = landed((1, 100), (2, 10), (3, 11), (9, 7), (6, 3), (5, 99), (7, 3))
    published = landed((2, 30), (3, 25), (5, 198), (4, 7))
    found_anomalies = [anomaly("warning", "few orders"), anomaly("critical", "many orders")]
    result = judged(
        spark,
        items,
        bad,
        files,
        [date(2018, 1, 2)],
        published=published,
        spoil=spoiled_metrics,
        anomalies=found_anomalies,
    )
    found = {(f.rule, f.landing_date) for f in (*result.failures, *result.warnings) if f.table != "quarantine"}
    assert found >= {
        ("few_lines_are_quarantined", "2018-01-01"),
        ("few_lines_of_a_small_date_are_quarantined", "2018-01-05"),
        ("few_lines_of_an_open_date_are_quarantined", "2018-01-09"),
        ("landed_is_valid_and_quarantined", "2018-01-02"),
        ("an_item_occurs_once_in_a_file", "2018-01-03"),
        ("the_landing_date_lies_in_the_interval", "2018-01-09"),
        ("a_date_with_lines_has_rows", "2018-01-06"),
        ("every_line_has_its_landing_date", None),
        ("every_row_has_its_landing_date", None),
        ("every_line_has_its_file", "2018-01-07"),
        ("every_row_has_its_file", "2018-01-07"),
        ("the_landing_date_has_landed", "2018-01-02"),
        ("a_date_lands_again_with_enough_lines", "2018-01-02"),
        ("a_date_lands_again_with_about_as_many_lines", "2018-01-03"),
    }
    assert {day for rule, day in found if rule.startswith("a_date_lands_again")} == {"2018-01-02", "2018-01-03"}
    # No date is judged by another one's lines.
    assert ("few_lines_are_quarantined", "2018-01-05") not in found
    assert ("few_lines_of_a_small_date_are_quarantined", "2018-01-09") not in found
    assert broken(result, "quarantine") == {"every_line_has_a_reason": 2, "every_line_is_kept": 1}
    message, _ = (f.message for f in result.failures if f.landing_date == "2018-01-02")
    assert message == (
        "landed_files: Every landed line is either valid or in quarantine. Broken by 1 row on 2018-01-02,"
        " such as dt=2018-01-02/orders.csv: landed 10, valid 9, quarantined 0"
    )
    assert [f.message for f in result.warnings if f.rule == "metrics_lie_in_their_bands"] == [
        "metrics: The metrics are what the landing dates before lead one to expect."
        " Broken by 1 row on 2018-01-06, such as few orders"
    ]
    wrong = [s for f in result.failures if f.rule == "metrics_are_those_of_the_lines" for s in f.samples]
    assert "metric orders, dimension Europe, expected 93, stored 94" in wrong
    seen = {f"{f.table}.{f.rule}" for f in (*result.failures, *result.warnings)}
    untested = {f"{asset}.{rule}" for asset, rule in rules_about("bronze") if asset != "order_items"} - seen
    assert untested == set()


@pytest.mark.parametrize(
    ("limits", "rejected"),
    [
        ({"max_quarantined_share": 0.03, "max_quarantined_lines": 6}, set()),
        ({"max_quarantined_share": 0.029, "max_quarantined_lines": 6}, {"few_lines_are_quarantined"}),
        ({"max_quarantined_share": 0.03, "max_quarantined_lines": 5}, {"few_lines_of_a_small_date_are_quarantined"}),
    ],
)
def test_the_limits_are_parameters(spark: SparkSession, limits: dict[str, Any], rejected: set[str]) -> None:
    items, bad = [*lines(1, 1, 97), *lines(2, 200, 93)], [*quarantined(1, 3), *quarantined(2, 6)]
    result = judged(spark, items, bad, landed((1, 100), (2, 99)), limits={**LIMITS, **limits})
    assert {f.rule for f in result.failures} == rejected
    assert result.parameters == {**LIMITS, **limits, **{n: str(LIMITS[n]) for n in DATES}}


def test_another_schema_is_refused(spark: SparkSession) -> None:
    items = table(spark, ORDER_ITEMS, lines(1, 1, 1))
    as_double = items.withColumn("sales", items["sales"].cast("double"))
    result = judged(spark, as_double, [], landed((1, 1)))
    assert {f.rule for f in result.failures} == {"the_columns_are_those_of_the_source"}
    result = judged(spark, items.drop("market"), [], landed((1, 1)))
    assert {f.rule for f in result.failures} == {"the_columns_are_those_of_the_source", "rows", "metrics"}
    assert any("market" in f.message and "could not be judged" in f.message for f in result.failures)
