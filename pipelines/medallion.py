"""The medallion as a declarative pipeline: the same derivations as the jobs', without their gates and publications.

Tables go to the pipeline's own schema, under their names without a layer. What differs from the published tables, and
when they are equal, is in docs/declarative-pipeline.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pyspark import pipelines as dp
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.layers.bronze import landed_lines as bronze
from spark_jobs.layers.bronze.bronze_tables import LANDED_FILES, ORDER_ITEMS, QUARANTINE
from spark_jobs.layers.bronze.row_rules import bronze_row_rules
from spark_jobs.layers.registry import TABLES
from spark_jobs.layers.silver import scd2
from spark_jobs.layers.silver.dimensions import DIMENSIONS, Dimension
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.secret_store import secret
from spark_jobs.tables.spec import TableSpec
from spark_jobs.tasks import declarative

spark = SparkSession.active()
settings = declarative.PipelineSettings.of(spark)
landing = declarative.all_landed(settings)
rules = bronze_row_rules()
stamp = bronze.BuildStamp("pipeline", "0", code_version(), datetime.now(UTC))


def current(name: str) -> DataFrame:
    """Read a table of this pipeline as this update makes it, through a view that only this update has.

    Below operators such as withColumn, Spark Connect resolves a name before the pipeline does: the table's own name
    would be the table that an earlier update left.
    """
    return spark.table(f"current_{name}")


def read(table: str) -> DataFrame:
    return current(TABLES[table].short_name)


def show_as_current(name: str) -> None:
    """Define the view of a table that `current` reads."""
    dp.temporary_view(name=f"current_{name}")(lambda: spark.table(name))


@dp.table(name="judged_lines", comment="Landed lines, each judged by itself, masked: one row per line")
def judged_lines() -> DataFrame:
    lines = declarative.landing_stream(spark, settings, landing)
    judged = bronze.judged_lines(lines, landing.files, rules, secret(settings.email_secret), settings.source_format)
    return bronze.masked_lines(judged)


@dp.materialized_view(name="landed_lines", comment="Landed lines, valid or not: one row per line")
def landed_lines() -> DataFrame:
    return bronze.without_repetitions(current("judged_lines"), stamp)


expect_all_or_drop = getattr(dp, "expect_all_or_drop", None)  # open Spark has no expectations
if expect_all_or_drop:

    @dp.temporary_view(name="valid_lines")
    @expect_all_or_drop(declarative.expectations(rules))
    def valid_lines() -> DataFrame:
        return current("landed_lines")


@dp.materialized_view(name=ORDER_ITEMS.short_name, comment=ORDER_ITEMS.comment)
def order_items() -> DataFrame:
    if expect_all_or_drop:
        return spark.table("valid_lines").select(*ORDER_ITEMS.columns)
    return bronze.order_items(current("landed_lines"))


@dp.materialized_view(name=QUARANTINE.short_name, comment=QUARANTINE.comment)
def quarantine() -> DataFrame:
    return bronze.quarantine(current("landed_lines"))


@dp.materialized_view(name=LANDED_FILES.short_name, comment=LANDED_FILES.comment)
def landed_files() -> DataFrame:
    rows = [(file.landing_date, file.path, file.lines, file.size) for file in landing.files]
    return spark.createDataFrame(rows, LANDED_FILES.schema)


def as_of() -> Column:
    """Return the day after the greatest landing date with a row in bronze."""
    return read(ORDER_ITEMS.name).agg(F.date_add(F.max("landing_date"), 1)).scalar()


def define(spec: TableSpec, derive: Callable[..., DataFrame]) -> None:
    def rows() -> DataFrame:
        more = [as_of()] if spec.layer == "gold" else []
        return derive({table: read(table) for table in spec.staged_from}, *more)

    dp.materialized_view(name=spec.short_name, comment=spec.comment)(rows)


def arriving_order_items() -> DataFrame:
    """Stream the order items as their lines arrive: AUTO CDC reads only streams, and only judged_lines is one."""
    arriving = spark.readStream.table("judged_lines").select("source_file", "order_item_id")
    return arriving.join(read(ORDER_ITEMS.name), ["source_file", "order_item_id"])


def define_by_auto_cdc(dimension: Dimension) -> None:
    """Define a dimension whose versions AUTO CDC keeps: its rows as they arrive, the versions, and the dimension."""
    name = dimension.spec.short_name
    rows, versions = f"{name}_rows", f"{name}_versions"
    dp.temporary_view(name=rows)(lambda: scd2.with_effective_at(dimension.rows(arriving_order_items())))
    dp.create_streaming_table(name=versions, comment=f"Versions of {name} that AUTO CDC keeps")
    declarative.auto_cdc_flow(dp)(
        target=versions,
        source=rows,
        keys=[dimension.natural_key],
        sequence_by=F.struct(*scd2.ORDER),
        except_column_list=list(scd2.ORDER),
        stored_as_scd_type=2,
        track_history_column_list=list(dimension.tracked),
    )
    show_as_current(versions)
    dp.materialized_view(name=name, comment=dimension.spec.comment)(
        lambda: declarative.versions_of_auto_cdc(dimension, current(versions))
    )


by_auto_cdc = {dimension.spec.name: dimension for dimension in DIMENSIONS} if settings.auto_cdc else {}
for derived in TABLES.values():
    if derived.name in by_auto_cdc:
        define_by_auto_cdc(by_auto_cdc[derived.name])
    elif derived.derive:
        define(derived, derived.derive)
for table in ("judged_lines", "landed_lines", *(spec.short_name for spec in TABLES.values())):
    show_as_current(table)
