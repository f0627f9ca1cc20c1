"""The gold gate catches what it should, key by key."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from spark_jobs.layers.gold.customers360 import customers360
from spark_jobs.layers.gold.orders_enriched import orders_enriched
from spark_jobs.layers.gold.product_totals import product_totals
from spark_jobs.layers.gold.products360 import products360
from spark_jobs.layers.registry import TABLES
from spark_jobs.quality.checkpoint import AuditResult, run_checkpoint
from spark_jobs.quality.inputs import GoldAudit, OrderDifferences
from spark_jobs.storage.local_relation import fetch
from spark_jobs.storage.overlay import Overlay
from tests.spark.audit.frames import broken, delivery, given, row, rules_about, sampled, table, tables_in

Rows = list[dict[str, Any]]
FIRST = datetime(2017, 1, 1)  # noqa: DTZ001 - Spark's timestamps are naive, in UTC
CUSTOMERS, PRODUCTS = range(1, 21), range(1, 13)
NOT_COUNTED = ("CANCELED", "SUSPECTED_FRAUD")
STATUSES = ("COMPLETE", "CLOSED", "CANCELED", "PENDING", "SUSPECTED_FRAUD", "COMPLETE", "COMPLETE")
GOLD = ("orders_enriched", "customers360", "products360", "product_totals")
SCHEMAS = {name: TABLES[f"gold.{name}"].schema for name in GOLD}
KEYS = {name: TABLES[f"gold.{name}"].key for name in GOLD}
ORDERS = TABLES["silver.orders"].schema
DIM_CUSTOMERS, DIM_PRODUCTS = (TABLES[f"silver.{name}"].schema for name in ("dim_customers", "dim_products"))
ORDER_ITEMS = TABLES["bronze.order_items"].schema


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
    return {"silver": {**silver, "order_items": bronze}, "rows": rows}


def frame(spark: SparkSession, schema: StructType, rows: Rows) -> DataFrame:
    return spark.createDataFrame([tuple(r[n] for n in schema.names) for r in rows], schema)


Tables = dict[str, dict[int, Rows]]
Spoil = Callable[[Tables], None]


def judged(
    spark: SparkSession,
    silver: dict[str, DataFrame],
    changes: dict[str, Overlay],
    differences: OrderDifferences | None = None,
    tables: tuple[str, ...] | None = None,
) -> AuditResult:
    upstream = {name: given(rows) for name, rows in silver.items()}
    by_name = {name: given(change) for name, change in changes.items()}
    gold = GoldAudit(upstream, by_name, given(None), given(None), given(differences))
    return run_checkpoint(
        spark, "gold", tables_in("gold"), gold.inputs(incremental=differences is not None), judged=tables
    )


def audit(spark: SparkSession, good: dict[str, Any], spoil: Spoil, *names: str) -> AuditResult:
    """The audit of the tables `names` after `spoil` changed gold's rows, given by table and key."""
    tables: Tables = {name: {r[KEYS[name]]: [dict(r)] for r in rows} for name, rows in good["rows"].items()}
    spoil(tables)
    changes = {}
    for name, by_key in tables.items():
        rows = [r for some in by_key.values() for r in some]
        before = frame(spark, SCHEMAS[name], good["rows"][name])
        staged = frame(spark, SCHEMAS[name], rows).select("*", F.lit(False).alias("_deleted"))
        gone = before.join(staged, KEYS[name], "left_anti").select("*", F.lit(True).alias("_deleted"))
        changes[name] = Overlay(before, fetch(staged.unionByName(gone)), KEYS[name])
    return judged(spark, good["silver"], changes, tables=tuple(f"gold.{name}" for name in names) or None)


def spoil_items(tables: Tables) -> None:
    items = tables["orders_enriched"]
    items[1] = []
    items[2] *= 2
    items[3][0]["line_total"] += Decimal("0.01")
    items[4][0]["customer_key"] = "c999"
    items[5][0]["product_name"] = "another"
    items[6][0]["customer_segment"] = None
    items[999] = [{**items[7][0], "order_item_id": 999}]
    items[8][0]["delivery_zipcode"], items[8][0]["delivery_state"] = None, items[8][0]["delivery_zipcode"]


def spoil_customers(tables: Tables) -> None:
    rows = tables["customers360"]
    rows[1] = []
    rows[2] *= 2
    rows[3][0]["total_revenue"] += Decimal("0.01")
    rows[4][0]["rfm_segment"] = "Champions" if rows[4][0]["rfm_segment"] != "Champions" else "At Risk"
    rows[5][0]["rfm_segment"] = "Friends"
    rows[6][0]["rfm_score"] = "777"
    rows[7][0]["recency_score"] = 6
    rows[8][0]["customer_zipcode"] = "0"
    rows[9][0]["days_since_last_order"] += 1
    rows[10][0]["avg_order_value"] += Decimal("0.01")
    rows[12][0]["total_profit"] = None
    rows[20][0]["monetary_score"] = 2  # has no counted order
    rows[999] = [{**rows[11][0], "customer_id": 999}]


