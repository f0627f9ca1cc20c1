"""Gold: enriched orders of what changed in silver, and the customers and products whom that affects (section 7)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.layers.gold.customers360 import customer_measures, scored_customers
from spark_jobs.layers.gold.orders_enriched import changed_spans, orders_enriched, within_spans
from spark_jobs.layers.gold.products360 import TOTALLED, judged_products, moved_totals, product_totals, recent_units
from spark_jobs.layers.registry import KEYS
from spark_jobs.runtime.concurrency import at_once
from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.changes import DELETED
from spark_jobs.storage.inputs import LayerInputs, changed_below, layer_inputs, published, published_tables, rows_gained
from spark_jobs.storage.key_filter import Keys
from spark_jobs.storage.local_relation import at_hand
from spark_jobs.storage.overlay import Change
from spark_jobs.storage.staged_changes import changes_build, stage_changes, stage_touched, stage_whole, touched_table
from spark_jobs.storage.staging import Staging
from spark_jobs.tables.names import Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DIMENSIONS = {"silver.dim_customers": "customer_id", "silver.dim_products": "product_id"}
SILVER_TABLES = ("silver.orders", *DIMENSIONS)
ENRICHED, TOTALS = "gold.orders_enriched", "gold.product_totals"
CUSTOMERS360, PRODUCTS360 = "gold.customers360", "gold.products360"
STANDING_TABLES = (ENRICHED, TOTALS, CUSTOMERS360)
"""From these, as published, a build goes on; products360 is made from the totals alone."""


def as_of(orders: DataFrame) -> date | None:
    """1 day + the greatest landing date that has a row in bronze; None without any row.

    An item's newest delivery is the one that landed last, so it is the greatest landing date of silver.orders too.
    """
    newest = orders.agg(F.max("landing_date")).collect()[0][0]
    return newest + timedelta(days=1) if newest else None


def build_gold(spark: SparkSession, parameters: BuildParameters, build_id: str) -> Build:
    """Stages the changes of the gold tables, and the items they were looked for. Raises BaseMissing."""
    tables = parameters.tables
    inputs = layer_inputs(spark, tables, "gold")
    staged: dict[str, Staging] = {}
    if inputs.below_before is not None and inputs.below_before.tables == inputs.below.tables:
        return changes_build("gold", build_id, parameters, inputs, staged)
    silver, before = at_once(
        lambda: published_tables(spark, tables, inputs.below, SILVER_TABLES),
        lambda: published_tables(spark, tables, inputs.base, STANDING_TABLES),
    )
    orders, customers, products = silver.values()

    def changed(table: str, new: DataFrame, current: DataFrame, expected_rows: int) -> Change:
        standing = current if table in inputs.base.tables else None
        staged.update(stage_changes(spark, tables, build_id, {table: (new, standing)}, expected_rows))
        return Change(before[table], staged[table].rows, KEYS[table], replaces=staged[table].table.replaces)

    def replaced(table: str, new: DataFrame, dimension: str) -> DataFrame:
        staged[table] = stage_whole(spark, tables, build_id, table, new, inputs.below.rows[dimension])
        return staged[table].rows

    items = _touched_items(spark, tables, inputs, silver)
    if items is None:
        anew = orders_enriched(orders, customers, products)
        enriched = changed(ENRICHED, anew, before[ENRICHED], inputs.below.rows["silver.orders"])
        totals, measures = product_totals(enriched.after()), customer_measures(orders, customers)
    else:
        touched = stage_touched(spark, tables, "gold", build_id, items, rows_gained(inputs, "silver.orders"))
        staged[touched_table("gold")] = touched
        if not touched.table.rows and not _moved_dimensions(inputs):
            return changes_build("gold", build_id, parameters, inputs, staged)
        keys = Keys(touched.rows, "order_item_id")
        new, current = keys.rows(orders), keys.rows(before[ENRICHED])
        anew = orders_enriched(new, *_versions_of(new, customers, products))
        enriched = changed(ENRICHED, anew, current, touched.table.rows)
        changed_customers = changed_below(spark, tables, inputs, "silver.dim_customers", "customer_id")
        totals, measures = at_once(
            lambda: _totals_of_moved_orders(enriched, before),
            lambda: _measures_of_affected_customers(
                enriched, orders, customers, before[CUSTOMERS360], changed_customers
            ),
        )
    today = as_of(orders)

    def of_products() -> None:
        # Products are counted by the customer's segment at the time of the order, which only the enriched item has.
        staged_totals, recent = at_once(
            lambda: replaced(TOTALS, totals, "silver.dim_products").drop(DELETED),
            lambda: at_hand(recent_units(enriched.after(), today)),
        )
        judged = judged_products(staged_totals, recent, products)
        replaced(PRODUCTS360, judged, "silver.dim_products")

    at_once(of_products, lambda: replaced(CUSTOMERS360, scored_customers(measures, today), "silver.dim_customers"))
    return changes_build("gold", build_id, parameters, inputs, staged)


def _versions_of(items: DataFrame, customers: DataFrame, products: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The versions of these items' customers and products: few, where the dimensions are long."""
    named = at_hand(items.select("customer_id", "product_id").distinct())
    of_customers, of_products = (
        dimension.join(F.broadcast(named.select(natural).distinct()), natural, "left_semi")
        for dimension, natural in ((customers, "customer_id"), (products, "product_id"))
    )
    return of_customers, of_products


