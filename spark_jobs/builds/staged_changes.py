"""Staging of the layers whose tables are merged by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from spark_jobs.publishing import delta
from spark_jobs.publishing.staging import StagedTable, stage
from spark_jobs.silver.changes import DELETED
from spark_jobs.tables import Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def stage_changes(
    spark: SparkSession, tables: Tables, layer: str, build_id: str, changes: dict[str, DataFrame]
) -> dict[str, StagedTable]:
    """One staging table a published table; none at all for an empty change."""
    return {
        table: stage(spark, tables, table, build_id, frame.coalesce(1) if _is_small(table) else frame)
        for table, frame in changes.items()
        if table.startswith(layer)
    }


def counted(spark: SparkSession, staged: dict[str, StagedTable]) -> dict[str, dict[str, int]]:
    """Of each staged table the number of upserts and deletes."""
    rows = {}
    for table, staged_table in staged.items():
        deletes = (
            delta.at_version(spark, staged_table.name, staged_table.version).where(F.col(DELETED)).count()
            if staged_table.rows
            else 0
        )
        rows[table.partition(".")[2]] = {"upserts": staged_table.rows - deletes, "deletes": deletes}
    return rows


def _is_small(table: str) -> bool:
    return table in ("silver.dim_products", "gold.products360")
