"""Staging tables: the changes of one build, which nobody but its audit and its publish reads (design, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_jobs.errors import BuildMissing
from spark_jobs.publishing import delta
from spark_jobs.tables import Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class StagedTable:
    """A staging table as it was when the build had written it."""

    name: str
    table_id: str
    version: int
    rows: int

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> StagedTable:
        return cls(**fields)


def stage(spark: SparkSession, tables: Tables, table: str, build_id: str, content: DataFrame) -> StagedTable:
    """Writes the changes of one table. A build id is never used twice: an existing staging table is refused."""
    name = tables.staging(table, build_id)
    delta.create_schema(spark, tables.schema("staging"))
    content.write.format("delta").mode("error").saveAsTable(name)
    head = delta.head(spark, name)
    return StagedTable(name, head.table_id, head.version, spark.table(name).count())


def staged(spark: SparkSession, table: StagedTable) -> DataFrame:
    """The staged rows, at the version that the build wrote. Raises BuildMissing."""
    if not delta.exists(spark, table.name):
        raise BuildMissing(f"the staging table {table.name} is gone: run the build again")
    return delta.at_version(spark, table.name, table.version)


def drop(spark: SparkSession, staged_tables: dict[str, StagedTable]) -> None:
    for table in staged_tables.values():
        spark.sql(f"DROP TABLE IF EXISTS {table.name}")
