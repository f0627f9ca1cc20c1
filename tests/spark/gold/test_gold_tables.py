"""The gold tables against the oracle, on random histories and on the real data set."""

# ruff: noqa: DTZ001 - instants in UTC are naive in Python where Spark hands them over

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.layers.gold.customers360 import CUSTOMERS360, customers360
from spark_jobs.layers.gold.orders_enriched import ORDERS_ENRICHED, changed_periods, orders_enriched, placed_within
from spark_jobs.layers.gold.product_totals import ITEM_COLUMNS, ORDER_COUNTS, SUMMED, product_totals, updated_totals
from spark_jobs.layers.gold.products360 import PRODUCTS360, products360
from spark_jobs.layers.silver.dimensions import DIM_CUSTOMERS, DIM_PRODUCTS, dim_customers, dim_products
from spark_jobs.layers.silver.orders import ORDERS, orders
from spark_jobs.storage.local_relation import Relation, fetch
from tests.spark.silver.frames import (
    assert_same,
    collected,
    dataco_rows,
    frame,
    write_parquet,
)
from tests.unit.model import cases, oracle
from tests.unit.model.cases import Row, bronze_row


class Shop:
    """Silver's tables by the oracle, as rows and as frames, so that gold is tested by itself."""

    def __init__(self, spark: SparkSession, bronze: list[Row]) -> None:
        self.orders = oracle.orders(bronze)
        self.customers = oracle.dim_customers(bronze)
        self.products = oracle.dim_products(bronze)
        self.enriched = oracle.orders_enriched(self.orders, self.customers, self.products)
        self.orders_frame = frame(spark, self.orders, ORDERS.schema)
        self.customers_frame = frame(spark, self.customers, DIM_CUSTOMERS.schema)
        self.products_frame = frame(spark, self.products, DIM_PRODUCTS.schema)
        self.enriched_frame = frame(spark, self.enriched, ORDERS_ENRICHED.schema)

    def check_360(self, as_of: date) -> tuple[list[Row], list[Row]]:
        """Compares both 360 tables with the oracle's and returns them."""
        customers = oracle.customers360(self.enriched, self.customers, as_of)
        products = oracle.products360(self.enriched, self.products, as_of)
        actual = collected(customers360(self.enriched_frame, self.customers_frame, as_of))
        assert_same(actual, customers, "customer_id")
        actual = collected(products360(self.enriched_frame, self.products_frame, as_of))
        assert_same(actual, products, "product_id")
        return customers, products


def test_a_product_and_a_customer_without_a_counted_order(spark: SparkSession) -> None:
    bronze = [
        bronze_row(order_item_id=1, product_card_id=1, customer_id=1, order_status="CANCELED"),
        bronze_row(order_item_id=2, product_card_id=2, customer_id=2, order_status="PENDING"),
        bronze_row(order_item_id=3, product_card_id=4, customer_id=4, landing_date=date(2018, 1, 1)),
        bronze_row(
            order_item_id=3,
            product_card_id=3,
            customer_id=3,
            order_item_total=Decimal("0.00"),
            landing_date=date(2018, 1, 2),
        ),
    ]
    shop = Shop(spark, bronze)
    _, products = shop.check_360(date(2018, 1, 2))
    canceled, pending, free, without_an_item = sorted(products, key=lambda row: row["product_id"])
    assert (canceled["total_revenue"], canceled["order_cancellation_rate"]) == (0, 1)
    assert canceled["avg_order_value"] is canceled["days_in_catalog"] is canceled["profit_margin"] is None
    assert pending["order_completion_rate"] is None
    assert (pending["order_pending_rate"], pending["product_health"]) == (1, "Monitor")
    assert (free["profit_margin"], free["margin_category"], free["avg_order_value"]) == (None, "Very Low", 0)
    assert {without_an_item[name] for name in (*ORDER_COUNTS, *SUMMED, "unique_customers")} == {0}


