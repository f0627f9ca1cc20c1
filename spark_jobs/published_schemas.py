"""The schema and the key of every published table."""

from __future__ import annotations

from pyspark.sql.types import DateType, LongType, StringType, StructField, StructType

from spark_jobs.bronze import schema as bronze
from spark_jobs.gold import schema as gold
from spark_jobs.silver import schema as silver

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
