"""`silver.orders`: one row for each order item, from its newest valid delivery (design, section 6)."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.layers.silver.schema import ORDERS, conform

# Bronze column -> column here, where the names differ. City, state, country, street, place and department
# describe the store of the order although the source calls some of them the customer's.
RENAMED = {
    "order_item_cardprod_id": "product_id",
    "order_date_dateorders": "order_date",
    "shipping_date_dateorders": "shipping_date",
    "type": "transaction_method",
    "order_item_product_price": "product_price",
    "order_item_quantity": "quantity",
    "order_item_discount": "discount",
    "order_item_discount_rate": "discount_rate",
    "order_item_total": "line_total",
    "order_profit_per_order": "line_profit",
    "order_item_profit_ratio": "profit_ratio",
    "days_for_shipping_real": "actual_shipping_days",
    "days_for_shipment_scheduled": "scheduled_shipping_days",
    "customer_city": "store_city",
    "customer_state": "store_state",
    "customer_country": "store_country",
    "customer_street": "store_street",
    "latitude": "store_latitude",
    "longitude": "store_longitude",
    "department_id": "store_department_id",
    "department_name": "store_department_name",
    "order_city": "delivery_city",
    "order_state": "delivery_state",
    "order_country": "delivery_country",
    "order_region": "delivery_region",
    "market": "delivery_market",
    "order_zipcode": "delivery_zipcode",
}
_SOURCE = {here: there for there, here in RENAMED.items()}


def newest_deliveries(bronze: DataFrame) -> DataFrame:
    """The bronze row of each order item that was delivered last: by landing date, file, row hash.

    All rows of the items asked for must be given.
    """
    latest_first = Window.partitionBy("order_item_id").orderBy(
        F.desc("landing_date"), F.desc("source_file"), F.desc("row_hash")
    )
    return bronze.withColumn("_rank", F.row_number().over(latest_first)).where(F.col("_rank") == 1).drop("_rank")


def orders(newest: DataFrame) -> DataFrame:
    """`silver.orders` from the newest deliveries.

    Of two source columns that mean the same (bronze checks that they agree), one is kept; what describes the
    customer or the product is in their dimensions.
    """
    renamed = newest.select(*(F.col(_SOURCE.get(name, name)).alias(name) for name in ORDERS.fieldNames()))
    return conform(renamed, ORDERS)
