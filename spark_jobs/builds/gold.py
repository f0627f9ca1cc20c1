"""Gold: enriched orders of what changed in silver, and both 360 tables (design, section 7)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.audit.change import Change
from spark_jobs.builds.inputs import LayerInputs, layer_inputs, published
from spark_jobs.builds.record import Build
from spark_jobs.builds.staged_changes import changes_build, stage_changes, stage_touched
from spark_jobs.gold.customers360 import customers360
from spark_jobs.gold.orders_enriched import changed_spans, orders_enriched, within_spans
from spark_jobs.gold.products360 import products360
from spark_jobs.keys import of_keys
from spark_jobs.parameters import BuildParameters
from spark_jobs.published_schemas import KEYS
from spark_jobs.publishing import delta
from spark_jobs.publishing.staging import StagedTable
from spark_jobs.publishing.staging import staged as read_staged
from spark_jobs.tables import LAYER_TABLES, Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SILVER_TABLES = ("silver.orders", "silver.dim_customers", "silver.dim_products")


def as_of(orders: DataFrame) -> date | None:
    """1 day + the greatest landing date that has a row in bronze; None without any row.

    An item's newest delivery is the one that landed last, so it is the greatest landing date of silver.orders too.
    """
    newest = orders.agg(F.max("landing_date")).collect()[0][0]
    return newest + timedelta(days=1) if newest else None


def build_gold(spark: SparkSession, parameters: BuildParameters, build_id: str) -> Build:
    """Stages the changes of the three gold tables, and the items they were looked for. Raises BaseMissing."""
    tables = parameters.tables
    inputs = layer_inputs(spark, tables, "gold")
    staged: dict[str, StagedTable] = {}
    if inputs.below_before is None or inputs.below_before.tables != inputs.below.tables:
        orders, customers, products = (published(spark, tables, inputs.below, table) for table in SILVER_TABLES)
        before = {table: published(spark, tables, inputs.base, table) for table in LAYER_TABLES["gold"]}
        enriched, items = "gold.orders_enriched", _touched_items(spark, tables, inputs)
        new, current = orders, before[enriched]
        if items is not None:
            staged |= stage_touched(spark, tables, "gold", build_id, items)
            if not staged["gold.touched"].rows and _same_dimensions(inputs):
                return changes_build("gold", build_id, parameters, inputs, staged)
            keys = read_staged(spark, staged["gold.touched"])
            new, current = (of_keys(frame, keys, "order_item_id") for frame in (new, current))
        new = orders_enriched(new, customers, products)
        staged |= stage_changes(spark, tables, build_id, {enriched: (new, current)})
        # Products are counted by the customer's segment at the time of the order, which only the enriched item has.
        all_enriched = Change(before[enriched], read_staged(spark, staged[enriched]), KEYS[enriched]).after()
        today = as_of(orders)
        whole = {
            "gold.customers360": customers360(orders, customers, today),
            "gold.products360": products360(all_enriched, products, today),
        }
        staged |= stage_changes(spark, tables, build_id, {table: (new, before[table]) for table, new in whole.items()})
    return changes_build("gold", build_id, parameters, inputs, staged)


def _same_dimensions(inputs: LayerInputs) -> bool:
    """Whether neither dimension was committed to: a customer may change, and none of the orders with it."""
    before, now = inputs.below_before, inputs.below
    return before is not None and all(before.tables[table] == now.tables[table] for table in SILVER_TABLES[1:])


def _touched_items(spark: SparkSession, tables: Tables, inputs: LayerInputs) -> DataFrame | None:
    """Keys of the items that changed in silver, or whose customer or product, as it was then, did; None for all."""
    if inputs.below_before is None:
        return None
    before, now = inputs.below_before, inputs.below

    def changed(table: str, key: str) -> DataFrame:
        return delta.changed_keys(spark, tables.name(table), before.tables[table], now.tables[table], key)

    orders = published(spark, tables, now, "silver.orders").select(
        "order_item_id", "customer_id", "product_id", "order_date"
    )
    items = changed("silver.orders", "order_item_id")
    for table, natural in (("silver.dim_customers", "customer_id"), ("silver.dim_products", "product_id")):
        keys = F.broadcast(changed(table, natural))
        old, new = (published(spark, tables, base, table).join(keys, natural, "left_semi") for base in (before, now))
        spans = changed_spans(old, new, natural, KEYS[table])
        items = items.unionByName(within_spans(orders, spans, natural).select("order_item_id"))
    return items.distinct()
