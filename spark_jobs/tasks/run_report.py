"""The task `report` of the job ecommerce_medallion: what a run took in and how long it took, in `ops.runs`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DateType, DecimalType, LongType, StringType, StructType, TimestampType

from spark_jobs.runtime.table_names import LAYERS
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.ops_table import OpsTable
from spark_jobs.storage.publications import PUBLICATIONS
from spark_jobs.tables.spec import TableSpec, Write, column

if TYPE_CHECKING:
    from spark_jobs.runtime.job_parameters import ReportParameters
    from spark_jobs.storage.lakehouse import Lakehouse

_SECONDS = DecimalType(12, 3)
RUNS = TableSpec(
    name="ops.runs",
    comment="What the runs of the job ecommerce_medallion took in, and how long they took: one row per run",
    grain="one row per run that published all layers, and one more for each repair of it",
    schema=StructType(
        [
            column("job_run_id", StringType(), "Run of the job ecommerce_medallion", nullable=False),
            column("interval_start", DateType(), "First landing date of the run", nullable=False),
            column("interval_end", DateType(), "First landing date after the run", nullable=False),
            column("landed_dates", LongType(), "Landing dates that were built", nullable=False),
            column("open_dates", ArrayType(DateType()), "Those of them that were still being delivered"),
            column("files", LongType(), "Files of these dates", nullable=False),
            column("lines", LongType(), "Landed lines of these files", nullable=False),
            column("bytes", LongType(), "Bytes of these files", nullable=False),
            column("bronze_seconds", _SECONDS, "From the start of the run to the publication of bronze"),
            column("silver_seconds", _SECONDS, "From there to the publication of silver"),
            column("gold_seconds", _SECONDS, "From there to the publication of gold"),
            column("lag_seconds", _SECONDS, "From the time of the newest file to the publication of gold"),
            column("bytes_per_second", DecimalType(18, 1), "Bytes by the seconds of the three layers"),
            column("lines_per_second", DecimalType(18, 1), "Landed lines by the seconds of the three layers"),
            column("started_at", TimestampType(), "When the run started", nullable=False),
            column("published_at", TimestampType(), "When gold was published", nullable=False),
        ]
    ),
    natural_key=("job_run_id", "published_at"),
    write=Write.APPEND,
    statistics_columns=("job_run_id", "published_at"),
)


@dataclass(frozen=True)
class RunReport:
    """One row of ops.runs."""

    job_run_id: str
    interval_start: date
    interval_end: date
    landed_dates: int
    open_dates: list[date]
    files: int
    lines: int
    bytes: int
    bronze_seconds: Decimal
    silver_seconds: Decimal
    gold_seconds: Decimal
    lag_seconds: Decimal | None
    bytes_per_second: Decimal
    lines_per_second: Decimal
    started_at: datetime
    published_at: datetime

    def texts(self) -> dict[str, str]:
        """Return a sentence and the numbers as texts by name, which the page of the run shows."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "open_dates"}
        return {"summary": self.sentence()} | {name: str(value) for name, value in numbers.items() if value is not None}

    def sentence(self) -> str:
        lag = "" if self.lag_seconds is None else f"; gold {self.lag_seconds:.1f} s after the newest file was written"
        still_open = f"; still being delivered: {', '.join(map(str, self.open_dates))}" if self.open_dates else ""
        return (
            f"{self.files:,} files, {self.lines:,} lines, {self.bytes:,} bytes: bronze {self.bronze_seconds:.1f} s,"
            f" silver {self.silver_seconds:.1f} s, gold {self.gold_seconds:.1f} s,"
            f" {self.bytes_per_second:,.0f} bytes and {self.lines_per_second:,.1f} lines per second{lag}{still_open}"
        )


def report_run(lakehouse: Lakehouse, parameters: ReportParameters) -> RunReport:
    """Append what a run did to ops.runs, and return it. Raises BuildMissing."""
    build = Build.load(lakehouse.ops, "bronze", parameters.build_job_run_id)
    published = _published_at(lakehouse, parameters.fingerprints.split(","))
    started = datetime.fromtimestamp(parameters.started_at_ms / 1000, UTC)
    moments = [started, *(published[layer] for layer in LAYERS)]
    seconds = [_number((end - start).total_seconds()) for start, end in pairwise(moments)]
    whole = max(float(sum(seconds)), 0.001)
    written = build.rows["newest_file"]
    report = RunReport(
        job_run_id=parameters.job_run_id,
        interval_start=build.interval.start,
        interval_end=build.interval.end,
        landed_dates=len(build.built_dates),
        open_dates=build.open_dates,
        files=build.rows["files"],
        lines=build.rows["landed"],
        bytes=build.rows["bytes"],
        bronze_seconds=seconds[0],
        silver_seconds=seconds[1],
        gold_seconds=seconds[2],
        lag_seconds=_number((moments[-1] - datetime.fromisoformat(written)).total_seconds()) if written else None,
        bytes_per_second=_number(build.rows["bytes"] / whole, "0.1"),
        lines_per_second=_number(build.rows["landed"] / whole, "0.1"),
        started_at=started,
        published_at=moments[-1],
    )
    run_reports(lakehouse).append([vars(report)])
    return report


def _published_at(lakehouse: Lakehouse, fingerprints: list[str]) -> dict[str, datetime]:
    """Return when each layer was published, by the builds that were asked for."""
    rows = lakehouse.spark.table(lakehouse.name(PUBLICATIONS.name)).where(F.col("gate_fingerprint").isin(fingerprints))
    seconds = rows.select("layer", F.unix_micros("published_at").alias("at")).collect()
    return {row["layer"]: datetime.fromtimestamp(row["at"] / 1_000_000, UTC) for row in seconds}


def run_reports(lakehouse: Lakehouse) -> OpsTable:
    return OpsTable(lakehouse, RUNS, "published_at")


def _number(value: float, places: str = "0.001") -> Decimal:
    return Decimal(value).quantize(Decimal(places), ROUND_HALF_UP)
