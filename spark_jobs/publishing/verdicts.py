"""ops.verdicts: what the gates said, as rows that can be queried (design, section 2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spark_jobs.audit.verdict import Verdict
from spark_jobs.publishing.delta import create_table
from spark_jobs.tables import Tables

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
        create_table(self._spark, self._name, COLUMNS, "What the gates said of each build")

    def append(self, verdict: Verdict) -> None:
        self.create()
        self._spark.sql(
            f"""INSERT INTO {self._name} SELECT :layer, :build_id, :job_run_id, :success,
                CAST(:interval_start AS DATE), CAST(:interval_end AS DATE), :fingerprint, CAST(:evaluated AS INT),
                CAST(:failed AS INT), CAST(:warnings AS INT), from_json(:failures, 'ARRAY<STRING>'), :verdict,
                current_timestamp()""",  # noqa: S608 - the name is made of checked identifiers, values are bound
            args={
                "layer": verdict.layer,
                "build_id": verdict.build_id,
                "job_run_id": verdict.job_run_id,
                "success": verdict.success,
                "interval_start": str(verdict.interval_start),
                "interval_end": str(verdict.interval_end),
                "fingerprint": verdict.fingerprint,
                "evaluated": verdict.statistics["evaluated"],
                "failed": verdict.statistics["failed"],
                "warnings": verdict.statistics["warnings"],
                "failures": json.dumps([failure.message for failure in verdict.failures]),
                "verdict": verdict.to_json(),
            },
        ).collect()

    def has_success(self, layer: str, build_id: str, fingerprint: str) -> bool:
        """Whether the newest word on exactly this is a success."""
        rows = self._spark.sql(
            f"""SELECT success FROM {self._name} WHERE layer = :layer AND build_id = :build_id
                AND fingerprint = :fingerprint ORDER BY audited_at DESC LIMIT 1""",  # noqa: S608 - as above
            args={"layer": layer, "build_id": build_id, "fingerprint": fingerprint},
        ).collect()
        return bool(rows and rows[0]["success"])
