"""The silver gate catches what it should, key by key (design, sections 6 and 8)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.layers.bronze.bronze_tables import ORDER_ITEMS
from spark_jobs.layers.silver.dimensions import DIM_CUSTOMERS, DIM_PRODUCTS
from spark_jobs.quality.silver_assets import silver_assets
from spark_jobs.storage.overlay import Change
from tests.spark.audit.frames import DAY, FILE, delivery, judged, row, table, unmet


def staged(frame: DataFrame, deleted: bool = False) -> DataFrame:
    return frame.select("*", F.lit(deleted).alias("_deleted"))


def at(day: int) -> datetime:
    return datetime(2018, 1, day)  # noqa: DTZ001 - Spark's timestamps are naive, in UTC


def customer(key: str | None, number: int | None, start: int, end: int | None, **values: Any) -> tuple[Any, ...]:
    fields = {"customer_segment": key, "is_current": end is None, **values}
    span = {"valid_from": at(start), "valid_to": None if end is None else at(end)}
    return row(DIM_CUSTOMERS, customer_key=key, customer_id=number, **span, **fields)


def order(item: int, **values: Any) -> tuple[Any, ...]:
    return row(ORDERS, order_item_id=item, **{"order_date": at(2), **values})


def bronze(item: int, **values: Any) -> tuple[Any, ...]:
    return delivery(item, **{"order_date_dateorders": at(2), **values})


PRODUCT = row(DIM_PRODUCTS, product_key="p", product_id=1, valid_from=at(1), valid_to=None, is_current=True)
CUSTOMER = customer("c", 1, 1, None)


def test_every_mistake_is_told_by_rule_and_key(spark: SparkSession) -> None:
    older, newer = {"landing_date": date(2018, 1, 1)}, {"landing_date": DAY}
    deliveries = [
        *(bronze(item) for item in range(1, 7)),
        bronze(8, **older, order_item_total=Decimal("7.00")),
        bronze(8, **newer),
        bronze(9, source_file="dt=2018-01-02/a.csv"),
        bronze(9, source_file="dt=2018-01-02/b.csv"),
        bronze(10, row_hash="0" * 64),
        bronze(10, row_hash="f" * 64),
        *(bronze(100 + n, customer_id=n) for n in range(2, 14)),
    ]
    orders = [
        order(1),
        # 2 is missing
        order(3),
        order(3),
        order(4, line_total=Decimal("1.01")),
        order(5, customer_id=6),
        order(6, order_status="CLOSED"),
        order(7),  # was never delivered
        order(8, **older, line_total=Decimal("7.00")),
        order(9, source_file="dt=2018-01-02/a.csv"),
        order(10, row_hash="0" * 64),
        *(order(100 + n, customer_id=n) for n in range(2, 14)),
    ]
    customers = [
        CUSTOMER,
        customer("2a", 2, 1, 2),  # a gap around the order's moment
        customer("2b", 2, 3, None),
        customer("3a", 3, 1, 4),  # an overlap
        customer("3b", 3, 2, None),
        customer("4a", 4, 1, None),  # two open ones
        customer("4b", 4, 3, None),
        customer("5a", 5, 1, 3),  # none open
        customer("6a", 6, 1, 1),  # an empty one
        customer("6b", 6, 1, None),
        customer("7a", 7, 1, None, is_current=False),
        customer("8a", 8, 1, 2, customer_segment="same"),
        customer("8b", 8, 2, None, customer_segment="same"),
        customer(None, 9, 1, None),
        customer("10", 10, 1, None),
        customer("11a", 11, 1, 2),
        customer("11a", 11, 2, None, customer_segment="other"),
        customer("12", 12, 3, None),  # begins after the order
        # 13 has no version
        customer("14", 14, 1, None),  # was never delivered
        customer("n", None, 1, None),
    ]
    assets = silver_assets(
        bronze=table(spark, ORDER_ITEMS, deliveries),
        orders=Change(None, staged(table(spark, ORDERS, orders)), "order_item_id"),
        customers=Change(None, staged(table(spark, DIM_CUSTOMERS, customers)), "customer_key"),
        products=Change(None, staged(table(spark, DIM_PRODUCTS, [PRODUCT])), "product_key"),
        touched=None,
    )
    result = judged("silver", assets)
    assert unmet(result, "orders") == {
        "rows": {2, 3},
        "is_delivered": {7},
        "is_newest": {2, 7, 8, 9},  # 10 measures as 9 does
        "values_agree": {2, 4, 7, 8},  # 5 and 6 measure as 4 does
    }
    keys = {f.landing_date: f.unexpected_count for f in result.failures if f.column == "values_agree"}
    assert sum(n or 0 for n in keys.values()) == 6
    versions = unmet(result, "dim_customers")
    assert versions == {
        "has_natural_key": {None},
        "is_delivered": {None, 14},
        "open_versions": {4, 5},  # 13 measures as 5 does
        "gaps": {2},
        "overlaps": {3, 4},
        "empty_versions": {6},
        "wrong_is_current": {7},
        "equal_neighbours": {8},
        "null_surrogate_keys": {9},
        "repeated_surrogate_keys": {11},
    }
    assert [f.unexpected_count for f in result.failures if f.column == "open_versions"] == [3]
    found = next(j for j in result.judgements if j.asset == "order_versions").result.results
    counted = {r["customer_versions"]: r["keys"] for one in found for r in one.result["unexpected_index_list"]}
    assert counted == {0: 3, 2: 1}  # customers 2, 12 and 13; customer 3
    totals = {r["measure"]: r["difference"] for r in _totals(result)}
    assert totals == {"rows": 1, "line_total": 7.01, "line_profit": 1, "quantity": 1, "sales": 1}
    assert not any(f.asset == "dim_products" for f in result.failures)


def _totals(result: Any) -> list[dict[str, Any]]:
    (judgement,) = [j for j in result.judgements if j.asset == "control_totals"]
    return [r for one in judgement.result.results for r in one.result["unexpected_index_list"]]


def changes(spark: SparkSession, upserted: list[tuple[Any, ...]], withdrawn: list[tuple[Any, ...]]) -> dict[str, Any]:
    """A second publication: item 1 stays, 2 is delivered again, 3 is withdrawn, 4 is new."""
    deliveries = [bronze(1), bronze(2), bronze(2, landing_date=date(2018, 1, 3)), bronze(4)]
    published = table(spark, ORDERS, [order(1), order(2), order(3)])
    upserts = staged(table(spark, ORDERS, upserted))
    deletes = staged(table(spark, ORDERS, withdrawn), deleted=True)
    touched = [(2, 1, 1), (3, 1, 1), (4, 1, 1)]
    return silver_assets(
        bronze=table(spark, ORDER_ITEMS, deliveries),
        orders=Change(published, upserts.unionByName(deletes), "order_item_id"),
        customers=Change(table(spark, DIM_CUSTOMERS, [CUSTOMER]), None, "customer_key"),
        products=Change(table(spark, DIM_PRODUCTS, [PRODUCT]), None, "product_key"),
        touched=spark.createDataFrame(touched, "order_item_id bigint, customer_id bigint, product_card_id bigint"),
    )


def test_a_change_is_judged_with_what_stays(spark: SparkSession) -> None:
    again = order(2, landing_date=date(2018, 1, 3))
    result = judged("silver", changes(spark, [again, order(4)], [order(3)]))
    assert result.failures == ()
    assert result.success


def test_a_change_that_was_left_out_is_caught(spark: SparkSession) -> None:
    result = judged("silver", changes(spark, [order(4, source_file=FILE)], []))
    assert unmet(result, "orders") == {"is_delivered": {3}, "is_newest": {2, 3}, "values_agree": {3}}
    assert {r["measure"] for r in _totals(result)} == {"rows", "line_total", "line_profit", "quantity", "sales"}


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ([customer("c", 1, 1, 3), customer("d", 1, 4, None)], {0: {3}, 1: {4}}),
        ([customer("c", 1, 1, 3)], {0: {3, 4}}),
        ([customer("d", 1, 3, None)], {2: {3, 4}}),
        ([customer("c", 1, 3, None)], {0: {2}, 1: {3, 4}}),
        ([customer("c", 1, 1, 3), customer("c", 1, 1, 3)], {2: {2}, 0: {3, 4}}),
        ([customer("c", 1, 1, None, customer_zipcode="00725")], {}),
    ],
    ids=["a gap", "the next is missing", "the last is not ended", "a later begin", "one twice", "another attribute"],
)
def test_orders_are_judged_from_when_on_versions_hold_otherwise(
    spark: SparkSession, versions: list[tuple[Any, ...]], found: dict[int, set[int]]
) -> None:
    """A day's changes are no reason to look at every order that the customer has ever placed."""
    orders = [order(day, order_date=at(day)) for day in (2, 3, 4)]
    assets = silver_assets(
        bronze=table(spark, ORDER_ITEMS, []),
        orders=Change(table(spark, ORDERS, orders), None, "order_item_id"),
        customers=Change(
            table(spark, DIM_CUSTOMERS, [CUSTOMER]), staged(table(spark, DIM_CUSTOMERS, versions)), "customer_key"
        ),
        products=Change(table(spark, DIM_PRODUCTS, [PRODUCT]), None, "product_key"),
        touched=spark.createDataFrame([], "order_item_id bigint, customer_id bigint, product_card_id bigint"),
    )
    rows = assets["order_versions"].collect()
    assert {row["customer_versions"]: row["keys"] for row in rows} == {n: len(items) for n, items in found.items()}
    assert all(row["product_versions"] == 1 for row in rows)
    assert all(row["example"] in found[row["customer_versions"]] for row in rows)


def test_nothing_touched_is_a_success(spark: SparkSession) -> None:
    touched = spark.createDataFrame([], "order_item_id bigint, customer_id bigint, product_card_id bigint")
    assets = silver_assets(
        bronze=table(spark, ORDER_ITEMS, [bronze(1)]),
        orders=Change(table(spark, ORDERS, [order(1)]), None, "order_item_id"),
        customers=Change(table(spark, DIM_CUSTOMERS, [CUSTOMER]), None, "customer_key"),
        products=Change(table(spark, DIM_PRODUCTS, [PRODUCT]), None, "product_key"),
        touched=touched,
    )
    result = judged("silver", assets)
    assert result.failures == ()
    assert result.success
