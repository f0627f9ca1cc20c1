"""`gold.orders_enriched`: every order item with its customer and product as they were (design, section 7)."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.gold.schema import ORDERS_ENRICHED
from spark_jobs.silver.schema import conform


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
