"""`ops.anomalies`: the anomalies that audits have found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql.types import DateType, DecimalType, StringType, StructType, TimestampType

from spark_jobs.storage.ops_table import OpsTable
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


def anomaly_log(lakehouse: Lakehouse) -> OpsTable:
    return OpsTable(lakehouse, ANOMALIES, "found_at")
