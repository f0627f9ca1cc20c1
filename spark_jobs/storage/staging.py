"""Staging tables: the changes of one build, which nobody but its audit and its publish reads (design, section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from spark_jobs.runtime.concurrency import at_once
from spark_jobs.storage import delta
from spark_jobs.storage.local_relation import at_hand, fetched
from spark_jobs.tables.names import Tables

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


@dataclass(frozen=True)
class StagedTable:
    """A staging table as it was when the build had written it."""

    name: str
    table_id: str
    version: int
    rows: int
    counts: dict[str, int] = field(default_factory=dict)
    """How many of the rows are of a kind, by the names that the build gave them."""
    replaces: bool = False
    """Whether these are all rows of the table, which take the place of those that it has."""

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> StagedTable:
        return cls(**fields)


@dataclass(frozen=True)
class Staging:
    """A staging table that was just written; `fetched_rows` are its rows where they were fetched."""

    spark: SparkSession
    table: StagedTable
    fetched_rows: DataFrame | None

    @cached_property
    def rows(self) -> DataFrame:
        """At hand where they are few."""
        return staged_at_hand(self.spark, self.table) if self.fetched_rows is None else self.fetched_rows


def stage(
    spark: SparkSession,
    tables: Tables,
    table: str,
    build_id: str,
    content: DataFrame,
    kinds: Mapping[str, Column] | None = None,
    *,
    few: bool = False,
    replaces: bool = False,
) -> Staging:
    """Writes the changes of one table, and counts them: all, and those for which each of `kinds` holds.

    Where `few` rows are expected, they are fetched, and what was fetched is written: neither counting them nor going
    on from them then takes another look at the table.
    A build id is never used twice: an existing staging table is refused.
    """
    name = tables.staging(table, build_id)
    kinds = kinds or {}
    rows, known = fetched(content) if few else (content, None)
    delta.create_schema(spark, tables.schema("staging"))
    # All of a staging table is read, so nothing is ever skipped by statistics.
    writer = (content if known is None else rows.coalesce(1)).write.format("delta").mode("error")
    writer.option("delta.dataSkippingNumIndexedCols", 0).saveAsTable(name)
    first = 0  # A table that is made by its first commit.
    written = delta.at_version(spark, name, first) if known is None else rows
    counted = written.agg(
        F.count(F.lit(1)).alias("rows"), *(F.count_if(kind).alias(name) for name, kind in kinds.items())
    )
    identity, counts = at_once(lambda: delta.table_id(spark, name), lambda: counted.collect()[0].asDict())
    if identity is None:
        raise LookupError(f"the staging table {name} is gone as soon as it was written: was it dropped by hand?")
    as_built = StagedTable(name, identity, first, counts.pop("rows"), counts, replaces)
    return Staging(spark, as_built, None if known is None else rows)


def staged(spark: SparkSession, table: StagedTable) -> DataFrame:
    """The staged rows, at the version that the build wrote."""
    return delta.at_version(spark, table.name, table.version)


def staged_at_hand(spark: SparkSession, table: StagedTable) -> DataFrame:
    """The same, at hand where they are few."""
    return at_hand(staged(spark, table), table.rows)


def drop(spark: SparkSession, staged_tables: dict[str, StagedTable]) -> None:
    for table in staged_tables.values():
        spark.sql(f"DROP TABLE IF EXISTS {table.name}")
