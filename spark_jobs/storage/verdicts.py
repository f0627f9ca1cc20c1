"""Verdicts on builds, and `ops.verdicts`, in which they can be queried."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

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
    evaluated INT NOT NULL COMMENT 'rules that were judged',
    failed INT NOT NULL COMMENT 'critical rules that do not hold',
    warnings INT NOT NULL COMMENT 'other rules that do not hold',
    failures ARRAY<STRING> NOT NULL COMMENT 'a line for each',
    verdict STRING NOT NULL COMMENT 'the whole verdict as JSON',
    audited_at TIMESTAMP NOT NULL
"""


@dataclass(frozen=True)
class Finding:
    """One rule that does not hold, on one landing date where its evidence has dates.

    `asset` is the table's name without its schema, and `expectation` the rule's name.
    """

    asset: str
    expectation: str
    column: str | None
    severity: str
    message: str
    landing_date: str | None = None
    unexpected_count: int | None = None
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Statistics:
    """Numbers of rules. `failed` counts those that block, `warnings` those that are only shown."""

    evaluated: int
    successful: int
    failed: int
    warnings: int


@dataclass(frozen=True)
class Verdict:
    """The verdict on a build, in the shape of its JSON file. Publish looks it up among the rows of `ops.verdicts`."""

    layer: str
    build_id: str
    job_run_id: str
    success: bool
    interval_start: str
    interval_end: str
    fingerprint: str
    statistics: Statistics
    suites: str
    code_version: str
    data_docs: str
    failures: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    rows: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        content = asdict(self)
        for name in ("failures", "warnings"):
            content[name] = [{**finding, "samples": list(finding["samples"])} for finding in content[name]]
        content["notes"] = list(self.notes)
        return content

    def lines(self) -> list[str]:
        """For people: one line, and one per finding."""
        counts = self.statistics
        word = "passed" if self.success else "REJECTED"
        return [
            f"{self.layer} {word}: {counts.successful} of {counts.evaluated} rules hold,"
            f" {counts.failed} failed, {counts.warnings} warnings",
            *(f"failed: {finding.message}" for finding in self.failures),
            *(f"warning: {finding.message}" for finding in self.warnings),
            *(f"note: {note}" for note in self.notes),
        ]


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
