"""The source: the 53 columns of an order file, their names in the tables and their types, and how lines are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

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
from spark_jobs.tables.blank_records import NULL_WORDS, words_in
from spark_jobs.tables.date_order import AUTO, DATE_ORDERS

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
MASKED = (EMAIL, PASSWORD)
ORDER_DATE = "order_date_dateorders"
DATES = (ORDER_DATE, "shipping_date_dateorders")
STATED_DAYS = "days_for_shipping_real"

ENCODINGS = ("windows-1252", "utf-8")
CODES = ("customer_zipcode", "order_zipcode", *(name for name in NAMES if name.endswith("_id")))
"""Columns with codes, which a spreadsheet may have respelled as numbers."""
_EVERYWHERE = tuple(name for name in NAMES if name not in MASKED)


@dataclass(frozen=True)
class SourceFormat:
    """Settings of a source. Raises ParameterRefused for a setting that is not known."""

    encoding: str = "windows-1252"
    date_order: str = AUTO
    """auto, month_first or day_first: see spark_jobs/tables/date_order.py."""
    max_order_age_days: int = 7305
    """An order that lies further before its landing date is quarantined."""
    max_order_days_ahead: int = 0
    """An order that lies further after its landing date is quarantined."""
    null_words: tuple[str, ...] = words_in(NULL_WORDS)
    email_columns: tuple[str, ...] = _EVERYWHERE
    """The columns that are searched for e-mail addresses out of place."""

    @classmethod
    def from_texts(cls, null_words: str, email_columns: str, **settings: Any) -> SourceFormat:
        """Read the lists of settings: words, and names of columns (or `all` or `none`), separated by commas."""
        known = {name.casefold(): column.name for column in COLUMNS for name in (column.source, column.name)}
        match email_columns.strip():
            case "all":
                columns = _EVERYWHERE
            case "none":
                columns = ()
            case text:
                named = words_in(text)
                if unknown := [name for name in named if known.get(name.casefold()) not in _EVERYWHERE] or not named:
                    raise ParameterRefused(
                        f"email_columns is {email_columns!r}: it must be all, none, or columns of the source,"
                        f" separated by commas and without {' and '.join(MASKED)}; not known:"
                        f" {unknown if named else 'no column'}"
                    )
                columns = tuple(known[name.casefold()] for name in named)
        return cls(null_words=words_in(null_words), email_columns=columns, **settings)

    def __post_init__(self) -> None:
        for name, value, known in (
            ("encoding", self.encoding, ENCODINGS),
            ("date order", self.date_order, DATE_ORDERS),
        ):
            if value not in known:
                raise ParameterRefused(
                    f"the source {name} {value!r} is not known: it must be one of {', '.join(known)}"
                )

    @property
    def finds_date_order(self) -> bool:
        return self.date_order == AUTO

    def is_plausible(self, ordered: date, landed: date) -> bool:
        """Return whether an order of this day can have been landed on that one."""
        return -self.max_order_days_ahead <= (landed - ordered).days <= self.max_order_age_days


def position(name: str) -> int:
    """Return the place of a column among the 53, from 0."""
    return NAMES.index(name)
