"""`ops.anomalies`: the anomalies that audits have found."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, DecimalType, StringType, StructType, TimestampType

from spark_jobs.storage.delta import create_table, is_missing
from spark_jobs.tables.spec import TableSpec, Write, column

if TYPE_CHECKING:
    from spark_jobs.storage.lakehouse import Lakehouse

_VALUE = DecimalType(24, 6)
ANOMALIES = TableSpec(
    name="ops.anomalies",
    comment="Metrics outside of their bands: one row per anomaly that an audit found",
    grain="one row per anomaly that an audit found",
    schema=StructType(
        [
            column("layer", StringType(), "Layer whose gate shows it", nullable=False),
            column("landing_date", DateType(), "Landing date that was measured", nullable=False),
            column("metric", StringType(), "Metric of bronze.metrics", nullable=False),
            column("dimension", StringType(), "Its market, reason or column; empty for the whole date", nullable=False),
            column("value", _VALUE, "What was measured", nullable=False),
            column("lower", _VALUE, "Least value that is no anomaly; NULL where none is too small"),
            column("upper", _VALUE, "Greatest value that is no anomaly; NULL where none is too great"),
            column("expected", _VALUE, "What was expected", nullable=False),
            column("severity", StringType(), "warning, or critical where a setting says so", nullable=False),
            column("message", StringType(), "The same in a sentence", nullable=False),
            column("build_id", StringType(), "Build that was audited", nullable=False),
            column("job_run_id", StringType(), "Job run of the build", nullable=False),
            column("found_at", TimestampType(), "When the row was inserted", nullable=False),
        ]
    ),
    natural_key=("layer", "landing_date", "metric", "dimension", "build_id", "found_at"),
    write=Write.APPEND,
    statistics_columns=("landing_date", "layer"),
)


class AnomalyLog:
    """Appends rows of ops.anomalies."""

    def __init__(self, lakehouse: Lakehouse) -> None:
        self._spark = lakehouse.spark
        self._name = lakehouse.name(ANOMALIES.name)

    def create(self) -> None:
        create_table(self._spark, self._name, ANOMALIES)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append anomalies, all columns of each but `found_at`."""
        schema = StructType([column for column in ANOMALIES.schema.fields if column.name != "found_at"])
        values = [tuple(row[name] for name in schema.names) for row in rows]
        frame = self._spark.createDataFrame(values, schema).withColumn("found_at", F.current_timestamp())
        try:
            frame.writeTo(self._name).append()
        except PySparkException as error:
            if not is_missing(error):
                raise
            self.create()
            frame.writeTo(self._name).append()

    def remove(self, before: datetime, kept: Collection[str]) -> None:
        """Remove the rows inserted before a moment, but those of the builds `kept`."""
        listed = ", ".join(f"'{build_id}'" for build_id in sorted(kept)) or "''"
        moment = before.astimezone(UTC).isoformat(sep=" ")
        self._spark.sql(
            f"DELETE FROM {self._name} WHERE found_at < TIMESTAMP'{moment}' AND build_id NOT IN ({listed})"  # noqa: S608
        ).collect()
