"""`silver.orders`: one row per order item, from its newest valid delivery."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BooleanType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructType,
    TimestampType,
)

from spark_jobs.tables.spec import TableSpec, Write, column, conform

MONEY = DecimalType(12, 2)
RATE = DecimalType(7, 4)
DEGREES = DecimalType(11, 8)
SCHEMA = StructType(
    [
        column("order_item_id", LongType(), "Key: one row for each order item"),
        column("order_id", LongType(), "Order to which the item belongs"),
        column("customer_id", LongType(), "Customer who ordered"),
        column("product_id", LongType(), "Product (card) ordered"),
        column("order_date", TimestampType(), "When the order was placed"),
        column("shipping_date", TimestampType(), "When the order was shipped"),
        column("order_status", StringType(), "Status of the order, such as COMPLETE or CANCELED"),
        column("transaction_method", StringType(), "How the order was paid"),
        column("product_price", MONEY, "Price charged for one unit"),
        column("quantity", IntegerType(), "Units ordered"),
        column("sales", MONEY, "Price times quantity, before the discount"),
        column("discount", MONEY, "Discount on the item"),
        column("discount_rate", RATE, "Discount as a share of sales"),
        column("line_total", MONEY, "Sales less discount: what the customer pays for the item"),
        column("line_profit", MONEY, "Profit on the item (the source calls it order profit per order)"),
        column("profit_ratio", RATE, "Profit as a share of the item's total"),
        column("actual_shipping_days", IntegerType(), "Days that shipping took"),
        column("scheduled_shipping_days", IntegerType(), "Days that shipping was to take"),
        column("delivery_status", StringType(), "Delivery against the schedule, such as Late delivery"),
        column("late_delivery_risk", BooleanType(), "Whether the item was delivered late"),
        column("shipping_mode", StringType(), "Class of shipping, such as Standard Class"),
        column("store_city", StringType(), "City of the store that took the order"),
        column("store_state", StringType(), "State of the store"),
        column("store_country", StringType(), "Country of the store"),
        column("store_street", StringType(), "Street of the store"),
        column("store_latitude", DEGREES, "Latitude of the store"),
        column("store_longitude", DEGREES, "Longitude of the store"),
        column("store_department_id", IntegerType(), "Department of the store"),
        column("store_department_name", StringType(), "Name of the department"),
        column("delivery_city", StringType(), "City to which the order goes"),
        column("delivery_state", StringType(), "State to which the order goes"),
        column("delivery_country", StringType(), "Country to which the order goes"),
        column("delivery_region", StringType(), "Region of the world to which the order goes"),
        column("delivery_market", StringType(), "Market to which the order goes"),
        column("delivery_zipcode", StringType(), "Zip code to which the order goes"),
        column("landing_date", DateType(), "Day on which this delivery of the item landed"),
        column("source_file", StringType(), "File of this delivery, relative to the landing folder"),
        column("row_hash", StringType(), "Hash of the delivered row"),
    ]
)

# Bronze column -> column here, where the names differ. City, state, country, street, place and department
# describe the store of the order although the source calls some of them the customer's.
RENAMED = {
    "product_card_id": "product_id",
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
_SOURCE = {name: source for source, name in RENAMED.items()}


def newest_deliveries(order_items: DataFrame) -> DataFrame:
    """Return the bronze row of each order item that was delivered last: by landing date, file, row hash.

    `order_items` holds all valid bronze rows of its items. The column `_rank` is left, since Spark Connect analyses a
    `drop` at once: in a declarative pipeline no table exists yet then.
    """
    latest_first = Window.partitionBy("order_item_id").orderBy(
        F.desc("landing_date"), F.desc("source_file"), F.desc("row_hash")
    )
    ranked = order_items.withColumn("_rank", F.row_number().over(latest_first))
    return ranked.where(F.col("_rank") == 1)


def orders(order_items: DataFrame) -> DataFrame:
    """Return `silver.orders` from all valid bronze rows of its items.

    Of two source columns that mean the same (bronze checks that they agree), one is kept. What describes the customer
    or the product is in their dimensions.
    """
    newest = newest_deliveries(order_items)
    renamed = newest.select(*(F.col(_SOURCE.get(name, name)).alias(name) for name in SCHEMA.names))
    return conform(renamed, SCHEMA)


ORDERS = TableSpec(
    name="silver.orders",
    comment="Order items, the newest valid delivery of each: one row per order item",
    grain="one row per order item",
    schema=SCHEMA,
    natural_key=("order_item_id",),
    merge_key="order_item_id",
    write=Write.MERGE,
    statistics_columns=("order_item_id", "order_id", "customer_id", "product_id", "order_date", "landing_date"),
    staged_from=("bronze.order_items",),
    derive=lambda tables: orders(tables["bronze.order_items"]),
)
