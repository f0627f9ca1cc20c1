"""The gold gate catches what it should, key by key (design, sections 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from spark_jobs.layers.bronze.bronze_tables import ORDER_ITEMS
from spark_jobs.layers.gold.customers360 import customers360
from spark_jobs.layers.gold.orders_enriched import orders_enriched
from spark_jobs.layers.gold.product_totals import product_totals
from spark_jobs.layers.gold.products360 import products360
from spark_jobs.layers.silver.dimensions import DIM_CUSTOMERS, DIM_PRODUCTS
from spark_jobs.quality.gold_360_assets import MOVED_COLUMNS, NOT_COUNTED, MovedOrders
from spark_jobs.quality.gold_assets import gold_assets
from spark_jobs.storage.overlay import Change
from tests.spark.audit.frames import delivery, judged, row, table, unmet

Rows = list[dict[str, Any]]
FIRST = datetime(2017, 1, 1)  # noqa: DTZ001 - Spark's timestamps are naive, in UTC
CUSTOMERS, PRODUCTS = range(1, 21), range(1, 13)
STATUSES = ("COMPLETE", "CLOSED", "CANCELED", "PENDING", "SUSPECTED_FRAUD", "COMPLETE", "COMPLETE")
SCHEMAS = {
    name: GOLD_SCHEMAS[f"gold.{name}"] for name in ("orders_enriched", "customers360", "products360", "product_totals")
}
KEYS = {name: GOLD_KEYS[f"gold.{name}"] for name in SCHEMAS}


def silver_orders() -> list[tuple[Any, ...]]:
    """Customer 20 and product 12 have no order; what they buy varies enough for every score to occur."""
    rows = []
    for item in range(1, 61):
        total = Decimal(item * 7 % 41 * 10) + Decimal("0.25")
        rows.append(
            row(
                ORDERS,
                order_item_id=item,
                order_id=1 + item // 2,
                customer_id=1 + (1 + item // 2) % 19,
                product_id=1 + item * item % 11,
                order_date=FIRST + timedelta(days=6 * item),
                order_status=STATUSES[item // 2 % 7],
                line_total=total,
                line_profit=total * (item % 5 - 1) / 10,
                quantity=1 + item % 3,
            )
        )
    return rows


def built(silver: dict[str, DataFrame]) -> dict[str, DataFrame]:
    """Gold as it is built from that silver."""
    enriched = orders_enriched(silver["orders"], silver["dim_customers"], silver["dim_products"])
    as_of = date(2018, 1, 3)
    return {
        "orders_enriched": enriched,
        "customers360": customers360(enriched, silver["dim_customers"], as_of),
        "products360": products360(enriched, silver["dim_products"], as_of),
        "product_totals": product_totals(enriched),
    }


@pytest.fixture(scope="module")
def good(spark: SparkSession) -> dict[str, Any]:
    """Gold as it is built, its rows fetched so that tests can spoil them."""
    start = {"valid_from": FIRST, "valid_to": None, "is_current": True}
    silver = {
        "orders": table(spark, ORDERS, silver_orders()),
        "dim_customers": table(
            spark, DIM_CUSTOMERS, [row(DIM_CUSTOMERS, customer_id=n, customer_key=f"c{n}", **start) for n in CUSTOMERS]
        ),
        "dim_products": table(
            spark, DIM_PRODUCTS, [row(DIM_PRODUCTS, product_id=n, product_key=f"p{n}", **start) for n in PRODUCTS]
        ),
    }
    rows = {name: [r.asDict() for r in frame.orderBy(KEYS[name]).collect()] for name, frame in built(silver).items()}
    bronze = table(spark, ORDER_ITEMS, [delivery(1)])  # landed on 2018-01-02
    return {"silver": {**silver, "bronze": bronze}, "rows": rows}


def frame(spark: SparkSession, schema: StructType, rows: Rows) -> DataFrame:
    return spark.createDataFrame([tuple(r[n] for n in schema.names) for r in rows], schema)


def audit(
    spark: SparkSession, good: dict[str, Any], spoil: Callable[[dict[str, dict[int, Rows]]], None], only: set[str]
) -> Any:
    """The assets `only` of the audit of gold after `spoil` changed its rows, given by table and key."""
    tables: dict[str, dict[int, Rows]] = {
        name: {r[KEYS[name]]: [dict(r)] for r in rows} for name, rows in good["rows"].items()
    }
    spoil(tables)
    changes = {}
    for name, by_key in tables.items():
        rows = [r for some in by_key.values() for r in some]
        before = frame(spark, SCHEMAS[name], good["rows"][name])
        staged = frame(spark, SCHEMAS[name], rows).select("*", F.lit(False).alias("_deleted"))
        gone = before.join(staged, KEYS[name], "left_anti").select("*", F.lit(True).alias("_deleted"))
        changes[name] = Change(before, staged.unionByName(gone), KEYS[name])
    assets = gold_assets(**good["silver"], **changes, touched=None)
    return judged("gold", {name: asset for name, asset in assets.items() if name in only})


def failures(result: Any, only: set[str]) -> list[str]:
    return [f.message for f in result.failures if f.asset in only]


ALL = {
    "control_totals",
    "orders_enriched",
    "customers360",
    "products360",
    "product_totals",
    "totals360",
    "scores",
    "shares",
    "as_of",
}


def test_gold_as_it_is_built_passes(spark: SparkSession, good: dict[str, Any]) -> None:
    result = audit(spark, good, lambda _: None, ALL)
    assert result.failures == ()
    assert result.warnings == ()
    assert len({r["rfm_segment"] for r in good["rows"]["customers360"]}) >= 4
    assert {r["performance_tier"] for r in good["rows"]["products360"]} >= {"Star", "Slow Movers"}


def test_enriched_mistakes(spark: SparkSession, good: dict[str, Any]) -> None:
    def spoil(tables: dict[str, dict[int, Rows]]) -> None:
        items = tables["orders_enriched"]
        items[1] = []
        items[2] *= 2
        items[3][0]["line_total"] += Decimal("0.01")
        items[4][0]["customer_key"] = "c999"
        items[5][0]["product_name"] = "another"
        items[6][0]["customer_segment"] = None
        items[999] = [{**items[7][0], "order_item_id": 999}]
        items[8][0]["delivery_zipcode"], items[8][0]["delivery_state"] = None, items[8][0]["delivery_zipcode"]

    result = audit(spark, good, spoil, {"orders_enriched", "control_totals"})
    assert unmet(result, "orders_enriched") == {
        "rows": {1, 2},
        "is_in_silver": {999},
        "equals_silver": {1, 3, 999},  # 8 measures as 3 does
        "customer_version_agrees": {1, 4, 999},  # 6 measures as 4 does
        "product_version_agrees": {1, 5, 999},
    }
    told = {f.column: f.unexpected_count for f in result.failures if f.asset == "orders_enriched"}
    assert told["equals_silver"] == 4
    assert told["customer_version_agrees"] == 4
    money = unmet(result, "control_totals", "measure")["difference"]
    assert {"line_total", "rows"} <= money


def test_customer_mistakes(spark: SparkSession, good: dict[str, Any]) -> None:
    segment = {r["customer_id"]: r["rfm_segment"] for r in good["rows"]["customers360"]}

    def spoil(tables: dict[str, dict[int, Rows]]) -> None:
        rows = tables["customers360"]
        rows[1] = []
        rows[2] *= 2
        rows[3][0]["total_revenue"] += Decimal("0.01")
        rows[4][0]["rfm_segment"] = "Champions" if segment[4] != "Champions" else "At Risk"
        rows[5][0]["rfm_segment"] = "Friends"
        rows[6][0]["rfm_score"] = "777"
        rows[7][0]["recency_score"] = 6
        rows[8][0]["customer_zipcode"] = "0"
        rows[9][0]["days_since_last_order"] += 1
        rows[10][0]["avg_order_value"] += Decimal("0.01")
        rows[20][0]["monetary_score"] = 2  # has no counted order
        rows[999] = [{**rows[11][0], "customer_id": 999}]

    only = {"customers360", "as_of", "totals360"}
    result = audit(spark, good, spoil, only)
    told = unmet(result, "customers360")
    assert told["rows"] == {1, 2}
    assert told["in_dimension"] == {999}
    assert told["attributes_agree"] >= {8}
    assert told["measures_agree"] == {1, 3, 999}
    assert told["rates_follow"] >= {10, 20}
    assert told["rfm_score_follows"] >= {6, 7}
    assert told["rfm_segment_follows"] >= {4, 5}
    assert told["rfm_segment"] == {1, 5}  # 1 has none at all
    assert told["rfm_score"] == {1, 6}
    assert told["recency_score"] == {1, 7}
    assert unmet(result, "as_of")["difference_days"] == {9}
    assert "total_revenue" in unmet(result, "totals360", "measure")["difference"]
    # Zip codes and names are private; keys are not.
    assert "customer_zipcode" not in repr(result.failures)


def test_a_key_of_the_dimension_without_a_current_version_is_told(spark: SparkSession, good: dict[str, Any]) -> None:
    """customers360 is made of current versions, so it has no row either."""
    past = {"valid_from": FIRST, "valid_to": FIRST + timedelta(days=1), "is_current": False}
    ended = table(spark, DIM_CUSTOMERS, [row(DIM_CUSTOMERS, customer_id=77, customer_key="c77", **past)])
    silver = {**good["silver"], "dim_customers": good["silver"]["dim_customers"].unionByName(ended)}
    result = audit(spark, {**good, "silver": silver}, lambda _: None, {"customers360"})
    assert unmet(result, "customers360")["rows"] == {77}


def test_product_mistakes(spark: SparkSession, good: dict[str, Any]) -> None:
    stored = {r["product_id"]: r for r in good["rows"]["products360"]}

    def other(label: str, product: int, *values: str) -> str:
        return next(v for v in values if v != stored[product][label])

    def spoil(tables: dict[str, dict[int, Rows]]) -> None:
        rows = tables["products360"]
        rows[1][0]["performance_tier"] = other("performance_tier", 1, "Star", "Steady")
        rows[2][0]["margin_category"] = other("margin_category", 2, "High", "Low")
        rows[3][0]["product_health"] = other("product_health", 3, "Healthy", "Monitor")
        rows[4][0]["strategic_priority"] = other("strategic_priority", 4, "Maintain", "Growth Opportunity")
        rows[5][0]["order_fraud_rate"] = Decimal("0.9999")
        rows[6][0]["units_sold"] += 1
        rows[7][0]["margin_score"] = 5
        rows[12][0]["performance_tier"] = "Weak"  # nothing was ever sold

    result = audit(spark, good, spoil, {"products360", "totals360"})
    told = unmet(result, "products360")
    assert 1 in told["performance_tier_follows"]
    assert 12 in told["performance_tier_follows"]
    assert 2 in told["margin_category_follows"]
    assert 3 in told["product_health_follows"]
    assert 4 in told["strategic_priority_follows"]
    assert 5 in told["rates_follow"]
    assert told["measures_agree"] == {6}
    assert told["margin_score"] == {7}
    assert unmet(result, "totals360", "measure")["difference"] == {"units_sold"}


def test_mistakes_in_the_sums_of_products(spark: SparkSession, good: dict[str, Any]) -> None:
    sold = [r["product_id"] for r in good["rows"]["product_totals"] if r["total_orders"]]
    lost, doubled, canceled, averaged, dated, counted = sold[:6]

    def spoil(tables: dict[str, dict[int, Rows]]) -> None:
        rows = tables["product_totals"]
        rows[lost] = []
        rows[doubled] *= 2
        rows[canceled][0]["canceled_orders"] += 1
        rows[averaged][0]["sum_discount_rate"] += Decimal("0.01")
        rows[dated][0]["last_order_date"] = date(2001, 1, 1)
        rows[counted][0]["items"] += 1
        rows[999] = [{**rows[counted][0], "product_id": 999}]

    result = audit(spark, good, spoil, {"product_totals", "totals360"})
    told = unmet(result, "product_totals")
    assert told["rows"] == {doubled}
    assert told["in_products360"] == {999}
    assert told["sums_agree"] == {lost, canceled, 999}  # `dated` measures as `canceled` does
    assert told["averages_agree"] == {lost, averaged, 999}
    assert unmet(result, "totals360", "measure")["difference"] == {"items"}


@pytest.mark.parametrize("what", ["swapped", "shifted", "none at one"])
def test_scores_that_do_not_follow(spark: SparkSession, good: dict[str, Any], what: str) -> None:
    def spoil(tables: dict[str, dict[int, Rows]]) -> None:
        rows = [r for some in tables["customers360"].values() for r in some if r["total_orders"]]
        rows.sort(key=lambda r: r["total_revenue"])
        if what == "swapped":
            rows[0]["monetary_score"], rows[-1]["monetary_score"] = 5, 1
        elif what == "shifted":  # a neighbour of the threshold
            next(r for r in rows if r["monetary_score"] == 3)["monetary_score"] = 2
        else:
            for r in rows:
                r["monetary_score"] = max(2, r["monetary_score"])

    result = audit(spark, good, spoil, {"scores"})
    told = unmet(result, "scores", "score")
    rule = {"swapped": "is_above_lesser", "shifted": "keys_too_many", "none at one": "starts_at_one"}[what]
    assert told[rule] == {"monetary_score"}


def test_dates_are_right_whatever_orders_moved(spark: SparkSession, good: dict[str, Any]) -> None:
    """What moved is told from what stays: a last date given up, one kept, one gone beyond, and a first one given up."""
    was = [dict(zip(ORDERS.names, values, strict=True)) for values in silver_orders()]
    by_product: dict[int, Rows] = {}
    for item in was:  # in the order of their dates
        if item["order_status"] not in NOT_COUNTED:
            by_product.setdefault(item["product_id"], []).append(item)
    given_up, kept, beyond, first = sorted(p for p, items in by_product.items() if len(items) > 2)[:4]
    later = by_product[beyond][-1]
    changes = {
        by_product[given_up][-1]["order_item_id"]: {"order_status": "CANCELED"},
        by_product[kept][-1]["order_item_id"]: {"line_total": Decimal("1.00")},
        later["order_item_id"]: {"order_date": later["order_date"] + timedelta(days=1)},
        by_product[first][0]["order_item_id"]: {"order_status": "SUSPECTED_FRAUD"},
    }
    are = [item | changes.get(item["order_item_id"], {}) for item in was]
    silver = good["silver"] | {"orders": frame(spark, ORDERS, are)}
    staged = {name: rows.withColumn("_deleted", F.lit(False)) for name, rows in built(silver).items()}
    before = {name: frame(spark, SCHEMAS[name], rows) for name, rows in good["rows"].items()}
    orders_moved = {item["order_id"] for item in was if item["order_item_id"] in changes}
    sides = [
        frame(spark, ORDERS, [item for item in items if item["order_id"] in orders_moved]).select(*MOVED_COLUMNS)
        for items in (was, are)
    ]
    moved = MovedOrders(*sides, customers=sides[0].select("customer_id").distinct())
    assets = gold_assets(
        **silver,
        **{name: Change(before[name], staged[name], KEYS[name], replaces=True) for name in SCHEMAS},
        touched=None,
        moved=moved,
    )
    only = {"customers360", "products360", "totals360"}
    result = judged("gold", {name: asset for name, asset in assets.items() if name in only})
    assert not failures(result, only)


def test_shares_that_moved_far_are_warnings(spark: SparkSession, good: dict[str, Any]) -> None:
    def spoil(tables: dict[str, dict[int, Rows]]) -> None:
        for some in tables["customers360"].values():
            some[0]["rfm_segment"] = "Champions"

    result = audit(spark, good, spoil, {"shares"})
    assert {w.column for w in result.warnings} == {"moved"}
    assert any("label Champions" in w.message for w in result.warnings)
    assert not failures(result, {"shares"})
