"""The silver gate catches what it should, key by key."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.layers.registry import TABLES
from spark_jobs.quality.checkpoint import AuditResult, run_checkpoint
from spark_jobs.quality.inputs import SilverAudit
from spark_jobs.storage.local_relation import fetch
from spark_jobs.storage.overlay import Overlay
from tests.spark.audit.frames import DAY, FILE, broken, delivery, given, row, rules_about, sampled, table, tables_in

ORDER_ITEMS, ORDERS = TABLES["bronze.order_items"].schema, TABLES["silver.orders"].schema
DIM_CUSTOMERS, DIM_PRODUCTS = (TABLES[f"silver.{name}"].schema for name in ("dim_customers", "dim_products"))


def staged(frame: DataFrame, deleted: bool = False) -> DataFrame:
    return frame.select("*", F.lit(deleted).alias("_deleted"))


def at(day: int) -> datetime:
    return datetime(2018, 1, day)  # noqa: DTZ001 - Spark's timestamps are naive, in UTC


def customer(key: str | None, number: int | None, start: int, end: int | None, **values: Any) -> tuple[Any, ...]:
    fields = {"customer_segment": key, "is_current": end is None, **values}
    validity = {"valid_from": at(start), "valid_to": None if end is None else at(end)}
    return row(DIM_CUSTOMERS, customer_key=key, customer_id=number, **validity, **fields)


def product(key: str | None, number: int | None, start: int, end: int | None, **values: Any) -> tuple[Any, ...]:
    fields = {"category_name": key, "is_current": end is None, **values}
    validity = {"valid_from": at(start), "valid_to": None if end is None else at(end)}
    return row(DIM_PRODUCTS, product_key=key, product_id=number, **validity, **fields)


def order(item: int, **values: Any) -> tuple[Any, ...]:
    return row(ORDERS, order_item_id=item, **{"order_date": at(2), **values})


def bronze(item: int, **values: Any) -> tuple[Any, ...]:
    return delivery(item, **{"order_date_dateorders": at(2), **values})


PRODUCT = product("p", 1, 1, None)
CUSTOMER = customer("c", 1, 1, None)


JUDGED = "order_item_id bigint, customer_id bigint, product_card_id bigint"


def inputs(
    deliveries: DataFrame,
    orders: Overlay,
    customers: Overlay,
    products: Overlay,
    judged: DataFrame | None,
) -> dict[str, Any]:
    changes = {"orders": given(orders), "dim_customers": given(customers), "dim_products": given(products)}
    keys = None if judged is None else fetch(judged)
    audit = SilverAudit(given(deliveries), changes, given(keys), given(None))
    return audit.inputs(incremental=judged is not None)


def judged(spark: SparkSession, *frames: Any) -> AuditResult:
    return run_checkpoint(spark, "silver", tables_in("silver"), inputs(*frames))


def test_every_rule_sees_its_mistake(spark: SparkSession) -> None:
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
        *(bronze(200 + n, product_card_id=n) for n in (2, 3, 5, 6, 7, 8, 9, 11)),
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
        *(order(200 + n, product_id=n) for n in (2, 3, 5, 6, 7, 8, 9, 11)),
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
    products = [
        PRODUCT,
        product("2a", 2, 1, 2),
        product("2b", 2, 3, None),
        product("3a", 3, 1, 4),
        product("3b", 3, 2, None),
        product("5a", 5, 1, 3),
        product("6a", 6, 1, 1),
        product("6b", 6, 1, None),
        product("7a", 7, 1, None, is_current=False),
        product("8a", 8, 1, 2, category_name="same"),
        product("8b", 8, 2, None, category_name="same"),
        product(None, 9, 1, None),
        product("11a", 11, 1, 2),
        product("11a", 11, 2, None, category_name="other"),
        product("14", 14, 1, None),  # was never delivered
        product("n", None, 1, None),
    ]
    result = judged(
        spark,
        table(spark, ORDER_ITEMS, deliveries),
        Overlay(None, fetch(staged(table(spark, ORDERS, orders))), "order_item_id"),
        Overlay(None, fetch(staged(table(spark, DIM_CUSTOMERS, customers))), "customer_key"),
        Overlay(None, fetch(staged(table(spark, DIM_PRODUCTS, products))), "product_key"),
        None,
    )
    assert broken(result, "orders") == {
        "one_row_per_item": 2,  # 2 and 3
        "every_item_was_delivered": 1,  # 7
        "the_newest_delivery_wins": 5,  # 2, 7, 8, 9 and 10
        "the_values_are_those_delivered": 6,  # 2, 4, 5, 6, 7 and 8
        "one_version_of_the_customer": 4,  # those of customers 2, 12 and 13, and of 3
        "one_version_of_the_product": 2,  # those of products 2 and 3
        "control_totals": 5,
    }
    assert sampled(result, "orders", "one_row_per_item", "order_item_id") == {"2", "3"}
    assert sampled(result, "orders", "every_item_was_delivered", "order_item_id") == {"7"}
    assert sampled(result, "orders", "one_version_of_the_customer", "customer_versions") == {"0", "2"}
    assert sampled(result, "orders", "one_version_of_the_product", "order_item_id") == {"202", "203"}
    totals = sampled(result, "orders", "control_totals", "measure")
    assert totals <= {"items", "line_total", "line_profit", "quantity", "sales"}
    assert broken(result, "dim_customers") == {
        "every_version_names_its_customer": 1,
        "every_customer_was_delivered": 2,  # 14, and the one without a number
        "one_open_version": 3,  # 4, 5 and 13
        "no_gaps": 1,
        "no_overlaps": 2,  # 3 and 4
        "no_empty_versions": 1,
        "is_current_marks_the_open_version": 1,
        "neighbouring_versions_differ": 1,
        "every_version_has_its_key": 1,
        "no_key_twice": 1,
    }
    assert broken(result, "dim_products") == {
        "every_version_names_its_product": 1,
        "every_product_was_delivered": 2,
        "one_open_version": 1,
        "no_gaps": 1,
        "no_overlaps": 1,
        "no_empty_versions": 1,
        "is_current_marks_the_open_version": 1,
        "neighbouring_versions_differ": 1,
        "every_version_has_its_key": 1,
        "no_key_twice": 1,
    }
    for asset, natural in (("dim_customers", "customer_id"), ("dim_products", "product_id")):
        for rule, key in (
            ("no_gaps", "2"),
            ("no_empty_versions", "6"),
            ("is_current_marks_the_open_version", "7"),
            ("neighbouring_versions_differ", "8"),
            ("every_version_has_its_key", "9"),
            ("no_key_twice", "11"),
        ):
            assert sampled(result, asset, rule, natural) == {key}, (asset, rule)
    warnings = {
        ("dim_customers", "a_day_changes_few_customers"),
        ("dim_products", "a_day_changes_few_products"),
    }
    assert {(f.table, f.rule) for f in result.failures} == rules_about("silver") - warnings  # see tests/cases


def after_a_day(spark: SparkSession, upserted: list[tuple[Any, ...]], withdrawn: list[tuple[Any, ...]]) -> AuditResult:
    """A second publication: item 1 stays, 2 is delivered again, 3 is withdrawn, 4 is new."""
    deliveries = [bronze(1), bronze(2), bronze(2, landing_date=date(2018, 1, 3)), bronze(4)]
    upserts = staged(table(spark, ORDERS, upserted))
    deletes = staged(table(spark, ORDERS, withdrawn), deleted=True)
    return judged(
        spark,
        table(spark, ORDER_ITEMS, deliveries),
        Overlay(
            table(spark, ORDERS, [order(1), order(2), order(3)]), fetch(upserts.unionByName(deletes)), "order_item_id"
        ),
        Overlay(table(spark, DIM_CUSTOMERS, [CUSTOMER]), None, "customer_key"),
        Overlay(table(spark, DIM_PRODUCTS, [PRODUCT]), None, "product_key"),
        spark.createDataFrame([(2, 1, 1), (3, 1, 1), (4, 1, 1)], JUDGED),
    )


def test_a_change_is_judged_with_what_stays(spark: SparkSession) -> None:
    again = order(2, landing_date=date(2018, 1, 3))
    result = after_a_day(spark, [again, order(4)], [order(3)])
    assert result.failures == ()
    assert result.success


def test_a_change_that_was_left_out_is_caught(spark: SparkSession) -> None:
    result = after_a_day(spark, [order(4, source_file=FILE)], [])
    assert broken(result, "orders") == {
        "every_item_was_delivered": 1,  # 3
        "the_newest_delivery_wins": 2,  # 2 and 3
        "the_values_are_those_delivered": 1,  # 3
        "control_totals": 5,
    }


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ([customer("c", 1, 1, 3), customer("d", 1, 4, None)], {3: 0, 4: 1}),
        ([customer("c", 1, 1, 3)], {3: 0, 4: 0}),
        ([customer("d", 1, 3, None)], {3: 2, 4: 2}),
        ([customer("c", 1, 3, None)], {2: 0, 3: 1, 4: 1}),
        ([customer("c", 1, 1, 3), customer("c", 1, 1, 3)], {2: 2, 3: 0, 4: 0}),
        ([customer("c", 1, 1, None, customer_zipcode="00725")], {}),
    ],
    ids=["a gap", "the next is missing", "the last is not ended", "a later begin", "one twice", "another attribute"],
)
def test_orders_are_judged_from_when_on_versions_hold_otherwise(
    spark: SparkSession, versions: list[tuple[Any, ...]], found: dict[int, int]
) -> None:
    """A day's changes are no reason to read every order that the customer has ever placed."""
    orders = Overlay(table(spark, ORDERS, [order(day, order_date=at(day)) for day in (2, 3, 4)]), None, "order_item_id")
    customers = Overlay(
        table(spark, DIM_CUSTOMERS, [CUSTOMER]), fetch(staged(table(spark, DIM_CUSTOMERS, versions))), "customer_key"
    )
    products = Overlay(table(spark, DIM_PRODUCTS, [PRODUCT]), None, "product_key")
    made = inputs(table(spark, ORDER_ITEMS, []), orders, customers, products, spark.createDataFrame([], JUDGED))
    judged_orders = {r["order_item_id"] for r in made["orders_with_other_versions"]().collect()}
    assert judged_orders == set(found)
    result = run_checkpoint(spark, "silver", tables_in("silver"), made, judged=["silver.orders"])
    wrong = {item for item, count in found.items() if count != 1}
    rule = "one_version_of_the_customer"
    assert broken(result, "orders").get(rule, 0) == len(wrong)
    assert sampled(result, "orders", rule, "order_item_id") == {str(item) for item in wrong}
    assert sampled(result, "orders", rule, "customer_versions") == {str(n) for n in found.values() if n != 1}
    assert "one_version_of_the_product" not in broken(result, "orders")


def test_nothing_judged_is_a_success(spark: SparkSession) -> None:
    result = judged(
        spark,
        table(spark, ORDER_ITEMS, [bronze(1)]),
        Overlay(table(spark, ORDERS, [order(1)]), None, "order_item_id"),
        Overlay(table(spark, DIM_CUSTOMERS, [CUSTOMER]), None, "customer_key"),
        Overlay(table(spark, DIM_PRODUCTS, [PRODUCT]), None, "product_key"),
        spark.createDataFrame([], JUDGED),
    )
    assert result.failures == ()
    assert result.success
