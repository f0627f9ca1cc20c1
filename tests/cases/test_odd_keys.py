"""One odd key never stops a layer: what does not fit its type is absent and named, and all others are published.

A day with odd products and customers lands, then an ordinary day, then a correction. Each row of the tables below is
one case: whose row, which column, and what must come out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.layers.registry import TABLES
from spark_jobs.storage.local_relation import Relation
from spark_jobs.storage.overlay import Overlay
from spark_jobs.storage.verdicts import Finding
from tests.spark.audit.frames import delivery, row, sampled, table
from tests.spark.audit.test_gold_audit import built, judged
from tests.spark.publishing.lakehouse import Lakehouse, order_item

GREATEST = "9999999999.99"
"""Of DECIMAL(12,2), the type of money in an order file."""
LOSS, GAIN, TIE, FREE, PLAIN = 9, 10, 11, 12, 5
"""Products: a margin far below or above what fits, an average on the border of two cents, no revenue, and an ordinary
one."""
ODD = 50
"""The customer who buys them."""


def profit(amount: str) -> dict[str, str]:
    return {"Order Profit Per Order": amount, "Benefit per order": amount}


def odd_items() -> list[dict[str, str]]:
    """Lines of which each is valid."""
    lines = []
    for product, amount in ((LOSS, f"-{GREATEST}"), (GAIN, GREATEST)):
        for n in range(110):
            total = "0.01" if n == 0 else "0"
            lines.append(
                order_item(product * 1000 + n, product=product, customer=ODD, total=total, day=1, **profit(amount))
            )
    for n, price in enumerate((GREATEST, "9999999999.98")):
        lines.append(order_item(TIE * 1000 + n, product=TIE, customer=ODD, price=price, day=1))
    lines.append(order_item(FREE * 1000, product=FREE, customer=ODD, total="0", day=1))
    return lines


def corrected_items() -> list[dict[str, str]]:
    """The odd losses come again with a profit that can be; the day before is left as it landed."""
    return [
        order_item(LOSS * 1000 + n, product=LOSS, customer=ODD, total="10.00", day=1, **profit("-2.50"))
        for n in range(110)
    ]


def land(lakehouse: Lakehouse) -> None:
    ordinary = [order_item(n, customer=n % 4 + 1, product=PLAIN + n % 3, day=1) for n in range(1, 13)]
    lakehouse.land("2018-01-01", *ordinary, *odd_items())
    lakehouse.land("2018-01-02", *(order_item(n, customer=n % 4 + 1, product=PLAIN, day=2) for n in range(21, 25)))
    lakehouse.land("2018-01-03", *corrected_items())


@dataclass
class Day:
    """What a day published in gold, and what the verdict warns of."""

    products: dict[int, dict[str, Any]]
    warnings: tuple[Finding, ...]

    def named(self, rule: str) -> str:
        return " ".join(finding.message for finding in self.warnings if finding.rule == rule)


def run(lakehouse: Lakehouse, start: str, end: str) -> Day:
    """Only gold is audited: each line is valid, and its keys get odd there."""
    lakehouse.run(start, end, ("bronze", "silver"), audited=False)
    build = lakehouse.build("gold", start, end)
    verdict = lakehouse.audit(build)
    assert verdict.success, verdict.lines()
    lakehouse.publish(build, verdict.fingerprint)
    return Day(products(lakehouse), verdict.warnings)


def products(lakehouse: Lakehouse) -> dict[int, dict[str, Any]]:
    rows = lakehouse.published("gold.products360").collect()
    return {row["product_id"]: row.asDict() for row in rows}


@pytest.fixture(scope="module")
def days(new_lakehouse: Callable[[], Lakehouse]) -> dict[str, Day]:
    """The three days one after the other."""
    lakehouse = new_lakehouse()
    land(lakehouse)
    return {
        name: run(lakehouse, f"2018-01-0{number}", f"2018-01-0{number + 1}")
        for number, name in enumerate(("odd", "ordinary", "corrected"), start=1)
    }


ABSENT = None
CASES: list[tuple[str, int, str, Any]] = [
    ("odd", LOSS, "total_revenue", Decimal("0.01")),
    ("odd", LOSS, "total_profit", Decimal("-1099999999998.90")),
    ("odd", LOSS, "profit_margin", ABSENT),
    ("odd", LOSS, "margin_score", ABSENT),
    ("odd", LOSS, "margin_category", ABSENT),
    ("odd", LOSS, "strategic_priority", ABSENT),
    ("odd", LOSS, "revenue_score", 1),
    ("odd", LOSS, "performance_tier", "Weak"),
    ("odd", LOSS, "avg_profit_per_order", Decimal("-9999999999.99")),
    ("odd", GAIN, "total_profit", Decimal("1099999999998.90")),
    ("odd", GAIN, "profit_margin", ABSENT),
    ("odd", GAIN, "margin_score", ABSENT),
    ("odd", TIE, "avg_price_charged", Decimal("9999999999.99")),  # 9999999999.985
    ("odd", FREE, "profit_margin", ABSENT),
    ("odd", FREE, "margin_score", 1),
    ("odd", PLAIN, "profit_margin", Decimal("0.2278")),
    ("odd", PLAIN, "margin_category", "Very Low"),
    ("ordinary", LOSS, "profit_margin", ABSENT),
    ("ordinary", PLAIN, "total_orders", 8),
    ("corrected", LOSS, "profit_margin", Decimal("-0.2500")),
    ("corrected", LOSS, "margin_score", 1),
    ("corrected", LOSS, "margin_category", "Very Low"),
    ("corrected", GAIN, "profit_margin", ABSENT),
]


@pytest.mark.parametrize(("day", "product", "column", "expected"), CASES)
def test_a_product(days: dict[str, Day], day: str, product: int, column: str, expected: Any) -> None:
    assert days[day].products[product][column] == expected


NAMED: list[tuple[str, list[int], list[int]]] = [
    ("odd", [LOSS, GAIN], [TIE, FREE, PLAIN]),
    ("ordinary", [LOSS, GAIN], [TIE, FREE, PLAIN]),
    ("corrected", [GAIN], [LOSS, TIE, FREE, PLAIN]),
]


@pytest.mark.parametrize(("day", "named", "unnamed"), NAMED)
def test_the_finding_names_the_products(days: dict[str, Day], day: str, named: list[int], unnamed: list[int]) -> None:
    message = days[day].named("measures_fit_their_types")
    assert all(f"product_id {product}," in message for product in named), message
    assert not any(f"product_id {product}," in message for product in unnamed), message


def test_an_absent_measure_is_absent_in_any_split(days: dict[str, Day], new_lakehouse: Callable[[], Lakehouse]) -> None:
    """The law, with measures that do not fit."""
    in_one_run = new_lakehouse()
    land(in_one_run)
    in_one_run.run("2018-01-01", "2018-01-04", audited=False)
    assert products(in_one_run) == days["corrected"].products


TOO_MANY = 1_000_002
"""Items of the greatest total, whose sum does not fit DECIMAL(18,2)."""
BEYOND: dict[tuple[str, int], dict[str, Any]] = {
    ("customers360", 1): {"total_orders": TOO_MANY, "total_revenue": ABSENT, "avg_order_value": ABSENT,
                          "monetary_score": ABSENT, "rfm_score": ABSENT, "rfm_segment": ABSENT,
                          "total_profit": Decimal(TOO_MANY)},
    ("customers360", 2): {"total_orders": 2, "total_revenue": Decimal("2.00"), "rfm_segment": "New Customers"},
    ("products360", 1): {"total_revenue": ABSENT, "profit_margin": ABSENT, "revenue_score": ABSENT,
                         "margin_score": ABSENT, "performance_tier": ABSENT, "product_health": ABSENT,
                         "strategic_priority": ABSENT, "avg_price_charged": Decimal(GREATEST)},
    ("products360", 2): {"total_revenue": Decimal("2.00"), "profit_margin": Decimal("1.0000"), "margin_score": 1},
    ("product_totals", 1): {"total_revenue": Decimal(GREATEST) * TOO_MANY},
}  # fmt: skip
"""As in github.com/apache/datafusion/issues/22713: an average fits although the sum behind it does not."""


def test_sums_beyond_their_type(compiling_spark: SparkSession) -> None:
    """As gold is built from silver, and as its rules judge that."""
    spark, schemas = compiling_spark, {name: TABLES[f"silver.{name}"].schema for name in
                                       ("orders", "dim_customers", "dim_products")}  # fmt: skip
    day = {"order_date": datetime(2018, 1, 1), "line_profit": Decimal(1)}  # noqa: DTZ001
    much = {"line_total": Decimal(GREATEST), "product_price": Decimal(GREATEST)}
    odd = table(spark, schemas["orders"], [row(schemas["orders"], customer_id=1, product_id=1, **day, **much)])
    few = [row(schemas["orders"], order_item_id=n, order_id=n, customer_id=2, product_id=2, **day) for n in (-1, -2)]
    numbered = odd.drop("order_item_id", "order_id").crossJoin(
        spark.range(TOO_MANY).select(F.col("id").alias("order_item_id"), F.col("id").alias("order_id"))
    )
    start = {"valid_from": datetime(2018, 1, 1), "valid_to": None, "is_current": True}  # noqa: DTZ001
    silver = {"orders": table(spark, schemas["orders"], few).unionByName(numbered)} | {
        name: table(spark, schemas[name], [row(schemas[name], **{key: n}, **start) for n in (1, 2)])
        for name, key in (("dim_customers", "customer_id"), ("dim_products", "product_id"))
    }
    gold = built(silver)
    keys = {name: TABLES[f"gold.{name}"].key for name in gold}
    for name in ("customers360", "products360", "product_totals"):  # few rows, derived once
        gold[name] = spark.createDataFrame(gold[name].toArrow(), TABLES[f"gold.{name}"].schema)
    for (name, key), expected in BEYOND.items():
        (found,) = gold[name].where(F.col(keys[name]) == key).collect()
        assert {column: found[column] for column in expected} == expected
    changes = {
        name: Overlay(None, Relation(rows.withColumn("_deleted", F.lit(False)), None), keys[name], True)
        for name, rows in gold.items()
    }
    silver["order_items"] = table(spark, TABLES["bronze.order_items"].schema, [delivery(1)])
    result = judged(spark, silver, changes, None, ("gold.customers360", "gold.products360", "gold.product_totals"))
    assert result.failures == ()
    assert sampled(result, "customers360", "measures_fit_their_types", "customer_id") == {"1"}
    assert sampled(result, "products360", "measures_fit_their_types", "product_id") == {"1"}
