"""What the bronze gate measures (design, sections 5 and 8)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import DateType, DecimalType, IntegerType, StringType, StructField, StructType

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SHARE = DecimalType(9, 6)


def bronze_assets(
    order_items: DataFrame,
    quarantine: DataFrame,
    landed_files: DataFrame,
    interval_start: date,
    interval_end: date,
    missing_dates: Sequence[date] = (),
) -> dict[str, DataFrame]:
    """The assets of the bronze checkpoint; nothing is computed before they are judged.

    `order_items` and `quarantine` hold the interval's rows as publishing would leave them. `landed_files` has a
    row (landing_date, source_file, landed_lines) a file. `missing_dates` are those without a folder that a setting
    let pass: they become rows of `missing_dates`, which is a warning.
    """
    conservation = _conservation(order_items, quarantine, landed_files)
    inside = (F.col("landing_date") >= F.lit(interval_start)) & (F.col("landing_date") < F.lit(interval_end))
    return {
        "schema": _schema(order_items),
        "order_items": order_items,
        "quarantine": _quarantine(quarantine),
        "conservation": conservation,
        "landing_dates": _landing_dates(conservation).withColumn("inside_interval", inside),
        "missing_dates": _missing_dates(order_items, missing_dates),
    }


def _missing_dates(order_items: DataFrame, missing_dates: Sequence[date]) -> DataFrame:
    schema = StructType([StructField("landing_date", DateType()), StructField("folders", IntegerType())])
    return order_items.sparkSession.createDataFrame([(day, 0) for day in sorted(missing_dates)], schema)


def _schema(order_items: DataFrame) -> DataFrame:
    """One row a column, `field` being "order_item_id bigint", so that a decimal's places are judged too."""
    fields = [(n, f"{f.name} {f.dataType.simpleString()}") for n, f in enumerate(order_items.schema.fields, 1)]
    schema = StructType([StructField("position", IntegerType()), StructField("field", StringType())])
    return order_items.sparkSession.createDataFrame(fields, schema)


def _conservation(order_items: DataFrame, quarantine: DataFrame, landed_files: DataFrame) -> DataFrame:
    """One row a landing date and file: landed = valid + quarantined."""

    def counted(frame: DataFrame, landed: object, valid: int, quarantined: int) -> DataFrame:
        one = F.col(landed) if isinstance(landed, str) else F.lit(landed)
        return frame.select(
            "landing_date",
            "source_file",
            one.cast("bigint").alias("landed"),
            F.lit(valid).alias("valid"),
            F.lit(quarantined).alias("quarantined"),
        )

    lines = (
        counted(landed_files, "landed_lines", 0, 0)
        .unionByName(counted(order_items, 0, 1, 0))
        .unionByName(counted(quarantine, 0, 0, 1))
    )
    counts = lines.groupBy("landing_date", "source_file").agg(
        *(F.coalesce(F.sum(n), F.lit(0)).cast("bigint").alias(n) for n in ("landed", "valid", "quarantined"))
    )
    return counts.withColumn("difference", F.col("landed") - F.col("valid") - F.col("quarantined"))


def _landing_dates(conservation: DataFrame) -> DataFrame:
    """One row a landing date. Shares are taken per date, never over the interval (design, section 3)."""
    dates = conservation.groupBy("landing_date").agg(
        *(F.sum(name).alias(name) for name in ("landed", "valid", "quarantined"))
    )
    wide = DecimalType(18, 0)
    share = F.col("quarantined").cast(wide) / F.nullif(F.col("landed").cast(wide), F.lit(0).cast(wide))
    return dates.select(
        "*",
        F.coalesce(share, F.lit(0)).cast(SHARE).alias("quarantined_share"),
        ((F.col("landed") > 0) & (F.col("valid") == 0)).alias("landed_without_rows"),
    )


def _quarantine(quarantine: DataFrame) -> DataFrame:
    """One row a landing date and number of reasons, without the lines themselves."""
    return quarantine.groupBy(
        "landing_date",
        F.coalesce(F.size("reasons"), F.lit(0)).alias("reasons"),
        F.col("line").isNotNull().alias("has_text"),
    ).agg(F.count(F.lit(1)).alias("keys"), F.min("source_file").alias("example"))
