"""Small tables for the audit's tests, and what an audit says of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import BooleanType, DataType, DateType, DecimalType, StringType, StructType, TimestampType

from spark_jobs.layers.bronze.bronze_tables import ORDER_ITEMS
from spark_jobs.quality.checkpoint import AuditResult, run_checkpoint

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


def judged(layer: str, assets: Mapping[str, DataFrame]) -> AuditResult:
    """Only what concerns these assets: the others of the layer are failures, being absent."""
    return run_checkpoint(layer, assets)


def unmet(result: AuditResult, asset: str, of: str = "example") -> dict[str, set[Any]]:
    """Column of each unmet expectation -> the examples (or another column) of its unexpected rows."""
    told: dict[str, set[Any]] = {}
    for judgement in result.judgements:
        if judgement.asset != asset:
            continue
        for one in judgement.result.results:
            if not one.success:
                rows = one.result["unexpected_index_list"]
                told.setdefault(one.expectation_config.kwargs["column"], set()).update(r.get(of) for r in rows)
    return told
