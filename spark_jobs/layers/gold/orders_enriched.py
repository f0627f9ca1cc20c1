"""`gold.orders_enriched`: every order item with its customer and product as they were (design, section 7)."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.layers.gold.schema import ORDERS_ENRICHED
from spark_jobs.layers.silver.schema import conform


def _at_order_date(orders: DataFrame, dimension: DataFrame, key: str) -> DataFrame:
    """`orders` joined with the versions of `dimension` that were valid at the order's timestamp.

    An item without a version is kept, with NULLs: the gate must see it, not miss it.
    """
    versions = dimension.drop("is_current").withColumnsRenamed({key: "_key", "valid_from": "_from", "valid_to": "_to"})
    order_date = F.col("order_date")
    valid = (F.col("_from") <= order_date) & (F.col("_to").isNull() | (order_date < F.col("_to")))
    return orders.join(versions, (F.col(key) == F.col("_key")) & valid, "left").drop("_key", "_from", "_to")


def orders_enriched(orders: DataFrame, dim_customers: DataFrame, dim_products: DataFrame) -> DataFrame:
    """All of `orders`, the surrogate keys, and the attributes of the versions valid at the order's time."""
    products = dim_products.withColumnRenamed("product_price", "product_list_price")
    with_customers = _at_order_date(orders, dim_customers, "customer_id")
    return conform(_at_order_date(with_customers, products, "product_id"), ORDERS_ENRICHED)


def changed_spans(before: DataFrame, after: DataFrame, key: str, surrogate_key: str) -> DataFrame:
    """When the versions of a dimension differ in what an order takes from them: `key`, `_from`, `_to` (exclusive).

    A version that only ended, since a later one began, holds for its orders as before. No end is 9999-12-31.
    """
    taken = [name for name in before.columns if name not in ("valid_to", "is_current")]

    def of(versions: DataFrame, side: str) -> DataFrame:
        end = F.coalesce("valid_to", F.to_timestamp(F.lit("9999-12-31")))
        row = F.struct(*taken)
        return versions.select(F.col(surrogate_key).alias("_key"), row.alias(side), end.alias(f"{side}_to"))

    both = of(before, "_old").join(of(after, "_new"), "_key", "full")
    differing = both.where(~F.col("_old").eqNullSafe(F.col("_new")))
    either = F.coalesce("_new", "_old")
    return differing.select(
        either[key].alias(key), either["valid_from"].alias("_from"), F.greatest("_old_to", "_new_to").alias("_to")
    )


def within_spans(orders: DataFrame, spans: DataFrame, key: str) -> DataFrame:
    """The orders of these keys that were placed within one of the spans; one row for each span that holds it.

    The earliest begin is told as a literal, by which Delta skips the files of earlier orders.
    """
    earliest = spans.agg(F.unix_micros(F.min("_from"))).collect()[0][0]
    if earliest is None:
        return orders.where("false")
    placed = F.col("order_date")
    spans = F.broadcast(spans.withColumnRenamed(key, "_key"))
    inside = (F.col(key) == F.col("_key")) & (F.col("_from") <= placed) & (placed < F.col("_to"))
    return orders.where(placed >= F.timestamp_micros(F.lit(earliest))).join(spans, inside).select(orders.columns)
