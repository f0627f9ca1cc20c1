"""Verdicts: what the gates decided, as rows of `ops.verdicts` and as JSON on the ops volume."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DateType,
    IntegerType,
    StringType,
    StructType,
    TimestampType,
)

from spark_jobs.storage.delta import is_missing
from spark_jobs.storage.ops_table import OpsTable
from spark_jobs.tables.spec import TableSpec, Write, column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from spark_jobs.storage.lakehouse import Lakehouse

VERDICTS = TableSpec(
    name="ops.verdicts",
    comment="What the gates decided: one row per audit of a build",
    grain="one row per audit of a build",
    schema=StructType(
        [
            column("layer", StringType(), "bronze, silver or gold", nullable=False),
            column("build_id", StringType(), "Build that was audited", nullable=False),
            column("job_run_id", StringType(), "Job run of the build", nullable=False),
            column("success", BooleanType(), "Whether the build may be published", nullable=False),
            column("interval_start", DateType(), "First landing date of the run", nullable=False),
            column("interval_end", DateType(), "First landing date after the run", nullable=False),
            column("fingerprint", StringType(), "Of what was audited", nullable=False),
            column("evaluated", IntegerType(), "Rules that were judged", nullable=False),
            column("failed", IntegerType(), "Critical rules that do not hold", nullable=False),
            column("warnings", IntegerType(), "Other rules that do not hold", nullable=False),
            column("failures", ArrayType(StringType()), "One line per critical finding", nullable=False),
            column("verdict", StringType(), "The whole verdict as JSON", nullable=False),
            column("audited_at", TimestampType(), "When the row was inserted", nullable=False),
        ]
    ),
    natural_key=("layer", "build_id", "fingerprint", "audited_at"),
    write=Write.APPEND,
    statistics_columns=("layer", "build_id"),
)

MAINTAINED = "publication_"
"""The beginning of the build ids under which maintenance audits whole published tables."""


@dataclass(frozen=True)
class Finding:
    """One rule that does not hold, on one landing date where its evidence has dates."""

    table: str
    """Without its schema."""
    rule: str
    severity: str
    message: str
    """For people: the table, the rule's sentence, the number of bad rows and samples."""
    landing_date: str | None = None
    bad_rows: int | None = None
    samples: tuple[str, ...] = ()
    may_be_overruled: bool = False
    """Whether a person may decide to publish all the same."""
    alert: bool = False
    """Whether it is sent to people, although it is a warning."""


@dataclass(frozen=True)
class QuarantineReason:
    """Why lines of a rejected build are in quarantine."""

    reason: str
    lines: int
    dates: int
    """Number of landing dates with such lines."""
    file: str
    """The first file with such a line, relative to the landing root."""
    line: int | None
    """The number of the first such line in it, counted from 1; None where it was not found any more."""
    sample: str
    """Values of that line, masked."""
    remedy: str

    @property
    def text(self) -> str:
        """One line for people."""
        lines = f"{self.lines:,} {'line' if self.lines == 1 else 'lines'}"
        dates = f" on {self.dates:,} landing dates" if self.dates > 1 else ""
        place = self.file if self.line is None else f"{self.file} line {self.line}"
        sample = f" ({self.sample})" if self.sample else ""
        return f"{self.reason}: {lines}{dates}, first {place}{sample}.{f' {self.remedy}' if self.remedy else ''}"


@dataclass(frozen=True)
class Statistics:
    """Numbers of rules. `failed` counts those that block, `warnings` those that are only shown."""

    evaluated: int
    successful: int
    failed: int
    warnings: int


