"""ops.verdicts: what the gates said, as rows that can be queried (design, section 2)."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.quality.verdict import Verdict
from spark_jobs.storage.delta import create_table
from spark_jobs.tables.names import Tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COLUMNS = """
    layer STRING NOT NULL,
    build_id STRING NOT NULL,
    job_run_id STRING NOT NULL,
    success BOOLEAN NOT NULL COMMENT 'whether the build may be published',
    interval_start DATE NOT NULL,
    interval_end DATE NOT NULL,
    fingerprint STRING NOT NULL COMMENT 'of what was audited',
    evaluated INT NOT NULL COMMENT 'expectations',
    failed INT NOT NULL COMMENT 'critical expectations that were not met',
    warnings INT NOT NULL COMMENT 'other expectations that were not met',
    failures ARRAY<STRING> NOT NULL COMMENT 'a line for each',
    verdict STRING NOT NULL COMMENT 'the whole verdict as JSON',
    audited_at TIMESTAMP NOT NULL
"""


class Verdicts:
    """Appends and looks up verdicts."""

    def __init__(self, spark: SparkSession, tables: Tables) -> None:
        self._spark = spark
        self._name = tables.name("ops.verdicts")

    def create(self) -> None:
        create_table(self._spark, self._name, COLUMNS, "What the gates said of each build", ("layer", "build_id"))

    def append(self, verdict: Verdict) -> None:
        self.create()
        row = (
            verdict.layer,
            verdict.build_id,
            verdict.job_run_id,
            verdict.success,
            date.fromisoformat(str(verdict.interval_start)),
            date.fromisoformat(str(verdict.interval_end)),
            verdict.fingerprint,
            verdict.statistics.evaluated,
            verdict.statistics.failed,
            verdict.statistics.warnings,
            [failure.message for failure in verdict.failures],
            json.dumps(verdict.as_dict(), sort_keys=True),
        )
        schema = self._spark.table(self._name).drop("audited_at").schema
        frame = self._spark.createDataFrame([row], schema).withColumn("audited_at", F.current_timestamp())
        frame.write.format("delta").mode("append").saveAsTable(self._name)

    def has_success(self, layer: str, build_id: str, fingerprint: str) -> bool:
        """Whether the newest word on exactly this is a success."""
        rows = (
            self._spark.table(self._name)
            .where((F.col("layer") == layer) & (F.col("build_id") == build_id) & (F.col("fingerprint") == fingerprint))
            .orderBy(F.desc("audited_at"))
            .limit(1)
            .collect()
        )
        return bool(rows and rows[0]["success"])
