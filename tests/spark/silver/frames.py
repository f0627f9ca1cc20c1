"""Frames for the tests of silver and gold, and their comparison with the oracle's tables."""

# ruff: noqa: DTZ001 - instants in UTC are naive in Python where Spark hands them over

import csv
import lzma
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
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

from tests.unit.model.cases import COLUMNS, Row

MONEY, RATE, DEGREES = DecimalType(12, 2), DecimalType(7, 4), DecimalType(11, 8)

# Types of bronze columns; all others are strings.
TYPES: dict[str, DataType] = {
    "order_item_id": LongType(),
    "order_id": LongType(),
    "customer_id": LongType(),
    "product_card_id": LongType(),
    "category_id": IntegerType(),
    "department_id": IntegerType(),
    "order_date_dateorders": TimestampType(),
    "shipping_date_dateorders": TimestampType(),
    "days_for_shipping_real": IntegerType(),
    "days_for_shipment_scheduled": IntegerType(),
    "late_delivery_risk": BooleanType(),
    "product_status": BooleanType(),
    "order_item_product_price": MONEY,
    "product_price": MONEY,
    "order_item_quantity": IntegerType(),
    "sales": MONEY,
    "order_item_discount": MONEY,
    "order_item_discount_rate": RATE,
    "order_item_total": MONEY,
    "order_profit_per_order": MONEY,
    "order_item_profit_ratio": RATE,
    "latitude": DEGREES,
    "longitude": DEGREES,
    "landing_date": DateType(),
}
BRONZE = StructType([StructField(name, TYPES.get(name, StringType())) for name in COLUMNS])


def frame(spark: SparkSession, rows: Iterable[Row], schema: StructType = BRONZE) -> DataFrame:
    """A frame with exactly the schema's columns."""
    names = schema.fieldNames()
    return spark.createDataFrame([tuple(row[name] for name in names) for row in rows], schema)


def collected(result: DataFrame) -> list[Row]:
    """The rows as dicts."""
    return [row.asDict() for row in result.collect()]


def assert_same(actual: list[Row], expected: Iterable[Row], key: str) -> None:
    """Equal row for row and value for value, found by key; the error shows the first differences."""
    by_key = {row[key]: row for row in expected}
    assert len(actual) == len({row[key] for row in actual}), f"{key} is not unique"
    assert {row[key] for row in actual} == set(by_key)
    for row in actual:
        assert set(row) == set(by_key[row[key]])
    different = [
        (row[key], name, value, by_key[row[key]][name])
        for row in actual
        for name, value in row.items()
        if value != by_key[row[key]][name]
    ]
    assert not different, f"{len(different)} values differ: (key, column, actual, expected) {different[:5]}"


def snake(header: str) -> str:
    """The name in bronze of a source column."""
    return re.sub(r"[^a-z0-9]+", "_", header.lower()).strip("_")


def dataco_rows(path: Path) -> Iterator[Row]:
    """The DataCo file as bronze rows delivered on their order's day, read by Python alone."""
    with lzma.open(path, "rt", encoding="cp1252", newline="") as lines:
        reader = csv.reader(lines)
        names = [snake(name) for name in next(reader)]
        # A column's values come again and again: each is read once.
        wanted = [
            (position, name, cache(partial(parsed, kind=TYPES.get(name))))
            for position, name in enumerate(names)
            if name in COLUMNS
        ]
        for number, line in enumerate(reader):
            row: Row = {name: value_of(line[position]) for position, name, value_of in wanted}
            row["landing_date"] = row["order_date_dateorders"].date()
            row["source_file"] = f"dt={row['landing_date']}/orders.csv"
            row["row_hash"] = str(number)
            row["customer_email"] = "hash"
            yield row


def parsed(field: str, kind: DataType | None) -> Any:
    """A field of the source as Python reads it: None where it is empty, text where it has no kind."""
    text = " ".join(field.split()) or None
    if text is None or kind is None:
        return text
    if isinstance(kind, DecimalType):
        return Decimal(text).quantize(Decimal(1).scaleb(-kind.scale), ROUND_HALF_UP)
    if isinstance(kind, TimestampType):
        month, day, year, hour, minute = (int(number) for number in re.split(r"\D", text))
        return datetime(year, month, day, hour, minute)
    if isinstance(kind, BooleanType):
        return text == "1"
    return int(text)


def write_parquet(rows: list[Row], path: Path) -> None:
    """The rows as a file that Spark reads as a bronze frame."""
    schema = to_arrow_schema(BRONZE)
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    pq.write_table(pa.table(columns, schema=schema), path)
