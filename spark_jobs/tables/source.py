"""The source: the 53 columns of an order file, their names in the tables and their types, and how lines are written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyspark.sql.types import (
    BooleanType,
    DataType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
)

from spark_jobs.runtime.errors import ParameterRefused

ID = LongType()
INTEGER = IntegerType()
TEXT = StringType()
FLAG = BooleanType()
TIMESTAMP = TimestampType()
MONEY = DecimalType(12, 2)
RATE = DecimalType(7, 4)
DEGREES = DecimalType(11, 8)


@dataclass(frozen=True)
class SourceColumn:
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


COLUMNS: tuple[SourceColumn, ...] = (
    SourceColumn("Type", TEXT),
    SourceColumn("Days for shipping (real)", INTEGER),
    SourceColumn("Days for shipment (scheduled)", INTEGER),
    SourceColumn("Benefit per order", MONEY),
    SourceColumn("Sales per customer", MONEY),
    SourceColumn("Delivery Status", TEXT),
    SourceColumn("Late_delivery_risk", FLAG),
    SourceColumn("Category Id", INTEGER),
    SourceColumn("Category Name", TEXT),
    SourceColumn("Customer City", TEXT),
    SourceColumn("Customer Country", TEXT),
    SourceColumn("Customer Email", TEXT),
    SourceColumn("Customer Fname", TEXT),
    SourceColumn("Customer Id", ID),
    SourceColumn("Customer Lname", TEXT),
    SourceColumn("Customer Password", TEXT),
    SourceColumn("Customer Segment", TEXT),
    SourceColumn("Customer State", TEXT),
    SourceColumn("Customer Street", TEXT),
    SourceColumn("Customer Zipcode", TEXT),
    SourceColumn("Department Id", INTEGER),
    SourceColumn("Department Name", TEXT),
    SourceColumn("Latitude", DEGREES),
    SourceColumn("Longitude", DEGREES),
    SourceColumn("Market", TEXT),
    SourceColumn("Order City", TEXT),
    SourceColumn("Order Country", TEXT),
    SourceColumn("Order Customer Id", ID),
    SourceColumn("order date (DateOrders)", TIMESTAMP),
    SourceColumn("Order Id", ID),
    SourceColumn("Order Item Cardprod Id", ID),
    SourceColumn("Order Item Discount", MONEY),
    SourceColumn("Order Item Discount Rate", RATE),
    SourceColumn("Order Item Id", ID),
    SourceColumn("Order Item Product Price", MONEY),
    SourceColumn("Order Item Profit Ratio", RATE),
    SourceColumn("Order Item Quantity", INTEGER),
    SourceColumn("Sales", MONEY),
    SourceColumn("Order Item Total", MONEY),
    SourceColumn("Order Profit Per Order", MONEY),
    SourceColumn("Order Region", TEXT),
    SourceColumn("Order State", TEXT),
    SourceColumn("Order Status", TEXT),
    SourceColumn("Order Zipcode", TEXT),
    SourceColumn("Product Card Id", ID),
    SourceColumn("Product Category Id", INTEGER),
    SourceColumn("Product Description", TEXT),
    SourceColumn("Product Image", TEXT),
    SourceColumn("Product Name", TEXT),
    SourceColumn("Product Price", MONEY),
    SourceColumn("Product Status", FLAG),
    SourceColumn("shipping date (DateOrders)", TIMESTAMP),
    SourceColumn("Shipping Mode", TEXT),
)
SOURCE_NAMES: tuple[str, ...] = tuple(column.source for column in COLUMNS)
NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)

EMAIL = "customer_email"
PASSWORD = "customer_password"  # noqa: S105 - a column's name
PRIVATE = (EMAIL, PASSWORD)

ENCODINGS = ("windows-1252", "utf-8")


@dataclass(frozen=True)
class SourceFormat:
    """Settings of a source. Raises ParameterRefused for an encoding that is not known."""

    encoding: str = "windows-1252"
    timestamp_formats: tuple[str, ...] = ("M/d/yyyy H:mm", "dd-MM-yyyy HH:mm")
    """Spark's patterns, of which the first that fits counts."""

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise ParameterRefused(
                f"the source encoding {self.encoding!r} is not known: it must be one of {', '.join(ENCODINGS)}"
            )


def position(name: str) -> int:
    """Return the place of a column among the 53, from 0."""
    return NAMES.index(name)
