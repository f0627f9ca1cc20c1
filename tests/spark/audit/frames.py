"""Small tables for the audit's tests, and what an audit finds in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import BooleanType, DataType, DateType, DecimalType, StringType, StructType, TimestampType

from spark_jobs.layers.registry import TABLES, tables_of
from spark_jobs.quality.checkpoint import AuditResult
from spark_jobs.quality.rules import layer_rules

ORDER_ITEMS = TABLES["bronze.order_items"].schema
DAY = date(2018, 1, 2)
FILE = "dt=2018-01-02/orders.csv"
KNOWN = {
    "type": "DEBIT",
    "delivery_status": "Late delivery",
    "order_status": "COMPLETE",
    "shipping_mode": "First Class",
    "market": "Europe",
    "customer_segment": "Consumer",
    "customer_email": "a" * 64,
    "customer_password": None,
    "days_for_shipping_real": 0,
    "row_hash": "b" * 64,
    "source_file": FILE,
    "landing_date": DAY,
}
_VALUES: dict[type[DataType], Any] = {
    BooleanType: False,
    DateType: DAY,
    DecimalType: Decimal("1.00"),
    StringType: "x",
    TimestampType: datetime(2018, 1, 2, 12),  # noqa: DTZ001 - Spark's timestamps are naive, in UTC
}


def row(schema: StructType, **values: Any) -> tuple[Any, ...]:
    """A row with a plain value in each column that is not given."""
    unknown = set(values) - set(schema.names)
    assert not unknown, unknown
    known = {**{k: v for k, v in KNOWN.items() if k in schema.names}, **values}
    return tuple(known.get(f.name, _VALUES.get(type(f.dataType), 1)) for f in schema.fields)


def delivery(item: int, **values: Any) -> tuple[Any, ...]:
    """A row of bronze; the columns that mean the same get the same value."""
    for one, other in (
        ("product_card_id", "order_item_cardprod_id"),
        ("customer_id", "order_customer_id"),
        ("order_profit_per_order", "benefit_per_order"),
        ("order_item_total", "sales_per_customer"),
    ):
        if one in values:
            values.setdefault(other, values[one])
    return row(ORDER_ITEMS, order_item_id=item, **values)


def table(spark: SparkSession, schema: StructType, rows: list[tuple[Any, ...]]) -> DataFrame:
    return spark.createDataFrame(rows, schema)


def given(value: Any) -> Callable[[], Any]:
    return lambda: value


def broken(result: AuditResult, asset: str) -> dict[str, int]:
    """Rule -> number of bad rows, over all landing dates, of the rules about a table that do not hold."""
    counts: dict[str, int] = {}
    for found in (*result.failures, *result.warnings):
        if found.table == asset:
            assert found.bad_rows is not None, found.message
            counts[found.rule] = counts.get(found.rule, 0) + found.bad_rows
    return counts


def sampled(result: AuditResult, asset: str, rule: str, column: str) -> set[str]:
    """The values of a column that the samples of a rule show."""
    shown = [s for f in (*result.failures, *result.warnings) if (f.table, f.rule) == (asset, rule)
             for s in f.samples]  # fmt: skip
    return {value for sample in shown for value in re.findall(rf"\b{column} ([^,]+)", sample)}


def tables_in(layer: str) -> list[str]:
    return [spec.name for spec in tables_of(layer)]


def rules_about(layer: str) -> set[tuple[str, str]]:
    """Every rule of the layer, as asset and name."""
    return {(file.short_name, rule.name) for file in layer_rules(layer, tables_in(layer)).files for rule in file.rules}