def test_an_average_is_rounded_once(spark: SparkSession) -> None:
    """5 cents over 11 orders are 0.0045 each, which is 0.005 to three places, and would then be a cent."""
    bronze = [
        bronze_row(
            order_item_id=n,
            order_id=n,
            order_item_total=Decimal("0.05") if n == 1 else Decimal(0),
            order_profit_per_order=Decimal("0.05") if n == 1 else Decimal(0),
        )
        for n in range(1, 12)
    ]
    (customer,), (product,) = Shop(spark, bronze).check_360(date(2018, 1, 2))
    assert customer["avg_order_value"] == product["avg_order_value"] == product["avg_profit_per_order"] == 0


def test_a_rate_is_rounded_once(spark: SparkSession) -> None:
    """2 of 13 are 0.15384..., which is 0.15385 to five places, and would then be 0.1539."""
    rates = {
        "order_completion_rate": ("COMPLETE", "CANCELED"),
        "order_cancellation_rate": ("CANCELED", "COMPLETE"),
        "order_fraud_rate": ("SUSPECTED_FRAUD", "COMPLETE"),
        "order_pending_rate": ("PENDING", "COMPLETE"),
    }
    bronze = [
        bronze_row(
            order_item_id=13 * product + n, order_id=13 * product + n, product_card_id=product, order_status=status
        )
        for product, (two, eleven) in enumerate(rates.values(), start=1)
        for n, status in enumerate([two] * 2 + [eleven] * 11)
    ]
    _, products = Shop(spark, bronze).check_360(date(2018, 1, 2))
    by_product = {row["product_id"]: row for row in products}
    assert [by_product[n][rate] for n, rate in enumerate(rates, start=1)] == [Decimal("0.1538")] * 4


def test_an_average_of_items_is_rounded_once(spark: SparkSession) -> None:
    """2 of 13, as above."""
    bronze = [
        bronze_row(
            order_item_id=n,
            order_id=n,
            order_item_discount_rate=Decimal(n < 2),
            order_item_profit_ratio=Decimal(n < 2),
            days_for_shipping_real=int(n < 2),
            shipping_date_dateorders=datetime(2018, 1, 2 if n < 2 else 1, 12),
        )
        for n in range(13)
    ]
    _, (product,) = Shop(spark, bronze).check_360(date(2018, 1, 2))
    averages = ("avg_discount_rate", "avg_profit_ratio", "avg_shipping_days", "avg_order_cycle_days")
    assert [product[average] for average in averages] == [Decimal("0.1538")] * 4


def test_the_90_days_before_as_of(spark: SparkSession) -> None:
    """Products 1 to 5 sell least, each once; 1 July less 90 days is 2 April."""
    within = [datetime(2018, 4, 2), datetime(2018, 6, 30, 23, 59)]
    days = [datetime(2018, 4, 1, 23, 59), *within, datetime(2018, 7, 1), datetime(2018, 7, 2)]
    bronze = [
        bronze_row(order_item_id=n, order_id=n, product_card_id=n, order_date_dateorders=day)
        for n, day in enumerate(days, start=1)
    ]
    bronze.append(bronze_row(order_item_id=6, product_card_id=6, order_item_total=Decimal(100)))
    shop = Shop(spark, bronze)
    rows = products360(shop.enriched_frame, shop.products_frame, date(2018, 7, 1)).collect()
    tiers = ["Slow Movers", "Weak", "Weak", "Slow Movers", "Slow Movers", "Star"]
    assert [row["performance_tier"] for row in sorted(rows)] == tiers


def test_an_item_without_a_version_is_kept(spark: SparkSession) -> None:
    """The gate must see it."""
    shop = Shop(spark, [bronze_row()])
    nobody = shop.customers_frame.where("false")
    (row,) = collected(orders_enriched(shop.orders_frame, nobody, shop.products_frame))
    assert row["customer_key"] is None
    assert row["product_key"] is not None


def test_results_have_exactly_the_schemas_and_nothing_comes_from_nothing(spark: SparkSession) -> None:
    shop = Shop(spark, [])
    for result, schema in (
        (orders_enriched(shop.orders_frame, shop.customers_frame, shop.products_frame), ORDERS_ENRICHED.schema),
        (customers360(shop.enriched_frame, shop.customers_frame, None), CUSTOMERS360.schema),
        (products360(shop.enriched_frame, shop.products_frame, None), PRODUCTS360.schema),
    ):
        assert [(f.name, f.dataType, f.metadata) for f in result.schema] == [
            (f.name, f.dataType, f.metadata) for f in schema
        ]
        assert result.collect() == []


