"""Silver: derived anew for every key that the bronze dates published since the last build touch (design, section 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.builds.inputs import as_base, newest_below, published, readable
from spark_jobs.builds.record import Base, Build
from spark_jobs.builds.staged_changes import counted
from spark_jobs.parameters import BuildParameters
from spark_jobs.published_schemas import KEYS
from spark_jobs.publishing.publications import Publications
from spark_jobs.publishing.staging import StagedTable, stage
from spark_jobs.silver.changes import changed_rows
from spark_jobs.silver.dimensions import dim_customers, dim_products
from spark_jobs.silver.orders import newest_deliveries, orders
from spark_jobs.tables import Tables

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

NATURAL_KEYS = {
    "silver.orders": ("order_item_id", "order_item_id"),
    "silver.dim_customers": ("customer_id", "customer_id"),
    "silver.dim_products": ("product_card_id", "product_id"),
}
"""Of each table the column of its natural key in bronze, and in the table itself."""


@dataclass(frozen=True)
class SilverInputs:
    """What a silver build and its audit read: bronze now, bronze as it was, and which keys that concerns."""

    bronze: DataFrame
    touched: DataFrame | None
    """Rows (order_item_id, customer_id, product_card_id) of bronze that came, went or differ; None for all."""

    def rows_of_touched(self, frame: DataFrame, key: str, column: str) -> DataFrame:
        """The rows of `frame` whose `column` is a touched `key`."""
        if self.touched is None:
            return frame
        keys = self.touched.select(F.col(key).alias(column)).distinct()
        return frame.join(F.broadcast(keys), column, "left_semi")


def silver_inputs(
    spark: SparkSession, tables: Tables, publications: Publications, build_on: tuple[Base, Base, Base | None]
) -> SilverInputs:
    """Of (base, below, below_before), as a Build has them."""
    base, below, below_before = build_on
    now = published(spark, tables, below, "bronze.order_items")
    if base.seq == 0 or below_before is None:
        return SilverInputs(now, None)
    before = published(spark, tables, below_before, "bronze.order_items")
    dates = _dates_published_between(publications, below_before.seq, below.seq)
    return SilverInputs(now, _differing_rows(now.where(dates), before.where(dates)))


def build_silver(spark: SparkSession, parameters: BuildParameters, build_id: str) -> Build:
    """Stages the changes of orders and of both dimensions. Raises BaseMissing."""
    tables = parameters.tables
    publications = Publications(spark, tables)
    base = as_base(publications.newest("silver"))
    below = as_base(newest_below(publications, "silver"))
    before = publications.inputs_of("silver")
    below_before = as_base(before) if before and readable(spark, tables, as_base(before)) else None
    staged: dict[str, StagedTable] = {}
    if below_before is None or below_before.seq != below.seq:
        inputs = silver_inputs(spark, tables, publications, (base, below, below_before))
        derivations: tuple[tuple[str, Callable[[DataFrame], DataFrame]], ...] = (
            ("silver.dim_customers", dim_customers),
            ("silver.dim_products", dim_products),
            ("silver.orders", lambda rows: orders(newest_deliveries(rows))),
        )
        nothing_touched = inputs.touched is not None and inputs.touched.isEmpty()
        for table, derive in () if nothing_touched else derivations:
            source, column = NATURAL_KEYS[table]
            derived = derive(inputs.rows_of_touched(inputs.bronze, source, source))
            current = inputs.rows_of_touched(published(spark, tables, base, table), source, column)
            staged[table] = stage(spark, tables, table, build_id, changed_rows(derived, current, KEYS[table]))
    return Build(
        layer="silver",
        build_id=build_id,
        job_run_id=parameters.job_run_id,
        parameters=parameters,
        base=base,
        below=below,
        below_before=below_before,
        whole=below_before is None,
        staged=staged,
        rows=counted(spark, staged),
    )


def _dates_published_between(publications: Publications, after: int, until: int) -> Column:
    condition = F.lit(False)
    for publication in publications.since("bronze", after):
        if publication.seq <= until and (interval := publication.interval):
            condition = condition | (
                (F.col("landing_date") >= F.lit(interval.start)) & (F.col("landing_date") < F.lit(interval.end))
            )
    return condition


def _differing_rows(now: DataFrame, before: DataFrame) -> DataFrame:
    """Rows of either side that have no equal on the other; a row is known by its date, file, item and hash."""
    columns = ["landing_date", "source_file", "order_item_id", "row_hash", "customer_id", "product_card_id"]
    came = now.select(columns).join(before.select(columns), columns, "left_anti")
    went = before.select(columns).join(now.select(columns), columns, "left_anti")
    return came.unionByName(went).select("order_item_id", "customer_id", "product_card_id")