@dataclass(frozen=True)
class Verdict:
    """A verdict in the shape of its JSON file."""

    layer: str
    build_id: str
    job_run_id: str
    success: bool
    interval_start: str
    interval_end: str
    fingerprint: str
    statistics: Statistics
    rules: str
    """The hash of the rules."""
    code_version: str
    data_docs: str
    failures: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    rows: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    quarantine: tuple[QuarantineReason, ...] = ()
    """Of a rejected build of bronze."""
    staged_quarantine: str = ""
    """Path of the Parquet files with all of these lines, until staging is removed."""
    unreadable: bool = False
    """Whether it is a failure that a version of a table cannot be read any more."""

    @property
    def may_be_overruled(self) -> bool:
        """Whether a person may decide to publish all the same: the verdict rejects, and each rule that failed allows
        it."""
        failed = {(failure.table, failure.rule) for failure in self.failures}
        return (
            not self.success
            and len(failed) == self.statistics.failed > 0
            and all(failure.may_be_overruled for failure in self.failures)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return content | {"explanation": self.explanation(), "may_be_overruled": self.may_be_overruled}

    def explanation(self) -> list[str]:
        """Explain a rejection on one screen: each rule that failed once, and why lines are in quarantine."""
        by_rule: dict[tuple[str, str], list[Finding]] = {}
        for failure in self.failures:
            by_rule.setdefault((failure.table, failure.rule), []).append(failure)
        lines = []
        for (_, rule), (first, *others) in by_rule.items():
            more = sorted(str(other.landing_date) for other in others if other.landing_date)
            dates = f" So do {len(more)} more landing dates up to {more[-1]}." if more else ""
            lines.append(f"{rule}: {first.message.rstrip('.')}.{dates}")
        if self.quarantine:
            lines.append("Why lines are in quarantine:")
            lines += [f"- {reason.text}" for reason in self.quarantine]
            lines.append(f"All of them: `make rejected` on one machine, or parquet.`{self.staged_quarantine}` in SQL.")
        if self.unreadable and lines:
            lines += self.notes
        return lines

    def lines(self) -> list[str]:
        """Describe the verdict for people: in one line, and one for each finding."""
        counts = self.statistics
        word = "passed" if self.success else "REJECTED"
        return [
            f"{self.layer} {word}: {counts.successful} of {counts.evaluated} rules hold,"
            f" {counts.failed} failed, {counts.warnings} warnings",
            *self.explanation(),
            *(f"warning: {finding.message}" for finding in self.warnings),
            *(f"note: {note}" for note in self.notes),
        ]


@dataclass(frozen=True)
class JudgedBuild:
    """A verdict as its row in ops.verdicts has it, and the build that replaced its build."""

    verdict: dict[str, Any]
    newer_build: str | None
    """Id of the newest later build of the same dates or layer; None for none."""

    @property
    def may_be_overruled(self) -> bool:
        return self.verdict.get("may_be_overruled") is True and self.verdict["success"] is False


class Verdicts:
    """Appends and looks up rows of ops.verdicts."""

    def __init__(self, lakehouse: Lakehouse) -> None:
        self._spark = lakehouse.spark
        self._name = lakehouse.name(VERDICTS.name)
        self._table = OpsTable(lakehouse, VERDICTS, "audited_at")

    def create(self) -> None:
        self._table.create()

    def append(self, verdict: Verdict) -> None:
        row = {
            **{name: getattr(verdict, name) for name in ("layer", "build_id", "job_run_id", "success", "fingerprint")},
            "interval_start": date.fromisoformat(str(verdict.interval_start)),
            "interval_end": date.fromisoformat(str(verdict.interval_end)),
            "evaluated": verdict.statistics.evaluated,
            "failed": verdict.statistics.failed,
            "warnings": verdict.statistics.warnings,
            "failures": [failure.message for failure in verdict.failures],
            "verdict": json.dumps(verdict.as_dict(), sort_keys=True),
        }
        self._table.append([row])

    def remove(self, before: datetime, kept: Collection[str]) -> None:
        """Remove the rows inserted before a moment, but those of the builds `kept`."""
        self._table.remove(before, kept)

    def on_build(self, layer: str, build_id: str, fingerprint: str) -> JudgedBuild | None:
        """Return the newest verdict on exactly this build, and the newest later build; None without a verdict.

        A later build is one of the same layer, for bronze one that shares landing dates, which was audited later. What
        maintenance audits is no build.
        """
        try:
            rows = self._on_build(layer, build_id, fingerprint).collect()
        except PySparkException as error:
            if is_missing(error):
                return None
            raise
        return JudgedBuild(json.loads(rows[0]["verdict"]), rows[0]["newer_build"]) if rows else None

    def _on_build(self, layer: str, build_id: str, fingerprint: str) -> DataFrame:
        layers = self._spark.table(self._name).where(F.col("layer") == layer)
        about = (F.col("build_id") == build_id) & (F.col("fingerprint") == fingerprint)
        judged = layers.where(about).orderBy(F.desc("audited_at")).limit(1).alias("judged")
        is_newer = F.col("other.audited_at") > F.col("judged.audited_at")
        if layer == "bronze":
            is_newer = (
                is_newer
                & (F.col("other.interval_start") < F.col("judged.interval_end"))
                & (F.col("other.interval_end") > F.col("judged.interval_start"))
            )
        is_build = (F.col("build_id") != build_id) & ~F.col("build_id").startswith(MAINTAINED)
        others = layers.where(is_build).alias("other")
        newest_other = F.max_by("other.build_id", "other.audited_at").alias("newer_build")
        return judged.join(others, is_newer, "left").groupBy("judged.verdict").agg(newest_other)

    def newest(self, layer: str, build_id: str, fingerprint: str) -> DataFrame:
        """Return one row with `allowed_by`: the newest verdict on exactly this, as JSON, where it is a success."""
        about = (F.col("layer") == layer) & (F.col("build_id") == build_id) & (F.col("fingerprint") == fingerprint)
        allowing = F.when(F.col("success"), F.col("verdict"))
        # Structs, since max_by leaves out NULL.
        newest = F.max_by(F.struct(allowing.alias("verdict")), "audited_at")["verdict"]
        return self._spark.table(self._name).where(about).agg(newest.alias("allowed_by"))
