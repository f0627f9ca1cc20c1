"""Silver: derived anew for every key that the bronze dates published since the last build touch (design, section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.builds.inputs import LayerInputs, layer_inputs, published
from spark_jobs.builds.record import Build
from spark_jobs.builds.staged_changes import changes_build, stage_changes, stage_touched
from spark_jobs.parameters import BuildParameters
from spark_jobs.publishing.publications import Publications
from spark_jobs.publishing.staging import StagedTable
from spark_jobs.publishing.staging import staged as read_staged
from spark_jobs.silver.dimensions import dim_customers, dim_products
from spark_jobs.silver.orders import newest_deliveries, orders
from spark_jobs.tables import Tables

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

Derivation = Callable[["DataFrame"], "DataFrame"]

# Of each table the column of its natural key in bronze and in the table itself, and how it is made from bronze rows.
DERIVATIONS: dict[str, tuple[str, str, Derivation]] = {
    "silver.dim_customers": ("customer_id", "customer_id", dim_customers),
    "silver.dim_products": ("product_card_id", "product_id", dim_products),
    "silver.orders": ("order_item_id", "order_item_id", lambda rows: orders(newest_deliveries(rows))),
}
TOUCHED_KEYS = ("order_item_id", "customer_id", "product_card_id")


def build_silver(spark: SparkSession, parameters: BuildParameters, build_id: str) -> Build:
    """Stages the changes of orders and of both dimensions, and the keys they were looked for. Raises BaseMissing."""
    tables = parameters.tables
    inputs = layer_inputs(spark, tables, "silver")
    staged: dict[str, StagedTable] = {}
    keys: DataFrame | None = None
    touched = _touched(spark, tables, inputs)
    if touched is not None:
        staged = stage_touched(spark, tables, "silver", build_id, touched)
        keys = read_staged(spark, staged["silver.touched"])
    if keys is None or staged["silver.touched"].rows:
        bronze = published(spark, tables, inputs.below, "bronze.order_items")
        derived = {}
        for table, (source, column, derive) in DERIVATIONS.items():
            new = derive(_of_keys(bronze, keys, source, source))
            derived[table] = new, _of_keys(published(spark, tables, inputs.base, table), keys, source, column)
        staged |= stage_changes(spark, tables, build_id, derived)
    return changes_build("silver", build_id, parameters, inputs, staged)


def _of_keys(frame: DataFrame, keys: DataFrame | None, key: str, column: str) -> DataFrame:
    """The rows of `frame` whose `column` is one of the touched `key`s; all rows where everything is derived."""
    if keys is None:
        return frame
    return frame.join(F.broadcast(keys.select(F.col(key).alias(column)).distinct()), column, "left_semi")


def _touched(spark: SparkSession, tables: Tables, inputs: LayerInputs) -> DataFrame | None:
    """TOUCHED_KEYS of the bronze rows that came, went or differ; None where everything is derived anew."""
    if inputs.below_before is None:
        return None
    dates = _dates_published_between(Publications(spark, tables), inputs.below_before.seq, inputs.below.seq)
    now, before = (
        published(spark, tables, base, "bronze.order_items").where(dates).select(*_IDENTITY, *TOUCHED_KEYS[1:])
        for base in (inputs.below, inputs.below_before)
    )
    came, went = now.join(before, now.columns, "left_anti"), before.join(now, now.columns, "left_anti")
    return came.unionByName(went).select(*TOUCHED_KEYS).distinct()


# By these a row of bronze is known.
_IDENTITY = ("landing_date", "source_file", "order_item_id", "row_hash")


def _dates_published_between(publications: Publications, after: int, until: int) -> Column:
    condition = F.lit(False)
    if after == until:
        return condition
    for publication in publications.since("bronze", after):
        if publication.seq <= until and (interval := publication.interval):
            condition = condition | (
                (F.col("landing_date") >= F.lit(interval.start)) & (F.col("landing_date") < F.lit(interval.end))
            )
    return condition
