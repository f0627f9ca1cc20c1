"""The tables of bronze."""

from __future__ import annotations

from pyspark.sql.types import ArrayType, DateType, LongType, StringType, StructType, TimestampType

from spark_jobs.tables.source import COLUMNS
from spark_jobs.tables.spec import TableSpec, Write, column

_LANDING_DATE = column("landing_date", DateType(), "Day on which the file was delivered")
_SOURCE_FILE = column("source_file", StringType(), "File, relative to the landing root")
_MODIFIED_AT = column("source_file_modified_at", TimestampType(), "When the file was last written")
_BUILD = (
    column("build_id", StringType(), "Build that made the row"),
    column("job_run_id", StringType(), "Job run of the build"),
    column("code_version", StringType(), "Version of the code that built"),
    column("built_at", TimestampType(), "When the build made the row"),
)
AUDIT_ONLY: tuple[str, ...] = (_MODIFIED_AT.name, *(field.name for field in _BUILD))
"""Columns that say how a row came here, not what landed: comparisons leave them out."""

ORDER_ITEMS = TableSpec(
    name="bronze.order_items",
    comment="Landed order items, typed: one row per valid line",
    grain="one row per valid line",
    schema=StructType(
        [
            *(column(c.name, c.type, f"Source column {c.source!r}") for c in COLUMNS),
            _LANDING_DATE,
            _SOURCE_FILE,
            _MODIFIED_AT,
            column("row_hash", StringType(), "SHA-256 of the 53 parsed values"),
            *_BUILD,
        ]
    ),
    natural_key=("landing_date", "source_file", "order_item_id"),
    write=Write.REPLACE_DATES,
    statistics_columns=(
        "landing_date",
        "order_item_id",
        "order_id",
        "customer_id",
        "product_card_id",
        "order_date_dateorders",
    ),
)
QUARANTINE = TableSpec(
    name="bronze.quarantine",
    comment="Landed lines that are not valid, with their reasons: one row per line",
    grain="one row per line that is not valid",
    schema=StructType(
        [
            _LANDING_DATE,
            _SOURCE_FILE,
            column("line", StringType(), "Text of the line, private data masked"),
            column("reasons", ArrayType(StringType()), "Why the line is not valid"),
            _MODIFIED_AT,
            *_BUILD,
        ]
    ),
    natural_key=("landing_date", "source_file", "line"),
    write=Write.REPLACE_DATES,
    statistics_columns=("landing_date",),
)
LANDED_FILES = TableSpec(
    name="bronze.landed_files",
    comment="Landed order files with the number of their lines: one row per file",
    grain="one row per file",
    schema=StructType(
        [
            _LANDING_DATE,
            _SOURCE_FILE,
            column("landed_lines", LongType(), "Lines below the header that hold a value"),
            column("size_bytes", LongType(), "Size of the file in bytes"),
        ]
    ),
    natural_key=("landing_date", "source_file"),
    write=Write.REPLACE_DATES,
    statistics_columns=("landing_date",),
)
TABLES = (LANDED_FILES, ORDER_ITEMS, QUARANTINE)
LANDED_LINES = StructType([*ORDER_ITEMS.schema.fields, QUARANTINE.schema["line"], QUARANTINE.schema["reasons"]])
"""Every landed line, valid or not: one row per line."""
