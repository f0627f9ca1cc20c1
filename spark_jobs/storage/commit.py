"""The commits of a publication: each table changes in one (design, section 9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.layers.registry import KEYS, LOOKED_UP_BY, SCHEMAS
from spark_jobs.runtime.concurrency import each_at_once
from spark_jobs.storage import delta
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.changes import DELETED
from spark_jobs.storage.publications import Publication
from spark_jobs.storage.staging import StagedTable, staged_at_hand
from spark_jobs.tables.names import LAYER_TABLES, Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS_A_FILE, MOST_FILES = 25_000, 256
"""Layout of what is written in one piece: a later day then looks into, or rewrites, few of the files."""

COMMENTS = {
    "bronze.landed_files": "Landed order files with the number of their lines",
    "bronze.order_items": "Landed order items, typed: one row a valid line",
    "bronze.quarantine": "Landed lines that are not valid, with their reasons",
    "silver.dim_customers": "Customers, SCD2: one row a version",
    "silver.dim_products": "Products, SCD2: one row a version",
    "silver.orders": "Order items, the newest valid delivery of each",
    "gold.customers360": "Customers with their orders, RFM scores and segment",
    "gold.product_totals": "Sums behind products360: one row a product",
    "gold.products360": "Products with their orders, tier, margin, health and priority",
    "gold.orders_enriched": "Order items with the customer and product versions valid at the order's time",
}


@dataclass(frozen=True)
class Committed:
    """A table after the commit: its version, and how many rows it has more than before."""

    version: int
    rows_gained: int


class ConcurrentCommit(Exception):
    """Another writer committed to a table of the layer meanwhile: begin again."""


def restore_heads(spark: SparkSession, tables: Tables, layer: str, newest: Publication | None) -> dict[str, int]:
    """Makes every table of the layer what the newest publication says; returns the versions of their heads.

    A head that differs is a publish that died half-way. Tables that nothing was published to are made, and are
    what they were when they were made. Raises LookupError where a published table was dropped, and
    ConcurrentCommit where another run commits meanwhile.
    """

    def restored(table: str) -> int:
        name = tables.name(table)
        published = newest.tables.get(table, 0) if newest else 0
        version = delta.head_version(spark, name, published)
        if version is None and published:
            raise LookupError(
                f"{name} was published at version {published} and is gone: was it dropped by hand? "
                f"UNDROP TABLE {name} brings it back on Databricks; elsewhere, drop the tables of all layers and "
                "of ops, and run all landing dates again."
            )
        if version is None:
            delta.create_table(
                spark, name, delta.ddl(SCHEMAS[table]), COMMENTS[table], LOOKED_UP_BY[table], is_merged=table in KEYS
            )
            version = _head(spark, name, 0)  # another run may have made it, and committed to it
        if version == published:
            return version
        try:
            delta.restore(spark, name, published)
        except Exception as error:
            if delta.is_concurrency_conflict(error):
                raise ConcurrentCommit(table) from error
            raise
        return _head(spark, name, version + 1)

    return dict(zip(LAYER_TABLES[layer], each_at_once(restored, LAYER_TABLES[layer]), strict=True))


def _head(spark: SparkSession, name: str, expected: int) -> int:
    version = delta.head_version(spark, name, expected)
    if version is None:
        raise LookupError(f"{name} is gone: was it dropped by hand?")
    return version


def commit(spark: SparkSession, tables: Tables, build: Build, heads: dict[str, int]) -> dict[str, Committed]:
    """Brings the staged changes into the layer's tables, all at the same time.

    Raises ConcurrentCommit where a commit did not come right behind the expected head, since the table may then
    hold another run's rows too.
    """

    def committed(table: str) -> Committed:
        name = tables.name(table)
        try:
            gained = (
                _replace_dates(spark, build, table, name)
                if build.layer == "bronze"
                else _merge(spark, build, table, name)
            )
        except Exception as error:
            if delta.is_concurrency_conflict(error):
                raise ConcurrentCommit(table) from error
            raise
        if gained is None:
            return Committed(heads[table], 0)
        found = _head(spark, name, heads[table] + 1)
        if found != heads[table] + 1:
            raise ConcurrentCommit(table)
        return Committed(found, gained)

    return dict(zip(LAYER_TABLES[build.layer], each_at_once(committed, LAYER_TABLES[build.layer]), strict=True))


def _replace_dates(spark: SparkSession, build: Build, table: str, name: str) -> int | None:
    """The rows gained; None where nothing comes and nothing goes, since there would be no commit."""
    columns = [f"`{column}`" for column in SCHEMAS[table].names]
    source = "bronze.landed_files" if table == "bronze.landed_files" else "bronze.lines"
    which = {"bronze.order_items": "WHERE size(reasons) = 0", "bronze.quarantine": "WHERE size(reasons) > 0"}
    start, end = build.interval.start, build.interval.end
    condition = f"landing_date >= DATE'{start}' AND landing_date < DATE'{end}'"
    if build.missing_dates:
        missing = ", ".join(f"DATE'{day}'" for day in build.missing_dates)
        condition += f" AND landing_date NOT IN ({missing})"
    staged_table = build.staged[source]
    new = f"FROM {staged_table.name} VERSION AS OF {staged_table.version} {which.get(table, '')}"
    coming = staged_table.rows
    if table != "bronze.landed_files":
        quarantined = staged_table.counts["quarantined"]
        coming = quarantined if table == "bronze.quarantine" else staged_table.rows - quarantined
    # Where other dates were published meanwhile, there may be rows, and yet none of these dates.
    going = int(spark.table(name).where(condition).count()) if build.base.rows.get(table) else 0
    if not coming and not going:
        return None
    selected = f"SELECT {_in_files(table, staged_table)} {', '.join(columns)} {new}"
    spark.sql(f"INSERT INTO {name} REPLACE WHERE {condition} {selected}").collect()
    return coming - going


def _in_files(table: str, staged_table: StagedTable) -> str:
    """The hint that puts neighbours into one file, so that the files' statistics tell where a date or a key is."""
    files = min(MOST_FILES, staged_table.rows // ROWS_A_FILE + 1)
    return f"/*+ REPARTITION_BY_RANGE({files}, {LOOKED_UP_BY[table][0]}) */"


def _merge(spark: SparkSession, build: Build, table: str, name: str) -> int | None:
    """The rows gained; None where nothing comes and nothing goes, since there would be no commit."""
    staged_table, standing = build.staged.get(table), build.base.rows.get(table, 0)
    if staged_table is None or (staged_table.rows == 0 and not (staged_table.replaces and standing)):
        return None
    columns, key = SCHEMAS[table].names, KEYS[table]
    names = ", ".join(f"`{c}`" for c in columns)
    # Nothing is staged as deleted then. A MERGE into no rows would do the same, and leave the keys in no order.
    if staged_table.replaces or not standing:
        new = f"FROM {staged_table.name} VERSION AS OF {staged_table.version}"
        spark.sql(f"INSERT OVERWRITE {name} SELECT {_in_files(table, staged_table)} {names} {new}").collect()
        return staged_table.rows - standing
    updates = ", ".join(f"published.`{c}` = staged.`{c}`" for c in columns)
    values = ", ".join(f"staged.`{c}`" for c in columns)
    view = f"staged_{table.replace('.', '_')}"
    changes = staged_at_hand(spark, staged_table)
    changes.createOrReplaceTempView(view)
    (merged,) = spark.sql(
        f"MERGE INTO {name} AS published USING {view} AS staged"  # noqa: S608 - checked names only
        f" ON published.`{key}` = staged.`{key}`{_between(changes, table, key)}"
        f" WHEN MATCHED AND staged.{DELETED} THEN DELETE"
        f" WHEN MATCHED THEN UPDATE SET {updates}"
        f" WHEN NOT MATCHED AND NOT staged.{DELETED} THEN INSERT ({names}) VALUES ({values})"
    ).collect()
    return int(merged["num_inserted_rows"] - merged["num_deleted_rows"])


def _between(changes: DataFrame, table: str, key: str) -> str:
    """The least and the greatest staged key as literals, by which MERGE skips the files of other keys."""
    if key not in LOOKED_UP_BY[table]:
        return ""
    least, greatest = changes.agg(F.min(key), F.max(key)).collect()[0]
    return "" if least is None else f" AND published.`{key}` BETWEEN {int(least)} AND {int(greatest)}"