@pytest.fixture(scope="module")
def dataco_bronze(dataco: Path) -> list[Row]:
    """The real data set as bronze rows."""
    return list(dataco_rows(dataco))


def test_the_real_data_set_equals_the_oracle(
    compiling_spark: SparkSession, dataco_bronze: list[Row], tmp_path: Path
) -> None:
    spark = compiling_spark
    write_parquet(dataco_bronze, tmp_path / "bronze.parquet")
    bronze = spark.read.parquet(str(tmp_path / "bronze.parquet"))

    def stored(result: DataFrame, name: str) -> DataFrame:
        """Written once and read again, so that no table is computed twice."""
        path = str(tmp_path / name)
        result.write.parquet(path)
        return spark.read.parquet(path)

    items = stored(orders(bronze), "orders")
    customers = stored(dim_customers(bronze), "dim_customers")
    products = stored(dim_products(bronze), "dim_products")
    enriched = stored(orders_enriched(items, customers, products), "enriched")

    totals = enriched.selectExpr(
        "count(*)",
        "count(DISTINCT order_item_id)",
        "count(DISTINCT order_id)",
        "sum(line_total)",
        "count(customer_key)",
        "count(product_key)",
    ).collect()[0]
    assert tuple(totals) == (180519, 180519, 65752, Decimal("33054402.04"), 180519, 180519)

    customer_rows, product_rows = oracle.dim_customers(dataco_bronze), oracle.dim_products(dataco_bronze)
    assert (len(customer_rows), len(product_rows)) == (20652, 118)
    assert_same(collected(customers), customer_rows, "customer_key")
    assert_same(collected(products), product_rows, "product_key")

    as_of = date(2018, 2, 1)
    expected = oracle.orders_enriched(oracle.orders(dataco_bronze), customer_rows, product_rows)
    by_customer = oracle.customers360(expected, customer_rows, as_of)
    by_product = oracle.products360(expected, product_rows, as_of)
    assert_same(collected(customers360(enriched, customers, as_of)), by_customer, "customer_id")
    assert_same(collected(products360(enriched, products, as_of)), by_product, "product_id")
    assert len({row["rfm_segment"] for row in by_customer}) == 9
    assert len({row["performance_tier"] for row in by_product}) == 5


def test_when_versions_differ_in_what_an_order_takes(spark: SparkSession) -> None:
    def at(day: int) -> datetime:
        return datetime(2018, 1, day)

    def versions(*rows: tuple[Any, ...]) -> DataFrame:
        columns = ("customer_id", "customer_key", "customer_firstname", "valid_from", "valid_to")
        others: dict[str, Any] = dict.fromkeys(DIM_CUSTOMERS.columns)
        return spark.createDataFrame(
            [others | dict(zip(columns, row, strict=True)) for row in rows], DIM_CUSTOMERS.schema
        )

    before = versions((1, "1a", "Ann", at(1), None), (2, "2a", "Bo", at(1), at(5)), (2, "2b", "Bo", at(5), None),
                      (3, "3a", "Cy", at(1), None), (4, "4a", "Di", at(2), None))  # fmt: skip
    after = versions((1, "1a", "Ann", at(1), at(7)), (1, "1b", "Ann", at(7), None), (2, "2a", "Bob", at(1), at(5)),
                     (2, "2b", "Bo", at(5), None), (3, "3a", "Cy", at(1), None),
                     (4, "4z", "Di", at(1), None))  # fmt: skip
    periods = changed_periods(before, after, DIM_CUSTOMERS)
    found = {(row["key"], row["from"].day, row["to"] and row["to"].year) for row in periods.collect()}
    # 1 only got a new version; the old one of 2 another name; 4 begins earlier; 3 is the same.
    assert found == {(1, 7, None), (2, 1, 2018), (4, 1, None), (4, 2, None)}
    orders = [(10, 1, at(6)), (11, 1, at(7)), (20, 2, at(4)), (21, 2, at(5)), (30, 3, at(6)), (40, 4, at(1))]
    placed = spark.createDataFrame(orders, "order_item_id bigint, customer_id bigint, order_date timestamp")
    for relation in (fetch(periods), Relation(periods, None)):
        within = placed_within(placed, relation, DIM_CUSTOMERS)
        assert sorted(row["order_item_id"] for row in within.collect()) == [11, 20, 40]
    assert placed_within(placed, fetch(periods.where("false")), DIM_CUSTOMERS).collect() == []


