"""What a build of the layers that are merged by key has staged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.publishing.staging import StagedTable, staged
from spark_jobs.silver.changes import DELETED

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def counted(spark: SparkSession, staged_tables: dict[str, StagedTable]) -> dict[str, dict[str, int]]:
    """Of each staged table the number of upserts and deletes."""
    rows = {}
    for name, table in staged_tables.items():
        deletes = staged(spark, table).where(F.col(DELETED)).count() if table.rows else 0
        rows[name.partition(".")[2]] = {"upserts": table.rows - deletes, "deletes": deletes}
    return rows
