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


def expecting(query: object) -> object:
    """Count the lines that break each row rule, where the platform has expectations: they drop none."""
    expect_all = getattr(dp, "expect_all", None)
    return expect_all(declarative.expectations(rules))(query) if expect_all else query


def landed_lines() -> DataFrame:
    return bronze.without_repetitions(current("judged_lines"), stamp)


dp.materialized_view(name="landed_lines", comment="Landed lines, valid or not: one row per line")(
    expecting(landed_lines)
)


@dp.materialized_view(name=ORDER_ITEMS.short_name, comment=ORDER_ITEMS.comment)
def order_items() -> DataFrame:
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


for derived in TABLES.values():
    if derived.derive:
        define(derived, derived.derive)
for table in ("judged_lines", "landed_lines", *(spec.short_name for spec in TABLES.values())):
    show_as_current(table)