def test_totals_move_with_the_orders_that_changed(spark: SparkSession) -> None:
    """Orders that come, go, are canceled, change hands or product, or hold a product's first or last day."""
    rows = [row for seed in range(6) for row in cases.random_history(seed)]
    shop = Shop(spark, rows)
    chance = Random(1)
    orders = sorted({row["order_id"] for row in shop.enriched})
    changed = set(chance.sample(orders, len(orders) // 6))
    for product in {row["product_id"] for row in shop.enriched}:  # whoever holds the last day of half the products
        if product % 2:
            days = {row["order_date"]: row["order_id"] for row in shop.enriched if row["product_id"] == product}
            changed.add(days[max(days)])
    changes: list[Row] = [
        {"order_status": "CANCELED"},
        {"order_status": "COMPLETE"},
        {"customer_id": 1},
        {"product_id": 2},
        {"line_total": Decimal("3.33"), "customer_segment": "Corporate"},
    ]
    after = [
        row | (chance.choice(changes) if row["order_id"] in changed else {})
        for row in shop.enriched
        if row["order_id"] not in changed or chance.random() < 0.8
    ]
    was, now = (f.select(*ITEM_COLUMNS) for f in (shop.enriched_frame, frame(spark, after, ORDERS_ENRICHED.schema)))
    keys = spark.createDataFrame([(order,) for order in sorted(changed)], "order_id bigint")
    parts = [
        was.join(keys, "order_id", "left_semi"),
        now.join(keys, "order_id", "left_semi"),
        was.join(keys, "order_id", "left_anti"),
    ]
    expected = collected(product_totals(now))
    assert expected != collected(product_totals(was))
    assert_same(collected(updated_totals(product_totals(was), *parts)), expected, "product_id")


def test_others_are_asked_for_dates_that_the_changed_orders_gave_up_and_for_no_more(spark: SparkSession) -> None:
    """Where they kept or passed them, the others would give a wrong answer here: dates beyond the published ones."""

    def day(number: int) -> datetime:
        return datetime(2018, 1, 1) + timedelta(days=number - 1)

    def enriched(days: dict[int, list[int]]) -> DataFrame:
        """For each product, an order on each of its days, counted from 1 January 2018."""
        placed = {1000 * product + n: (product, n) for product, numbers in days.items() for n in numbers}
        bronze = [
            bronze_row(order_item_id=order, order_id=order, product_card_id=product, order_date_dateorders=day(n))
            for order, (product, n) in placed.items()
        ]
        return Shop(spark, bronze).enriched_frame.select(*ITEM_COLUMNS)

    kept, passed, given_up, first_gone, last_gone = range(1, 6)
    before = enriched({kept: [10, 20], passed: [10, 20], given_up: [10, 20], first_gone: [10], last_gone: [20]})
    after = enriched({kept: [10, 15, 20], passed: [9, 21], given_up: [15]})
    right = {product: [12, 18] for product in (given_up, first_gone, last_gone)}
    others = enriched({kept: [-40, 70], passed: [-40, 70]} | right)
    published = product_totals(before.unionByName(others.where(F.col("product_id") >= given_up)))
    changed = collected(updated_totals(published, before, after, others))
    dates = {row["product_id"]: (row["first_order_date"], row["last_order_date"]) for row in changed}
    expected = {kept: [10, 20], passed: [9, 21]} | right
    assert dates == {product: (day(first).date(), day(last).date()) for product, (first, last) in expected.items()}


def test_totals_of_a_product_that_comes_or_goes(spark: SparkSession) -> None:
    came, gone = (
        Shop(spark, [bronze_row(product_card_id=product)]).enriched_frame.select(*ITEM_COLUMNS) for product in (1, 2)
    )
    changed = collected(updated_totals(product_totals(gone), gone, came, came.where("false")))
    assert_same(changed, collected(product_totals(came)), "product_id")
    assert [row["unique_customers"] for row in changed] == [1]