def _totals_of_moved_orders(enriched: Change, before: dict[str, DataFrame]) -> DataFrame:
    """`gold.product_totals`, from the published ones and the orders of which an item came, went or differs."""
    moved = Keys(enriched.moved("order_id"), "order_id")
    others = before[ENRICHED].join(F.broadcast(moved.frame), "order_id", "left_anti")
    sides = (before[ENRICHED], enriched.after())
    were, are = at_once(*(lambda f=frame: at_hand(moved.rows(f).select(*TOTALLED)) for frame in sides))
    return moved_totals(before[TOTALS], were, are, others)


def _measures_of_affected_customers(
    enriched: Change, orders: DataFrame, dim_customers: DataFrame, published360: DataFrame, changed: DataFrame
) -> DataFrame:
    """The measures behind `gold.customers360`: anew where an order or the customer changed, else as published."""
    affected = F.broadcast(at_hand(enriched.moved("customer_id").unionByName(changed).distinct()))
    theirs = (frame.join(affected, "customer_id", "left_semi") for frame in (orders, dim_customers))
    # Scores look at the measures twice, for the thresholds and for the rows: all orders are read once for both.
    anew = at_hand(customer_measures(*theirs))
    return published360.select(anew.columns).join(affected, "customer_id", "left_anti").unionByName(anew)


def _moved_dimensions(inputs: LayerInputs) -> list[str]:
    """The dimensions that were committed to: a customer may change, and none of the orders with it."""
    before, now = inputs.below_before, inputs.below
    return [table for table in DIMENSIONS if before is None or before.tables[table] != now.tables[table]]


def _touched_items(
    spark: SparkSession, tables: Tables, inputs: LayerInputs, silver: dict[str, DataFrame]
) -> DataFrame | None:
    """Keys of the items that changed in silver, or whose customer or product, as it was then, did; None for all."""
    if inputs.below_before is None:
        return None
    orders = silver["silver.orders"].select("order_item_id", "customer_id", "product_id", "order_date")
    items = changed_below(spark, tables, inputs, "silver.orders", "order_item_id")
    for table in _moved_dimensions(inputs):
        natural = DIMENSIONS[table]
        keys = F.broadcast(at_hand(changed_below(spark, tables, inputs, table, natural)))
        was = published(spark, tables, inputs.below_before, table)
        old, new = (rows.join(keys, natural, "left_semi") for rows in (was, silver[table]))
        spans = at_hand(changed_spans(old, new, natural, KEYS[table]))
        items = items.unionByName(within_spans(orders, spans, natural).select("order_item_id"))
    return items.distinct()
