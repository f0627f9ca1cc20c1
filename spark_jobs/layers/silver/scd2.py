"""Histories of attributes (slowly changing dimensions, type 2) on event time."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

# The total order in which the rows of a key take effect.
ORDER = (
    "effective_at",
    "order_date",
    "order_id",
    "order_item_id",
    "landing_date",
    "source_file",
    "row_hash",
)


def effective_at(order_date: Column, landing_date: Column) -> Column:
    """Return the instant at which a delivered row takes effect: its order's timestamp, clamped into the landing date.

    A timestamp has microseconds, so the last instant before 24:00 is 23:59:59.999999.
    """
    first = landing_date.cast("timestamp")
    last = first + F.expr("INTERVAL '23:59:59.999999' HOUR TO SECOND")
    return F.greatest(first, F.least(order_date, last))


def with_effective_at(rows: DataFrame) -> DataFrame:
    """Add effective_at to rows with order_date and landing_date."""
    return rows.withColumn("effective_at", effective_at(F.col("order_date"), F.col("landing_date")))


def surrogate_key(natural_key: Column, valid_from: Column) -> Column:
    """Return SHA-256 of natural key and instant, as hex.

    The instant is written as microseconds since 1970, which depends on no session's time zone. Nothing after
    the last colon is part of the natural key, so no two pairs are written alike.
    """
    return F.sha2(F.concat(natural_key.cast("string"), F.lit(":"), F.unix_micros(valid_from).cast("string")), 256)


def versions(
    rows: DataFrame,
    key: str,
    tracked: Sequence[str],
    untracked: Sequence[str],
    previous_versions: DataFrame | None = None,
) -> DataFrame:
    """Return the versions of each key: key, tracked and untracked columns, valid_from, valid_to, is_current.

    `rows` holds all valid bronze rows of its keys, older deliveries of an item included, with the key, both
    kinds of attributes, and the columns of ORDER but effective_at. A new version begins where a tracked
    attribute differs (null-safe) from the row before; untracked attributes are those of a version's last row.

    With `previous_versions`, the versions of these keys that all rows of earlier landing dates gave, `rows` holds later
    landing dates only. The result is the same as from all rows.
    """
    if previous_versions is not None:
        earlier = _as_rows(previous_versions, key, [*tracked, *untracked])
        rows = rows.unionByName(earlier, allowMissingColumns=True)
    of_key = Window.partitionBy(key)
    by_order = of_key.orderBy(*ORDER)
    by_time = of_key.orderBy("effective_at")

    # Of the rows with equal effective_at only the last one takes effect.
    effective = (
        with_effective_at(rows)
        .withColumn("_next_at", F.lead("effective_at").over(by_order))
        .withColumn("_earliest", F.min("order_date").over(of_key))
        .where(~F.col("_next_at").eqNullSafe(F.col("effective_at")))
    )
    # The first row of a key has NULL before it, which is no struct, so it always begins a version.
    attributes = F.struct(*tracked)
    begins = ~F.lag(attributes).over(by_time).eqNullSafe(attributes)
    numbered = effective.withColumn("_begins", begins.cast("int")).withColumn(
        "_version", F.sum("_begins").over(by_time)
    )
    last = F.max_by(F.struct(*tracked, *untracked), "effective_at")
    merged = numbered.groupBy(key, "_version").agg(
        F.min("effective_at").alias("_from"), F.min("_earliest").alias("_earliest"), last.alias("_last")
    )
    # The first version also covers the key's earliest order, so that every order finds a version.
    valid_from = F.when(F.col("_version") == 1, F.least("_from", "_earliest")).otherwise(F.col("_from"))
    dated = merged.withColumn("valid_from", valid_from)
    valid_to = F.lead("valid_from").over(of_key.orderBy("_version"))
    return dated.withColumn("valid_to", valid_to).select(
        key, "_last.*", "valid_from", "valid_to", F.col("valid_to").isNull().alias("is_current")
    )


def _as_rows(versions: DataFrame, key: str, attributes: Sequence[str]) -> DataFrame:
    """Return one row per published version, which takes effect at its `valid_from` as all the rows behind it did.

    Rows of any later landing date take effect after all of them. A first version may be valid from before the
    effective_at of its first row, namely from the earliest order. That instant is then the order date of the row, and
    nothing takes effect before it either.
    """
    return versions.select(
        key, *attributes, F.col("valid_from").alias("order_date"), F.to_date("valid_from").alias("landing_date")
    )
