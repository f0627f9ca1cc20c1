"""silver.orders and the two dimensions against hand-written cases and the oracle."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.layers.silver.dimensions import DIM_CUSTOMERS, DIM_PRODUCTS, dim_customers, dim_products
from spark_jobs.layers.silver.orders import ORDERS, newest_deliveries, orders
from tests.spark.silver.frames import assert_same, collected, frame
from tests.unit.model import cases, oracle
from tests.unit.model.cases import bronze_row


def test_every_hand_written_history(spark: SparkSession) -> None:
    rows, expected = cases.histories_in_one()
    actual = collected(dim_customers(frame(spark, rows)))
    for version in actual:
        version["id"] = (version["customer_id"], version["valid_from"])
        assert version.pop("customer_email_hash") == "e1"
        key = oracle.surrogate_key(version["customer_id"], version["valid_from"])
        assert version.pop("customer_key") == key
    for version in expected:
        version["id"] = (version["customer_id"], version["valid_from"])
    assert_same(actual, expected, "id")


def test_later_landing_dates_go_on_from_the_versions_of_earlier_ones(spark: SparkSession) -> None:
    rows = [row for seed in range(8) for row in cases.random_history(seed)]
    days = sorted({row["landing_date"] for row in rows})
    bounds = [days[0], days[len(days) // 3], days[len(days) // 2], date.max]
    parts = [[row for row in rows if start <= row["landing_date"] < end] for start, end in pairwise(bounds)]
    for derive, natural, source in (
        (dim_customers, "customer_id", "customer_id"),
        (dim_products, "product_id", "product_card_id"),
    ):
        derived = derive(frame(spark, parts[0]))
        for part in parts[1:]:
            new = frame(spark, part)
            keys = new.select(F.col(source).alias(natural)).distinct()
            incremental = derive(new, derived.join(keys, natural, "left_semi"))
            derived = derived.join(keys, natural, "left_anti").unionByName(incremental)
        expected = collected(derive(frame(spark, rows)))
        assert any(not version["is_current"] for version in expected)
        assert_same(collected(derived), expected, natural.replace("_id", "_key"))


def test_newest_delivery_by_landing_date_then_file_then_hash(spark: SparkSession) -> None:
    deliveries = [
        (1, date(2018, 1, 2), "a", "z"),
        (1, date(2018, 1, 1), "z", "z"),
        (1, date(2018, 1, 2), "b", "a"),
        (1, date(2018, 1, 2), "b", "b"),
        (2, date(2017, 1, 1), "a", "a"),
    ]
    rows = [
        bronze_row(order_item_id=item, landing_date=day, source_file=file, row_hash=digest)
        for item, day, file, digest in deliveries
    ]
    newest = newest_deliveries(frame(spark, rows))
    assert newest.columns == [*frame(spark, []).columns, "_rank"]
    assert {
        (row["order_item_id"], row["landing_date"], row["source_file"], row["row_hash"]) for row in newest.collect()
    } == {deliveries[3], deliveries[4]}


def test_orders_keep_every_value_under_its_name_here(spark: SparkSession) -> None:
    """Each source column gets another value, so that no two can be confused."""
    row = bronze_row()
    for name in row:
        if isinstance(row[name], str) or row[name] is None:
            row[name] = f"value of {name}"
    decimals = [
        "order_item_product_price",
        "product_price",
        "sales",
        "order_item_discount",
        "order_item_discount_rate",
        "order_item_total",
        "order_profit_per_order",
        "order_item_profit_ratio",
        "latitude",
        "longitude",
    ]
    integers = [
        "order_item_quantity",
        "days_for_shipping_real",
        "days_for_shipment_scheduled",
        "department_id",
        "category_id",
        "order_id",
        "customer_id",
        "product_card_id",
    ]
    row |= {name: Decimal(number) for number, name in enumerate(decimals, start=1)}
    row |= {name: number for number, name in enumerate(integers, start=101)}
    (actual,) = collected(orders(frame(spark, [row])))
    assert_same([actual], oracle.orders([row]), "order_item_id")
    assert actual["store_department_name"] == "value of department_name"
    assert actual["delivery_state"] == "value of order_state"
    assert actual["store_state"] == "value of customer_state"


def test_results_have_exactly_the_schemas_and_nothing_comes_from_nothing(spark: SparkSession) -> None:
    empty = frame(spark, [])
    for result, schema in (
        (orders(empty), ORDERS.schema),
        (dim_customers(empty), DIM_CUSTOMERS.schema),
        (dim_products(empty), DIM_PRODUCTS.schema),
    ):
        assert [(f.name, f.dataType, f.metadata) for f in result.schema] == [
            (f.name, f.dataType, f.metadata) for f in schema
        ]
        assert result.collect() == []
