"""The task `audit`: the layer's checkpoint on the tables as they would be after publishing (design, section 2)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from spark_jobs.audit.bronze_assets import bronze_assets
from spark_jobs.audit.change import Change
from spark_jobs.audit.checkpoint import run_checkpoint
from spark_jobs.audit.data_docs import render_data_docs
from spark_jobs.audit.gold_assets import gold_assets
from spark_jobs.audit.silver_assets import silver_assets
from spark_jobs.audit.verdict import Verdict, suites_hash
from spark_jobs.bronze.landed_lines import order_items, quarantine
from spark_jobs.builds.gold import SILVER_TABLES, bronze_behind, touched_items
from spark_jobs.builds.inputs import published
from spark_jobs.builds.record import Build, fingerprint
from spark_jobs.builds.silver import SilverInputs, silver_inputs
from spark_jobs.code_version import code_version
from spark_jobs.ops_volume import OpsVolume, verdict_file
from spark_jobs.published_schemas import KEYS
from spark_jobs.publishing.publications import Publications
from spark_jobs.publishing.staging import staged
from spark_jobs.publishing.verdicts import Verdicts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def audit_build(spark: SparkSession, ops: OpsVolume, build: Build) -> Verdict:
    """Judges a build and writes its verdict: Data Docs, the row of ops.verdicts, and the file that the gate reads.

    Raises BuildMissing; what is wrong with the data is in the verdict.
    """
    before = fingerprint(spark, build)
    result = run_checkpoint(build.layer, _ASSETS[build.layer](spark, build), _suite_parameters(build))
    docs = f"data_docs/{build.layer}/{build.build_id}"
    render_data_docs(result, ops.root / docs, title=f"{build.layer} build {build.build_id}, {build.interval}")
    if fingerprint(spark, build) != before:
        raise RuntimeError(f"the staging of {build.layer} build {build.build_id} changed while it was audited")
    verdict = Verdict(
        layer=build.layer,
        build_id=build.build_id,
        job_run_id=build.job_run_id,
        success=result.success,
        interval_start=str(build.interval.start),
        interval_end=str(build.interval.end),
        fingerprint=before,
        statistics=result.statistics,
        suites=suites_hash(build.layer),
        code_version=code_version(),
        data_docs=f"{docs}/index.html",
        failures=result.failures,
        warnings=result.warnings,
        notes=build.notes,
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
        lines = staged(spark, build.staged["bronze.lines"])
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
    if not build.staged and not build.whole:
        # An empty change: nothing below changed since the published version was audited.
        inputs_touched: DataFrame | None = _nothing(spark, "order_item_id", "customer_id", "product_card_id")
    else:
        inputs_touched = _silver_inputs(spark, build).touched
    return silver_assets(
        bronze=_below(spark, build, "bronze.order_items"),
        orders=_change(spark, build, "silver.orders"),
        customers=_change(spark, build, "silver.dim_customers"),
        products=_change(spark, build, "silver.dim_products"),
        touched=inputs_touched,
    )


def _gold(spark: SparkSession, build: Build) -> dict[str, DataFrame]:
    tables = build.parameters.tables
    if build.below is None:
        raise ValueError(f"gold build {build.build_id} does not say from which silver it was built")
    orders, customers, products = (_below(spark, build, table) for table in SILVER_TABLES)
    if not build.staged and not build.whole:
        touched: DataFrame | None = _nothing(spark, "order_item_id")
    else:
        touched = touched_items(spark, tables, build.below, build.below_before)
    return gold_assets(
        bronze=bronze_behind(spark, tables, Publications(spark, tables), build.below),
        orders=orders,
        dim_customers=customers,
        dim_products=products,
        orders_enriched=_change(spark, build, "gold.orders_enriched"),
        customers360=_change(spark, build, "gold.customers360"),
        products360=_change(spark, build, "gold.products360"),
        touched=touched,
    )


_ASSETS = {"bronze": _bronze, "silver": _silver, "gold": _gold}


def _silver_inputs(spark: SparkSession, build: Build) -> SilverInputs:
    tables = build.parameters.tables
    if build.below is None:
        raise ValueError(f"silver build {build.build_id} does not say from which bronze it was built")
    return silver_inputs(spark, tables, Publications(spark, tables), (build.base, build.below, build.below_before))


def _below(spark: SparkSession, build: Build, table: str) -> DataFrame:
    if build.below is None:
        raise ValueError(f"{build.layer} build {build.build_id} does not say from what it was built")
    return published(spark, build.parameters.tables, build.below, table)


def _change(spark: SparkSession, build: Build, table: str) -> Change:
    staged_table = build.staged.get(table)
    before = published(spark, build.parameters.tables, build.base, table) if build.base.seq else None
    changes = staged(spark, staged_table) if staged_table else None
    return Change(before, changes, KEYS[table])


def _nothing(spark: SparkSession, *columns: str) -> DataFrame:
    return spark.range(0).select(*(F.lit(0).cast("bigint").alias(column) for column in columns))
