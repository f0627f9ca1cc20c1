"""`gold.orders_enriched`: one row per order item, with its customer and product as they were at the order's time."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, StringType, StructType

from spark_jobs.layers.silver.dimensions import DIM_CUSTOMERS, DIM_PRODUCTS
from spark_jobs.layers.silver.orders import ORDERS
from spark_jobs.storage.local_relation import Relation
from spark_jobs.tables.spec import TableSpec, Write, column, conform

SCHEMA = StructType(
    [
        *ORDERS.schema.fields,
        column("customer_key", StringType(), "Version of the customer that held when the order was placed"),
        column("product_key", StringType(), "Version of the product that held when the order was placed"),
        *(
            column(name, DIM_CUSTOMERS.schema[name].dataType, f"{text} when the order was placed")
            for name, text in (
                ("customer_firstname", "First name of the customer"),
                ("customer_lastname", "Last name of the customer"),
                ("customer_email_hash", "Keyed hash of the customer's e-mail"),
                ("customer_segment", "Segment of the customer"),
                ("customer_zipcode", "Zip code of the customer"),
            )
        ),
        *(
            column(name, DIM_PRODUCTS.schema[name].dataType, f"{text} when the order was placed")
            for name, text in (
                ("product_name", "Name of the product"),
                ("category_id", "Category of the product"),
                ("category_name", "Name of the product's category"),
            )
        ),
        column(
            "product_list_price",
            DIM_PRODUCTS.schema["product_price"].dataType,
            "List price of the product when the order was placed (product_price is the price charged)",
        ),
        column("is_notavailable", BooleanType(), "Whether the product was not available then"),
    ]
)


def _at_order_date(orders: DataFrame, dimension: DataFrame, key: str) -> DataFrame:
    """Return `orders` joined with the versions of `dimension` that were valid at the order's timestamp.

    The dimension's own columns get a prefix and stay: they are not dropped, since Spark Connect would analyse that at
    once, and in a declarative pipeline no table exists yet then.

    An item without a version is kept, with NULLs: the gate must see it, not miss it.
    """
    own = {name: f"_{key}_{name}" for name in (key, "valid_from", "valid_to", "is_current")}
    begin, end, order_date = F.col(own["valid_from"]), F.col(own["valid_to"]), F.col("order_date")
    valid = (begin <= order_date) & (end.isNull() | (order_date < end))
    return orders.join(dimension.withColumnsRenamed(own), (F.col(key) == F.col(own[key])) & valid, "left")


def orders_enriched(orders: DataFrame, dim_customers: DataFrame, dim_products: DataFrame) -> DataFrame:
    """Return all of `orders`, the surrogate keys, and the attributes of the versions valid at the order's time."""
    products = dim_products.withColumnRenamed("product_price", "product_list_price")
    with_customers = _at_order_date(orders, dim_customers, "customer_id")
    return conform(_at_order_date(with_customers, products, "product_id"), SCHEMA)


def changed_periods(before: DataFrame, after: DataFrame, dimension: TableSpec) -> DataFrame:
    """Find when versions differ in what an order takes from them: `dimension`, `key`, `from` and `to` (exclusive).

    `key` is the natural key (BIGINT). A version that only ended, since a later one began, holds for its orders as
    before. `to` is NULL without an end.
    """
    (key,), surrogate_key = dimension.natural_key, dimension.key
    taken = [name for name in dimension.columns if name not in ("valid_to", "is_current")]

    def side(versions: DataFrame, name: str) -> DataFrame:
        end = F.struct(F.col("valid_to").isNull().alias("is_open"), F.col("valid_to").alias("at"))
        return versions.select(
            F.col(surrogate_key).alias("_key"), F.struct(*taken).alias(name), end.alias(f"{name}_end")
        )

    both = side(before, "_old").join(side(after, "_new"), "_key", "full")
    differing = both.where(~F.col("_old").eqNullSafe(F.col("_new")))
    either = F.coalesce("_new", "_old")
    # Structs compare field by field, so an open end is greater than any instant.
    end = F.greatest("_old_end", "_new_end")
    return differing.select(
        F.lit(dimension.name).alias("dimension"),
        either[key].alias("key"),
        either["valid_from"].alias("from"),
        F.when(~end["is_open"], end["at"]).alias("to"),
    )


def placed_within(orders: DataFrame, periods: Relation, dimension: TableSpec) -> DataFrame:
    """Select the orders that were placed within a period of `changed_periods` of their customer or product.

    One row for each period that holds the order.
    """
    (key,) = dimension.natural_key
    periods = periods.where("dimension", dimension.name, "key", "from", "to")
    later = periods.not_before_earliest("from", orders, "order_date")
    placed = F.col("order_date")
    inside = (F.col(key) == F.col("key")) & (F.col("from") <= placed) & (F.col("to").isNull() | (placed < F.col("to")))
    return later.join(F.broadcast(periods.frame), inside).drop("key", "from", "to")


ORDERS_ENRICHED = TableSpec(
    name="gold.orders_enriched",
    comment="Order items with the customer and product versions valid at the order's time: one row per order item",
    grain="one row per order item",
    schema=SCHEMA,
    natural_key=("order_item_id",),
    merge_key="order_item_id",
    write=Write.MERGE,
    statistics_columns=ORDERS.statistics_columns,
    staged_from=("silver.orders", "silver.dim_customers", "silver.dim_products"),
    derive=lambda tables, _: orders_enriched(
        tables["silver.orders"], tables["silver.dim_customers"], tables["silver.dim_products"]
    ),
)
