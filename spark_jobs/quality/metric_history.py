"""The metrics that a build stages, judged by those that are published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType, StructType

from spark_jobs.quality.anomalies import LEAST_DATES, WINDOW, Anomaly, AnomalySettings, Measured, find_anomalies
from spark_jobs.storage.spark_connect import rows_and_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

METRIC_COLUMNS = ("landing_date", "metric", "dimension", "value")
_HISTORY = timedelta(days=WINDOW + LEAST_DATES)
_EVIDENCE = StructType().add("landing_date", DateType()).add("severity", StringType()).add("sentence", StringType())


def anomalies_of(
    staged: Sequence[tuple[date, str, str, Any]],
    published: DataFrame | None,
    settings: AnomalySettings,
    confirmed: DataFrame | None = None,
) -> list[Anomaly]:
    """Return the anomalies of the staged metrics, by the published metrics of the dates before and by each other.

    `staged` has METRIC_COLUMNS. A published date that is staged again is left out, and so is what comes after the last
    staged one. `confirmed` has the landing_date of further incidents.
    """
    judged = {row[0] for row in staged}
    if not judged:
        return []
    history: list[tuple[Any, ...]] = []
    if published is not None:
        day = F.col("landing_date")
        in_reach = published.where((day >= min(judged) - _HISTORY) & (day < max(judged)))
        wanted = in_reach.select(*METRIC_COLUMNS)
        if confirmed is not None:  # in the same statement
            no_metric = {"metric": F.lit(""), "dimension": F.lit(""), "value": F.lit(0)}
            wanted = wanted.unionByName(confirmed.withColumns(no_metric))
        rows, _ = rows_and_schema(wanted)
        found = list(zip(*(rows[name].to_pylist() for name in METRIC_COLUMNS), strict=True))
        settings = settings.with_incidents({row[0] for row in found if not row[1]})
        history = [row for row in found if row[1] and row[0] not in judged]
    return find_anomalies(Measured.of([*history, *staged]), judged, settings)


def as_evidence(spark: SparkSession, anomalies: Sequence[Anomaly]) -> DataFrame:
    """Return the anomalies as an input of rules: landing_date, severity and sentence."""
    return spark.createDataFrame([(one.landing_date, one.severity, one.message) for one in anomalies], _EVIDENCE)
