"""Gold: enriched orders of what changed in silver, and both 360 tables (design, section 7)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.audit.change import Change
from spark_jobs.builds.inputs import as_base, newest_below, published, readable
from spark_jobs.builds.record import Base, Build
from spark_jobs.builds.staged_changes import counted
from spark_jobs.gold.customers360 import customers360
from spark_jobs.gold.orders_enriched import orders_enriched
from spark_jobs.gold.products360 import products360
from spark_jobs.parameters import BuildParameters
from spark_jobs.published_schemas import KEYS
from spark_jobs.publishing.publications import Publications
from spark_jobs.publishing.staging import StagedTable, stage
from spark_jobs.publishing.staging import staged as read_staged
from spark_jobs.silver.changes import changed_rows
from spark_jobs.tables import LAYER_TABLES, Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SILVER_TABLES = ("silver.orders", "silver.dim_customers", "silver.dim_products")


def bronze_behind(spark: SparkSession, tables: Tables, publications: Publications, silver: Base) -> DataFrame:
    """bronze.order_items as that silver publication read it."""
    bronze_seq = publications.get("silver", silver.seq).below_seq
    if bronze_seq is None:
        raise LookupError(f"publication {silver.seq} of silver does not say from which bronze it was built")
    return published(spark, tables, as_base(publications.get("bronze", bronze_seq)), "bronze.order_items")


def as_of(bronze: DataFrame) -> date | None:
    """1 day + the greatest landing date that has a row in bronze; None without any row."""
    newest = bronze.agg(F.max("landing_date")).collect()[0][0]
    return newest + timedelta(days=1) if newest else None


def build_gold(spark: SparkSession, parameters: BuildParameters, build_id: str) -> Build:
    """Stages the changes of the three gold tables. Raises BaseMissing."""
    tables = parameters.tables
    publications = Publications(spark, tables)
    base = as_base(publications.newest("gold"))
    below = as_base(newest_below(publications, "gold"))
    before = publications.inputs_of("gold")
    below_before = as_base(before) if before and readable(spark, tables, as_base(before)) else None
    staged: dict[str, StagedTable] = {}
    today = as_of(bronze_behind(spark, tables, publications, below))
    if (
        below_before is None
        or below_before.tables != below.tables
        or as_of(bronze_behind(spark, tables, publications, below_before)) != today
    ):
        orders, customers, products = (published(spark, tables, below, table) for table in SILVER_TABLES)
        items = touched_items(spark, tables, below, below_before)
        before_of = {table: published(spark, tables, base, table) for table in LAYER_TABLES["gold"]}

        def touched(frame: DataFrame) -> DataFrame:
            return frame if items is None else frame.join(F.broadcast(items), "order_item_id", "left_semi")

        def stage_changes(table: str, new: DataFrame, current: DataFrame) -> None:
            changes = changed_rows(new, current, KEYS[table])
            staged[table] = stage(spark, tables, table, build_id, changes)

        enriched = "gold.orders_enriched"
        stage_changes(enriched, orders_enriched(touched(orders), customers, products), touched(before_of[enriched]))
        # Products are counted by the customer's segment at the time of the order, which only the enriched item has.
        all_enriched = Change(before_of[enriched], read_staged(spark, staged[enriched]), KEYS[enriched]).after()
        stage_changes("gold.customers360", customers360(orders, customers, today), before_of["gold.customers360"])
        stage_changes("gold.products360", products360(all_enriched, products, today), before_of["gold.products360"])
    return Build(
        layer="gold",
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


def touched_items(spark: SparkSession, tables: Tables, below: Base, below_before: Base | None) -> DataFrame | None:
    """Keys of the order items that changed in silver, or whose customer or product did; None for all of them."""
    if below_before is None:
        return None
    now = {table: published(spark, tables, below, table) for table in SILVER_TABLES}
    before = {table: published(spark, tables, below_before, table) for table in SILVER_TABLES}
    identity = ["order_item_id", "landing_date", "source_file", "row_hash"]
    orders_now, orders_before = (side["silver.orders"].select(identity) for side in (now, before))
    items = (
        orders_now.join(orders_before, identity, "left_anti")
        .unionByName(orders_before.join(orders_now, identity, "left_anti"))
        .select("order_item_id")
    )
    for table, key, natural_key in (
        ("silver.dim_customers", "customer_key", "customer_id"),
        ("silver.dim_products", "product_key", "product_id"),
    ):
        keys = changed_rows(now[table], before[table], key).select(natural_key).distinct()
        for side in (now, before):
            items = items.unionByName(
                side["silver.orders"].join(F.broadcast(keys), natural_key, "left_semi").select("order_item_id")
            )
    return items.distinct()