def spoil_products(tables: Tables) -> None:
    rows = tables["products360"]

    def other(product: int, label: str, *values: str) -> None:
        rows[product][0][label] = next(value for value in values if value != rows[product][0][label])

    other(1, "performance_tier", "Star", "Steady")
    other(2, "margin_category", "High", "Low")
    other(3, "product_health", "Healthy", "Monitor")
    other(4, "strategic_priority", "Maintain", "Growth Opportunity")
    rows[5][0]["order_fraud_rate"] = Decimal("0.9999")
    rows[6][0]["units_sold"] += 1
    rows[7][0]["margin_score"] = 5
    rows[8][0]["product_name"] = "another"
    rows[1][0]["avg_profit_per_order"] += Decimal("0.01")
    rows[10][0]["profit_margin"] = None
    rows[12][0]["performance_tier"] = "Weak"  # nothing was ever sold
    rows[12][0]["revenue_score"] = 2
    rows[11] *= 2
    rows[999] = [{**rows[12][0], "product_id": 999}]


def spoil_sums_of_products(tables: Tables) -> None:
    rows = tables["product_totals"]
    sold = [product for product, (r,) in rows.items() if r["total_orders"]]
    lost, doubled, canceled, averaged, dated, counted = sold[:6]
    rows[lost] = []
    rows[doubled] *= 2
    rows[canceled][0]["canceled_orders"] += 1
    rows[averaged][0]["sum_discount_rate"] += Decimal("0.01")
    rows[dated][0]["last_order_date"] = date(2001, 1, 1)
    rows[counted][0]["items"] += 1
    rows[999] = [{**rows[counted][0], "product_id": 999}]


def swap_scores(tables: Tables) -> None:
    for name, score, measure, best in SCORED:
        rows = sorted(ranked(tables, name), key=lambda r: r[measure])
        rows[0][score], rows[-1][score] = best, 1


def shift_scores_down(tables: Tables) -> None:
    """A neighbour of a threshold falls below it."""
    for name, score, _, best in SCORED:
        next(r for r in ranked(tables, name) if r[score] == best)[score] = best - 1


def shift_scores_up(tables: Tables) -> None:
    """The greatest of the least rise to the next score."""
    for name, score, measure, _ in SCORED:
        max((r for r in ranked(tables, name) if r[score] == 1), key=lambda r: r[measure])[score] = 2


def no_score_of_one(tables: Tables) -> None:
    for name, score, _, _ in SCORED:
        for r in ranked(tables, name):
            r[score] = max(2, r[score])


SCORED = (("customers360", "monetary_score", "total_revenue", 5), ("products360", "revenue_score", "total_revenue", 5))


def ranked(tables: Tables, name: str) -> Rows:
    return [r for some in tables[name].values() for r in some if r["total_orders"]]


def one_label(tables: Tables) -> None:
    for some in tables["customers360"].values():
        some[0]["rfm_segment"] = "Champions"
    for some in tables["products360"].values():
        some[0]["performance_tier"] = "Star"


def test_gold_as_it_is_built_passes(spark: SparkSession, good: dict[str, Any]) -> None:
    result = audit(spark, good, lambda _: None)
    assert result.failures == ()
    assert result.warnings == ()
    assert result.success
    assert len({r["rfm_segment"] for r in good["rows"]["customers360"]}) >= 4
    assert {r["performance_tier"] for r in good["rows"]["products360"]} >= {"Star", "Slow Movers"}


# What is spoiled, and for each rule that must see it: the number of bad rows (or None), a column, and values of it that
# samples show.
Expected = dict[tuple[str, str], tuple[int | None, str, set[str]]]
SPOILED_SCORES: list[tuple[Spoil, str]] = [
    (swap_scores, "who_scores_more_has_more"),
    (shift_scores_down, "not_too_many_below_each_threshold"),
    (shift_scores_up, "enough_up_to_each_threshold"),
    (no_score_of_one, "scores_begin_at_one"),
]


def both_score_rules(rule: str) -> Expected:
    return {
        ("customers360", rule): (None, "score", {"monetary_score"}),
        ("products360", rule): (None, "score", {"revenue_score"}),
    }


