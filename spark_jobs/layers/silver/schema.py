"""The silver tables: columns, types and keys (design, section 6).

Timestamps are instants in UTC: every session of this project runs in UTC.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

MONEY = DecimalType(12, 2)
RATE = DecimalType(7, 4)
DEGREES = DecimalType(11, 8)


def column(name: str, kind: DataType, comment: str) -> StructField:
    """A nullable column with a comment, which Delta keeps as the column's comment."""
    return StructField(name, kind, True, {"comment": comment})


def conform(frame: DataFrame, schema: StructType) -> DataFrame:
    """Exactly the schema's columns, in its order, cast to its types.

    A value that does not fit raises (ANSI mode); decimals with more places are rounded half-up.
    """
    return frame.select(*(F.col(f.name).cast(f.dataType).alias(f.name, metadata=f.metadata) for f in schema.fields))


ORDERS = StructType(
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

VALIDITY = [
    column("valid_from", TimestampType(), "First instant at which this version holds"),
    column("valid_to", TimestampType(), "First instant at which it no longer holds; NULL on the newest"),
    column("is_current", BooleanType(), "Whether this is the key's newest version"),
]

DIM_CUSTOMERS = StructType(
    [
        column("customer_key", StringType(), "Key: hash of the customer id and valid_from"),
        column("customer_id", LongType(), "Customer"),
        column("customer_firstname", StringType(), "First name, latest within the version"),
        column("customer_lastname", StringType(), "Last name, latest within the version"),
        column("customer_email_hash", StringType(), "Keyed hash of the e-mail, latest within the version"),
        column("customer_segment", StringType(), "Tracked: Consumer, Corporate or Home Office"),
        column("customer_zipcode", StringType(), "Tracked: zip code"),
        *VALIDITY,
    ]
)

DIM_PRODUCTS = StructType(
    [
        column("product_key", StringType(), "Key: hash of the product id and valid_from"),
        column("product_id", LongType(), "Product (card)"),
        column("product_name", StringType(), "Name, latest within the version"),
        column("category_id", IntegerType(), "Tracked: category"),
        column("category_name", StringType(), "Tracked: name of the category"),
        column("product_price", MONEY, "Tracked: list price"),
        column("is_notavailable", BooleanType(), "Tracked: whether the product is not available"),
        *VALIDITY,
    ]
)

SCHEMAS: dict[str, StructType] = {
    "silver.dim_customers": DIM_CUSTOMERS,
    "silver.dim_products": DIM_PRODUCTS,
    "silver.orders": ORDERS,
}

# The column that tells one row of a table from all others (what MERGE matches on).
KEYS: dict[str, str] = {
    "silver.dim_customers": "customer_key",
    "silver.dim_products": "product_key",
    "silver.orders": "order_item_id",
}

# The column by which a change in bronze is traced to the rows of a table that it touches.
NATURAL_KEYS: dict[str, str] = {
    "silver.dim_customers": "customer_id",
    "silver.dim_products": "product_id",
    "silver.orders": "order_item_id",
}
