"""The schema and the key of every published table."""

from __future__ import annotations

from pyspark.sql.types import DateType, LongType, StringType, StructField, StructType

from spark_jobs.layers.bronze import schema as bronze
from spark_jobs.layers.gold import schema as gold
from spark_jobs.layers.silver import schema as silver

LANDED_FILES = StructType(
    [
        StructField("landing_date", DateType(), True, {"comment": "day on which the file was delivered"}),
        StructField("source_file", StringType(), True, {"comment": "path relative to the landing root"}),
        StructField("landed_lines", LongType(), True, {"comment": "lines after the header that are not blank"}),
        StructField("size_bytes", LongType()),
    ]
)
SCHEMAS: dict[str, StructType] = {
    "bronze.landed_files": LANDED_FILES,
    "bronze.order_items": bronze.ORDER_ITEMS,
    "bronze.quarantine": bronze.QUARANTINE,
    **silver.SCHEMAS,
    **gold.SCHEMAS,
}
KEYS: dict[str, str] = {**silver.KEYS, **gold.KEYS}
"""Of the tables that are merged by key; bronze is replaced by landing date."""
_ITEM = ("order_item_id", "order_id", "customer_id", "product_id", "order_date", "landing_date")
LOOKED_UP_BY: dict[str, tuple[str, ...]] = {
    "bronze.landed_files": ("landing_date",),
    "bronze.order_items": (
        "landing_date", "order_item_id", "order_id", "customer_id", "product_card_id", "order_date_dateorders"
    ),
    "bronze.quarantine": ("landing_date",),
    "silver.orders": _ITEM,
    "silver.dim_customers": ("customer_id", "valid_from", "valid_to"),
    "silver.dim_products": ("product_id", "valid_from", "valid_to"),
    "gold.orders_enriched": _ITEM,
    "gold.customers360": ("customer_id",),
    "gold.products360": ("product_id",),
    "gold.product_totals": ("product_id",),
}  # fmt: skip
"""Columns by which builds, publishes and people ask for few of a table's rows."""