MISTAKES: list[tuple[Spoil, Expected]] = [
    (
        spoil_items,
        {
            ("orders_enriched", "one_row_per_item"): (2, "order_item_id", {"1", "2"}),
            ("orders_enriched", "every_item_is_in_silver"): (1, "order_item_id", {"999"}),
            ("orders_enriched", "the_values_are_those_of_silver"): (4, "order_item_id", set()),  # 1, 3, 8 and 999
            ("orders_enriched", "the_customer_is_as_it_was"): (4, "order_item_id", set()),  # 1, 4, 6 and 999
            ("orders_enriched", "the_product_is_as_it_was"): (3, "order_item_id", {"1", "5", "999"}),
            ("orders_enriched", "control_totals"): (None, "measure", {"line_total"}),
        },
    ),
    (
        spoil_customers,
        {
            ("customers360", "one_row_per_customer"): (3, "customer_id", {"1", "2"}),
            ("customers360", "every_customer_is_in_the_dimension"): (1, "customer_id", {"999"}),
            ("customers360", "the_attributes_are_current"): (3, "customer_id", {"1", "8", "999"}),
            ("customers360", "the_measures_are_those_of_silver"): (4, "customer_id", set()),  # 1, 3, 12 and 999
            ("customers360", "measures_fit_their_types"): (1, "customer_id", {"12"}),
            ("customers360", "the_average_follows"): (None, "customer_id", {"10"}),
            ("customers360", "scores_are_one_to_five"): (2, "customer_id", {"1", "7"}),
            ("customers360", "without_an_order_scores_are_one"): (2, "customer_id", {"1", "20"}),
            ("customers360", "rfm_score_is_the_scores_in_a_row"): (3, "customer_id", {"20", "6"}),
            ("customers360", "the_segment_follows"): (None, "customer_id", {"4", "5"}),
            ("customers360", "sums_are_those_of_silver"): (2, "measure", {"total_revenue", "total_profit"}),
            ("customers360", "as_of_is_the_day_after_the_last_landing_date"): (1, "customer_id", {"9"}),
        },
    ),
    (
        spoil_products,
        {
            ("products360", "one_row_per_product"): (2, "product_id", {"11"}),
            ("products360", "every_product_is_in_the_dimension"): (1, "product_id", {"999"}),
            ("products360", "the_attributes_are_current"): (2, "product_id", {"8", "999"}),
            ("products360", "the_measures_are_those_of_silver"): (2, "product_id", {"6", "999"}),
            ("products360", "the_averages_follow"): (1, "product_id", {"1"}),
            ("products360", "the_margin_follows"): (1, "product_id", {"10"}),
            ("products360", "measures_fit_their_types"): (1, "product_id", {"10"}),
            ("products360", "the_rates_follow"): (1, "product_id", {"5"}),
            ("products360", "scores_are_in_range"): (1, "product_id", {"7"}),
            ("products360", "without_an_order_scores_are_one"): (3, "product_id", {"7", "12", "999"}),
            ("products360", "the_tier_follows"): (3, "product_id", {"1", "12", "999"}),
            ("products360", "the_margin_category_follows"): (None, "product_id", {"2"}),
            ("products360", "the_health_follows"): (None, "product_id", {"3"}),
            ("products360", "the_priority_follows"): (None, "product_id", {"4"}),
        },
    ),
    (
        spoil_sums_of_products,
        {
            ("product_totals", "at_most_one_row_per_product"): (1, "copies", {"2"}),
            ("product_totals", "every_product_is_in_products360"): (1, "product_id", {"999"}),
            ("product_totals", "the_sums_are_those_of_products360"): (
                4,
                "product_id",
                set(),
            ),  # lost, canceled, dated and 999
            ("product_totals", "the_averages_are_those_of_products360"): (
                3,
                "product_id",
                {"999"},
            ),  # lost, averaged and 999
            ("product_totals", "sums_are_those_of_silver"): (None, "measure", {"items", "total_revenue"}),
        },
    ),
    *((spoil, both_score_rules(rule)) for spoil, rule in SPOILED_SCORES),
    (
        one_label,
        {
            ("customers360", "shares_move_slowly"): (None, "rfm_segment", {"Champions"}),
            ("products360", "shares_move_slowly"): (None, "performance_tier", {"Star"}),
        },
    ),
]


def test_every_rule_has_a_mistake_that_it_must_see() -> None:
    assert {rule for _, expected in MISTAKES for rule in expected} == rules_about("gold")


