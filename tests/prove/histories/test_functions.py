"""The functions of silver and gold against the oracle, thousands of random histories at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from random import Random

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.layers.gold.customers360 import customers360
from spark_jobs.layers.gold.orders_enriched import orders_enriched
from spark_jobs.layers.gold.products360 import products360
from spark_jobs.layers.silver.dimensions import dim_customers, dim_products
from spark_jobs.layers.silver.orders import orders
from tests.prove.budget import minutes, rounds
from tests.spark.silver.frames import assert_same, collected, frame
from tests.unit.model import cases, oracle
from tests.unit.model.cases import Row

AS_OF = date(2018, 2, 20)
KEYS = {
    "dim_customers": "customer_key",
    "dim_products": "product_key",
    "orders": "order_item_id",
    "orders_enriched": "order_item_id",
    "customers360": "customer_id",
    "products360": "product_id",
}


def by_spark(spark: SparkSession, rows: list[Row]) -> dict[str, list[Row]]:
    """All six tables from bronze rows."""
    bronze = frame(spark, rows)
    silver: dict[str, DataFrame] = {
        "dim_customers": dim_customers(bronze),
        "dim_products": dim_products(bronze),
        "orders": orders(bronze),
    }
    enriched = orders_enriched(silver["orders"], silver["dim_customers"], silver["dim_products"])
    gold = {
        "orders_enriched": enriched,
        "customers360": customers360(silver["orders"], silver["dim_customers"], AS_OF),
        "products360": products360(enriched, silver["dim_products"], AS_OF),
    }
    return {table: collected(result) for table, result in (silver | gold).items()}


def by_oracle(rows: list[Row]) -> dict[str, list[Row]]:
    """The same by the oracle."""
    items, customers, products = oracle.orders(rows), oracle.dim_customers(rows), oracle.dim_products(rows)
    enriched = oracle.orders_enriched(items, customers, products)
    return {
        "dim_customers": customers,
        "dim_products": products,
        "orders": items,
        "orders_enriched": enriched,
        "customers360": oracle.customers360(items, customers, AS_OF),
        "products360": oracle.products360(enriched, products, AS_OF),
    }


def difference(spark: SparkSession, rows: list[Row]) -> str | None:
    """Where the two differ."""
    actual, expected = by_spark(spark, rows), by_oracle(rows)
    for table, key in KEYS.items():
        try:
            assert_same(actual[table], expected[table], key)
        except AssertionError as error:
            return f"{table}: {error}"
    return None


def smallest(rows: list[Row], differs: Callable[[list[Row]], bool]) -> list[Row]:
    """Fewer rows that still differ: halves are left out, then quarters, down to single rows."""
    size = len(rows) // 2
    while size:
        for start in range(0, len(rows), size):
            fewer = rows[:start] + rows[start + size :]
            if fewer and differs(fewer):
                rows = fewer
                break
        else:
            size //= 2
    return rows


@pytest.mark.timed
def test_random_histories_in_any_order_equal_the_oracle(spark: SparkSession) -> None:
    batch = 12 if minutes() is None else 60
    histories = deliveries = 0
    for round_ in rounds():
        seeds = range(round_ * batch, (round_ + 1) * batch)
        rows = [row for seed in seeds for row in cases.random_history(seed)]
        Random(round_).shuffle(rows)
        if difference(spark, rows):
            few = smallest(rows, lambda fewer: difference(spark, fewer) is not None)
            shown = "\n".join(str({name: value for name, value in row.items() if value is not None}) for row in few)
            raise AssertionError(f"{difference(spark, few)}\nthe smallest feed found:\n{shown}")
        histories += len({row["customer_id"] for row in rows}) + len({row["product_card_id"] for row in rows})
        deliveries += len(rows)
    print(f"tried {histories} histories of customers and products, {deliveries} deliveries of items")


def test_the_random_histories_reach_the_cases_that_matter() -> None:
    tables = by_oracle([row for seed in range(12) for row in cases.random_history(seed)])
    customers, products = tables["customers360"], tables["products360"]
    assert len(tables["dim_customers"]) > 3 * len(customers)
    assert any(row["total_orders"] == 0 for row in customers)
    assert any(row["total_orders"] and not row["total_revenue"] for row in customers)
    assert {"Star", "Strong", "Steady"} < {row["performance_tier"] for row in products}


def test_a_difference_is_made_small() -> None:
    rows = [cases.bronze_row(order_item_id=item) for item in range(20)]
    few = smallest(rows, lambda some: {7, 13} <= {row["order_item_id"] for row in some})
    assert {row["order_item_id"] for row in few} == {7, 13}
