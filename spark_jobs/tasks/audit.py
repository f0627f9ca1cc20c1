"""The task `audit`: the layer's checkpoint on the tables as they would be after publishing (design, section 2)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spark_jobs.layers.bronze.landed_lines import order_items, quarantine
from spark_jobs.layers.bronze.schema import LANDED_LINES
from spark_jobs.layers.registry import KEYS
from spark_jobs.quality.bronze_assets import bronze_assets
from spark_jobs.quality.checkpoint import run_checkpoint
from spark_jobs.quality.data_docs import render_data_docs
from spark_jobs.quality.gold_360_assets import MOVED_COLUMNS, MovedOrders
from spark_jobs.quality.gold_assets import gold_assets, unchanged_gold_assets
from spark_jobs.quality.silver_assets import silver_assets, unchanged_silver_assets
from spark_jobs.quality.verdict import Verdict, suites_hash
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.concurrency import at_once
from spark_jobs.storage.build_record import Build, fingerprint_as_built
from spark_jobs.storage.inputs import as_base, changed_below, published
from spark_jobs.storage.key_filter import Keys
from spark_jobs.storage.local_relation import are_few, at_hand
from spark_jobs.storage.ops_volume import OpsVolume, verdict_file
from spark_jobs.storage.overlay import Change
from spark_jobs.storage.publications import Publications, published_since
from spark_jobs.storage.staged_changes import touched_table
from spark_jobs.storage.staging import staged, staged_at_hand
from spark_jobs.storage.verdicts import Verdicts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def audit_build(spark: SparkSession, ops: OpsVolume, build: Build) -> Verdict:
    """Judges a build and writes its verdict: Data Docs, the row of ops.verdicts, and the file that the gate reads.

    What is wrong with the data is in the verdict.
    """
    # What is read below is the staging as it was built; publish compares this with the staging that it finds.
    audited = fingerprint_as_built(build)
    assets = _ASSETS[build.layer](spark, build)
    result = run_checkpoint(build.layer, assets, _suite_parameters(build), empty_change=build.is_empty)
    docs = f"data_docs/{build.layer}/{build.build_id}"
    render_data_docs(result, ops.root / docs, title=f"{build.layer} build {build.build_id}, {build.interval}")
    verdict = Verdict(
        layer=build.layer,
        build_id=build.build_id,
        job_run_id=build.job_run_id,
        success=result.success,
        interval_start=str(build.interval.start),
        interval_end=str(build.interval.end),
        fingerprint=audited,
        statistics=result.statistics,
        suites=suites_hash(build.layer),
        code_version=code_version(),
        data_docs=f"{docs}/index.html",
        failures=result.failures,
        warnings=result.warnings,
        notes=(*build.notes, f"nothing changed below: {build.layer} stays as it is") if build.is_empty else build.notes,
        rows=build.rows,
        parameters=result.parameters,
    )
    Verdicts(spark, build.parameters.tables).append(verdict)
    ops.write_json(verdict_file(build.layer, build.job_run_id), verdict.as_dict())
    return verdict


def _suite_parameters(build: Build) -> dict[str, Any]:
    if build.layer != "bronze":
        return {}
    return {
        "max_quarantined_share": float(build.parameters.quarantined_percent / Decimal(100)),
        "max_quarantined_lines": build.parameters.quarantined_lines,
    }


def _bronze(spark: SparkSession, build: Build) -> dict[str, DataFrame]:
    if build.staged:
        of_lines = build.staged["bronze.lines"]
        # Great Expectations asks of each row rule by itself, so it looks at the lines some twenty times.
        lines = (staged_at_hand if are_few(of_lines.rows, len(LANDED_LINES)) else staged)(spark, of_lines)
        valid, bad, files = order_items(lines), quarantine(lines), staged(spark, build.staged["bronze.landed_files"])
    else:
        names = ("bronze.order_items", "bronze.quarantine", "bronze.landed_files")
        valid, bad, files = (published(spark, build.parameters.tables, build.base, table) for table in names)
    return bronze_assets(
        valid,
        bad,
        files,
        build.interval.start,
        build.interval.end,
        [day for day in build.interval.dates() if str(day) in build.missing_dates],
    )


def _silver(spark: SparkSession, build: Build) -> dict[str, DataFrame]:
    bronze, orders = _below(spark, build, "bronze.order_items"), _change(spark, build, "silver.orders")
    delivered = None
    if build.below is not None and build.below_before is not None:
        publications = Publications(spark, build.parameters.tables)
        since = published_since(publications, build.below_before.seq, build.below.seq)
        before = published(spark, build.parameters.tables, build.below_before, "bronze.order_items")
        items = [rows.where(since.dates).select("order_item_id") for rows in (bronze, before)]
        delivered = items[0].unionByName(items[1]).distinct()
        if since.are_latest:  # the newest delivery of each of these items, and of all touched keys, is among them
            bronze = bronze.where(since.dates)
    if build.is_empty:
        return unchanged_silver_assets(bronze=bronze, orders=orders, delivered=delivered)
    customers, products, touched = at_once(
        lambda: _change(spark, build, "silver.dim_customers"),
        lambda: _change(spark, build, "silver.dim_products"),
        lambda: _touched(spark, build),
    )
    return silver_assets(
        bronze=bronze, orders=orders, customers=customers, products=products, touched=touched, delivered=delivered
    )


def _gold(spark: SparkSession, build: Build) -> dict[str, DataFrame]:
    bronze, orders, orders_enriched, customers360 = at_once(
        lambda: _bronze_behind(spark, build),
        lambda: _below(spark, build, "silver.orders"),
        lambda: _change(spark, build, "gold.orders_enriched"),
        lambda: _change(spark, build, "gold.customers360"),
    )
    # None where all items are judged.
    changed = (
        None
        if build.below_before is None
        else at_hand(changed_below(spark, build.parameters.tables, build, "silver.orders", "order_item_id"))
    )
    if build.is_empty:
        return unchanged_gold_assets(
            bronze=bronze,
            orders=orders,
            orders_enriched=orders_enriched,
            customers360=customers360,
            changed=changed,
        )
    dim_customers, dim_products, products360, product_totals, touched, moved = at_once(
        lambda: _below(spark, build, "silver.dim_customers"),
        lambda: _below(spark, build, "silver.dim_products"),
        lambda: _change(spark, build, "gold.products360"),
        lambda: _change(spark, build, "gold.product_totals"),
        lambda: _touched(spark, build),
        lambda: _moved_orders(spark, build, orders, changed),
    )
    return gold_assets(
        bronze=bronze,
        orders=orders,
        dim_customers=dim_customers,
        dim_products=dim_products,
        orders_enriched=orders_enriched,
        customers360=customers360,
        products360=products360,
        product_totals=product_totals,
        touched=touched,
        changed=changed,
        moved=moved,
    )


_ASSETS = {"bronze": _bronze, "silver": _silver, "gold": _gold}


def _touched(spark: SparkSession, build: Build) -> DataFrame | None:
    """The keys to be judged one by one: those that the build derived anew; None for all."""
    return None if build.whole else staged_at_hand(spark, build.staged[touched_table(build.layer)])


def _moved_orders(
    spark: SparkSession, build: Build, orders: DataFrame, changed: DataFrame | None
) -> MovedOrders | None:
    if build.below_before is None or changed is None:
        return None
    tables = build.parameters.tables
    before, items = published(spark, tables, build.below_before, "silver.orders"), Keys(changed, "order_item_id")
    were, are = (items.rows(frame).select("order_id", "customer_id") for frame in (before, orders))
    both = at_hand(were.unionByName(are))
    moved = Keys(both.select("order_id").distinct(), "order_id")
    customers = changed_below(spark, tables, build, "silver.dim_customers", "customer_id")
    rows = at_once(
        lambda: at_hand(moved.rows(before).select(*MOVED_COLUMNS)),
        lambda: at_hand(moved.rows(orders).select(*MOVED_COLUMNS)),
        lambda: at_hand(both.select("customer_id").unionByName(customers).distinct()),
    )
    return MovedOrders(*rows)


def _bronze_behind(spark: SparkSession, build: Build) -> DataFrame:
    """bronze.order_items as the silver that a gold build read had read it."""
    tables = build.parameters.tables
    publications = Publications(spark, tables)
    if build.below is None or (bronze_seq := publications.get("silver", build.below.seq).below_seq) is None:
        raise ValueError(f"gold build {build.build_id} does not say from which bronze its silver was built")
    return published(spark, tables, as_base(publications.get("bronze", bronze_seq)), "bronze.order_items")


def _below(spark: SparkSession, build: Build, table: str) -> DataFrame:
    if build.below is None:
        raise ValueError(f"{build.layer} build {build.build_id} does not say from what it was built")
    return published(spark, build.parameters.tables, build.below, table)


def _change(spark: SparkSession, build: Build, table: str) -> Change:
    staged_table = build.staged.get(table)
    before = published(spark, build.parameters.tables, build.base, table) if build.base.seq else None
    changes = staged_at_hand(spark, staged_table) if staged_table else None
    return Change(before, changes, KEYS[table], replaces=staged_table is not None and staged_table.replaces)
