"""What a task works on: the Spark session, the names and specifications of the tables, and the volumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spark_jobs.runtime.table_names import TableNames
from spark_jobs.storage.ops_volume import OpsVolume
from spark_jobs.tables.spec import TableSpec

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Lakehouse:
    """One lakehouse, as a task sees it."""

    spark: SparkSession
    names: TableNames
    ops: OpsVolume
    staging_root: Path
    """Folder of the staging volume: <build id>/<table>/*.parquet."""
    tables: Mapping[str, TableSpec]
    """The registry."""

    def tables_of(self, layer: str) -> tuple[TableSpec, ...]:
        """Return the tables of a layer, in the order in which they are built and committed."""
        return tuple(spec for spec in self.tables.values() if spec.layer == layer)

    def name(self, table: str) -> str:
        """Return the full name of a table, such as "silver.orders"."""
        return self.names.table(table)