@pytest.mark.parametrize(("spoil", "expected"), MISTAKES, ids=[spoil.__name__ for spoil, _ in MISTAKES])
def test_mistakes_are_seen(spark: SparkSession, good: dict[str, Any], spoil: Spoil, expected: Expected) -> None:
    assets = {asset for asset, _ in expected}
    result = audit(spark, good, spoil, *sorted(assets))
    found = {asset: broken(result, asset) for asset in assets}
    for (asset, rule), (count, column, values) in expected.items():
        assert rule in found[asset], found
        assert count in (None, found[asset][rule]), (rule, found[asset][rule])
        shown = sampled(result, asset, rule, column)
        assert values <= shown, (rule, shown)
    if len(expected) > 2:
        others = {rule for rules in found.values() for rule in rules} - {rule for _, rule in expected}
        assert others <= SCORE_RULES, "no rule sees a mistake of another"
    elif spoil is one_label:
        assert {w.rule for w in result.warnings} == {"shares_move_slowly"}
        assert "shares_move_slowly" not in {f.rule for f in result.failures}
    private = re.findall(r"zipcode is (\S+) instead of ([^\s,;']+)", repr(result.failures))
    assert {value for pair in private for value in pair} <= {"***", "NULL"}, "private values stay where they are"


SCORE_RULES = {
    "who_scores_more_has_more",
    "not_too_many_below_each_threshold",
    "enough_up_to_each_threshold",
    "scores_begin_at_one",
    "shares_move_slowly",
}


def test_a_key_of_the_dimension_without_a_current_version_is_found(spark: SparkSession, good: dict[str, Any]) -> None:
    """customers360 is made of current versions, so it has no row either."""
    past = {"valid_from": FIRST, "valid_to": FIRST + timedelta(days=1), "is_current": False}
    ended = table(spark, DIM_CUSTOMERS, [row(DIM_CUSTOMERS, customer_id=77, customer_key="c77", **past)])
    silver = {**good["silver"], "dim_customers": good["silver"]["dim_customers"].unionByName(ended)}
    result = audit(spark, {**good, "silver": silver}, lambda _: None, "customers360")
    assert sampled(result, "customers360", "one_row_per_customer", "customer_id") == {"77"}


def test_dates_are_right_whatever_orders_moved(spark: SparkSession, good: dict[str, Any]) -> None:
    """A last date is given up, one is kept, one is gone beyond, and a first date is given up."""
    was = [dict(zip(ORDERS.names, values, strict=True)) for values in silver_orders()]
    by_product: dict[int, Rows] = {}
    for item in was:  # in the order of their dates
        if item["order_status"] not in NOT_COUNTED:
            by_product.setdefault(item["product_id"], []).append(item)
    given_up, kept, beyond, first = sorted(p for p, items in by_product.items() if len(items) > 2)[:4]
    later = by_product[beyond][-1]
    changed_items: dict[int, dict[str, Any]] = {
        by_product[given_up][-1]["order_item_id"]: {"order_status": "CANCELED"},
        by_product[kept][-1]["order_item_id"]: {"line_total": Decimal("1.00")},
        later["order_item_id"]: {"order_date": later["order_date"] + timedelta(days=1)},
        by_product[first][0]["order_item_id"]: {"order_status": "SUSPECTED_FRAUD"},
    }
    are = [item | changed_items.get(item["order_item_id"], {}) for item in was]
    silver = good["silver"] | {"orders": frame(spark, ORDERS, are)}
    staged = {name: rows.withColumn("_deleted", F.lit(False)) for name, rows in built(silver).items()}
    before = {name: frame(spark, SCHEMAS[name], rows) for name, rows in good["rows"].items()}
    orders_moved = {item["order_id"] for item in was if item["order_item_id"] in changed_items}
    signed = [
        frame(spark, ORDERS, [item for item in items if item["order_id"] in orders_moved]).withColumn(
            "sign", F.lit(sign)
        )
        for items, sign in ((was, -1), (are, 1))
    ]
    rows = signed[0].unionByName(signed[1])
    differences = OrderDifferences(rows, customers=fetch(rows.select("customer_id").distinct()))
    changes = {name: Overlay(before[name], fetch(staged[name]), KEYS[name], overwrites=True) for name in SCHEMAS}
    result = judged(
        spark, silver, changes, differences, ("gold.customers360", "gold.products360", "gold.product_totals")
    )
    assert result.failures == ()
    # As if what differs had been overlooked: each of these dates, and the sums, are seen to be wrong.
    stale = {name: Overlay(before[name], None, KEYS[name]) for name in SCHEMAS}
    result = judged(spark, silver, stale, differences, ("gold.products360", "gold.product_totals"))
    assert broken(result, "products360")["the_measures_are_those_of_silver"] == 4
    assert "sums_are_those_of_silver" in broken(result, "product_totals")
