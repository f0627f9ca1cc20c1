"""The one table of bronze's columns: source name, name in the tables, type (design, section 5)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyspark.sql.types import (
    ArrayType,
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

ID = LongType()
INTEGER = IntegerType()
TEXT = StringType()
FLAG = BooleanType()
TIMESTAMP = TimestampType()
MONEY = DecimalType(12, 2)
RATE = DecimalType(7, 4)
DEGREES = DecimalType(11, 8)


@dataclass(frozen=True)
class Column:
    """One column of the source."""

    source: str
    type: DataType

    @property
    def name(self) -> str:
        """snake_case without brackets: "Days for shipping (real)" is days_for_shipping_real."""
        return re.sub(r"\W+", "_", re.sub(r"[()]", "", self.source)).strip("_").lower()

    @property
    def type_name(self) -> str:
        return self.type.simpleString().upper()


COLUMNS: tuple[Column, ...] = (
    Column("Type", TEXT),
    Column("Days for shipping (real)", INTEGER),
    Column("Days for shipment (scheduled)", INTEGER),
    Column("Benefit per order", MONEY),
    Column("Sales per customer", MONEY),
    Column("Delivery Status", TEXT),
    Column("Late_delivery_risk", FLAG),
    Column("Category Id", INTEGER),
    Column("Category Name", TEXT),
    Column("Customer City", TEXT),
    Column("Customer Country", TEXT),
    Column("Customer Email", TEXT),
    Column("Customer Fname", TEXT),
    Column("Customer Id", ID),
    Column("Customer Lname", TEXT),
    Column("Customer Password", TEXT),
    Column("Customer Segment", TEXT),
    Column("Customer State", TEXT),
    Column("Customer Street", TEXT),
    Column("Customer Zipcode", TEXT),
    Column("Department Id", INTEGER),
    Column("Department Name", TEXT),
    Column("Latitude", DEGREES),
    Column("Longitude", DEGREES),
    Column("Market", TEXT),
    Column("Order City", TEXT),
    Column("Order Country", TEXT),
    Column("Order Customer Id", ID),
    Column("order date (DateOrders)", TIMESTAMP),
    Column("Order Id", ID),
    Column("Order Item Cardprod Id", ID),
    Column("Order Item Discount", MONEY),
    Column("Order Item Discount Rate", RATE),
    Column("Order Item Id", ID),
    Column("Order Item Product Price", MONEY),
    Column("Order Item Profit Ratio", RATE),
    Column("Order Item Quantity", INTEGER),
    Column("Sales", MONEY),
    Column("Order Item Total", MONEY),
    Column("Order Profit Per Order", MONEY),
    Column("Order Region", TEXT),
    Column("Order State", TEXT),
    Column("Order Status", TEXT),
    Column("Order Zipcode", TEXT),
    Column("Product Card Id", ID),
    Column("Product Category Id", INTEGER),
    Column("Product Description", TEXT),
    Column("Product Image", TEXT),
    Column("Product Name", TEXT),
    Column("Product Price", MONEY),
    Column("Product Status", FLAG),
    Column("shipping date (DateOrders)", TIMESTAMP),
    Column("Shipping Mode", TEXT),
)
SOURCE_NAMES: tuple[str, ...] = tuple(column.source for column in COLUMNS)
NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)

EMAIL = "customer_email"
PASSWORD = "customer_password"  # noqa: S105 - a column's name
PRIVATE = (EMAIL, PASSWORD)

AUDIT_FIELDS: tuple[StructField, ...] = (
    StructField("landing_date", DateType()),
    StructField("source_file", StringType()),
    StructField("source_file_modified_at", TimestampType()),
    StructField("row_hash", StringType()),
    StructField("build_id", StringType()),
    StructField("job_run_id", StringType()),
    StructField("code_version", StringType()),
    StructField("built_at", TimestampType()),
)
# These say how a row came here, not what landed: they stay out of comparisons. The landing date, the file and the
# row hash are data, which silver orders by.
AUDIT_ONLY: tuple[str, ...] = ("source_file_modified_at", "build_id", "job_run_id", "code_version", "built_at")
BUILD_COLUMNS: tuple[str, ...] = ("build_id", "job_run_id", "code_version", "built_at")

ORDER_ITEMS = StructType([*(StructField(c.name, c.type) for c in COLUMNS), *AUDIT_FIELDS])
LANDED_LINES = StructType(
    [*ORDER_ITEMS.fields, StructField("line", StringType()), StructField("reasons", ArrayType(StringType()))]
)
QUARANTINE = StructType(
    [
        LANDED_LINES[name]
        for name in ("landing_date", "source_file", "line", "reasons", "source_file_modified_at", *BUILD_COLUMNS)
    ]
)


def position(name: str) -> int:
    """Where a column stands among the 53, from 0."""
    return NAMES.index(name)
