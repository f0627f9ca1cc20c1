"""Silver: derived anew for every key that the bronze dates published since the last build touch (design, section 6).

Where all these dates are later than everything before, as day after day, a key goes on from its published versions:
no row of an earlier date is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.layers.silver.dimensions import dim_customers, dim_products
from spark_jobs.layers.silver.orders import newest_deliveries, orders
from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.inputs import layer_inputs, published, published_tables, rows_gained
from spark_jobs.storage.publications import Publications, published_since
from spark_jobs.storage.staged_changes import changes_build, stage_changes, stage_touched, touched_table
from spark_jobs.tables.names import LAYER_TABLES

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

Derivation = Callable[..., "DataFrame"]

# Of each dimension the column of its natural key in bronze and in the table itself, and how it is made from bronze
# rows, and from those of later dates with the versions that stand.
DIMENSIONS: dict[str, tuple[str, str, Derivation]] = {
    "silver.dim_customers": ("customer_id", "customer_id", dim_customers),
    "silver.dim_products": ("product_card_id", "product_id", dim_products),
}
TOUCHED_KEYS = ("order_item_id", "customer_id", "product_card_id")


def newest_orders(bronze: DataFrame) -> DataFrame:
    """`silver.orders` from all bronze rows of its items."""
    return orders(newest_deliveries(bronze))


def build_silver(spark: SparkSession, parameters: BuildParameters, build_id: str) -> Build:
    """Stages the changes of orders and of both dimensions, and the keys they were looked for. Raises BaseMissing."""
    tables = parameters.tables
    inputs = layer_inputs(spark, tables, "silver")
    bronze = published(spark, tables, inputs.below, "bronze.order_items")
    before = published_tables(spark, tables, inputs.base, LAYER_TABLES["silver"])
    if inputs.below_before is None:
        anew = {table: derive(bronze) for table, (_, _, derive) in DIMENSIONS.items()}
        anew["silver.orders"] = newest_orders(bronze)
        standing = {table: before[table] if table in inputs.base.tables else None for table in anew}
        whole = {table: (anew[table], standing[table]) for table in anew}
        staged = stage_changes(spark, tables, build_id, whole, inputs.below.rows["bronze.order_items"])
        return changes_build("silver", build_id, parameters, inputs, staged)
    was = published(spark, tables, inputs.below_before, "bronze.order_items")
    since = published_since(Publications(spark, tables), inputs.below_before.seq, inputs.below.seq)
    gained = rows_gained(inputs, "bronze.order_items")
    touched = stage_touched(spark, tables, "silver", build_id, _touched(bronze, was, since.dates), gained)
    staged = {touched_table("silver"): touched}
    if touched.table.rows:
        keys = touched.rows
        derived = (_going_on(bronze.where(since.dates), before, keys) if since.are_latest
                   else _anew(bronze, before, keys))  # fmt: skip
        staged |= stage_changes(spark, tables, build_id, derived, touched.table.rows)
    return changes_build("silver", build_id, parameters, inputs, staged)


Derived = dict[str, tuple["DataFrame", "DataFrame"]]


def _anew(bronze: DataFrame, before: dict[str, DataFrame], keys: DataFrame) -> Derived:
    """Of the touched keys what all of their rows give, and what is published."""
    derived = {}
    for table, (source, column, derive) in DIMENSIONS.items():
        new = derive(_of_keys(bronze, keys, source, source))
        derived[table] = new, _of_keys(before[table], keys, source, column)
    items = _of_keys(bronze, keys, "order_item_id", "order_item_id")
    standing = _of_keys(before["silver.orders"], keys, "order_item_id", "order_item_id")
    derived["silver.orders"] = newest_orders(items), standing
    return derived


def _going_on(later: DataFrame, before: dict[str, DataFrame], keys: DataFrame) -> Derived:
    """The same from the rows of later landing dates than any before, of which the touched keys are the keys."""
    derived = {}
    for table, (source, column, derive) in DIMENSIONS.items():
        standing = _of_keys(before[table], keys, source, column)
        derived[table] = derive(later, standing), standing
    # Each delivery is newer than what stands, so nothing of it is to be compared, and nothing goes.
    derived["silver.orders"] = newest_orders(later), before["silver.orders"].where("false")
    return derived


def _of_keys(frame: DataFrame, keys: DataFrame, key: str, column: str) -> DataFrame:
    """The rows of `frame` whose `column` is one of the touched `key`s."""
    return frame.join(F.broadcast(keys.select(F.col(key).alias(column)).distinct()), column, "left_semi")


def _touched(bronze: DataFrame, was: DataFrame, dates: Column) -> DataFrame:
    """TOUCHED_KEYS of the bronze rows of these dates that came, went or differ."""
    now, before = (rows.where(dates).select(*_IDENTITY, *TOUCHED_KEYS[1:]) for rows in (bronze, was))
    came, went = now.join(before, now.columns, "left_anti"), before.join(now, now.columns, "left_anti")
    return came.unionByName(went).select(*TOUCHED_KEYS).distinct()


# By these a row of bronze is known.
_IDENTITY = ("landing_date", "source_file", "order_item_id", "row_hash")
