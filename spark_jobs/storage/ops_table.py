"""Tables of the schema `ops` to which jobs append rows, and from which maintenance removes old ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from spark_jobs.storage.delta import create_table, is_missing

if TYPE_CHECKING:
    from spark_jobs.storage.lakehouse import Lakehouse
    from spark_jobs.tables.spec import TableSpec


@dataclass(frozen=True)
class OpsTable:
    """One such table. `moment` is its column that says when a row belongs, by which rows get old."""

    lakehouse: Lakehouse
    spec: TableSpec
    moment: str

    @property
    def name(self) -> str:
        return self.lakehouse.name(self.spec.name)

    def create(self) -> None:
        create_table(self.lakehouse.spark, self.name, self.spec)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows, and make the table where it is missing. Rows without `moment` get the time of the insertion."""
        given = [column for column in self.spec.schema.fields if column.name in rows[0]]
        values = [tuple(row[column.name] for column in given) for row in rows]
        frame = self.lakehouse.spark.createDataFrame(values, StructType(given))
        if self.moment not in rows[0]:
            frame = frame.withColumn(self.moment, F.current_timestamp())
        try:
            frame.writeTo(self.name).append()
        except PySparkException as error:
            if not is_missing(error):
                raise
            self.create()
            frame.writeTo(self.name).append()

    def remove(self, before: datetime, kept_builds: Collection[str] = ()) -> None:
        """Remove the rows of before a moment, but those of some builds."""
        moment = before.astimezone(UTC).isoformat(sep=" ")
        condition = f"{self.moment} < TIMESTAMP'{moment}'"
        if kept_builds:
            listed = ", ".join(f"'{build_id}'" for build_id in sorted(kept_builds))
            condition += f" AND build_id NOT IN ({listed})"
        self.lakehouse.spark.sql(f"DELETE FROM {self.name} WHERE {condition}").collect()  # noqa: S608
