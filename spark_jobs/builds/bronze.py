"""Bronze: the landed files of an interval, every line of them parsed or given a reason (design, sections 4 and 5)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from spark_jobs.bronze.landed_lines import count_landed_lines, landed_lines
from spark_jobs.builds.inputs import as_base
from spark_jobs.builds.record import Build
from spark_jobs.code_version import code_version
from spark_jobs.landing import find_landing
from spark_jobs.parameters import BuildParameters
from spark_jobs.publishing.publications import Publications
from spark_jobs.publishing.staging import stage
from spark_jobs.secret_store import secret

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def build_bronze(spark: SparkSession, parameters: BuildParameters, build_id: str) -> Build:
    """Stages `bronze.lines` (every landed line) and `bronze.landed_files` (the count of each file's lines).

    Raises NothingLanded, LandingRefused and its kinds, before anything is written.
    """
    tables = parameters.tables
    landing = find_landing(
        Path(parameters.landing_root), parameters.interval, allow_missing=parameters.missing_dates_allowed
    )
    base = as_base(Publications(spark, tables).newest("bronze"))
    lines = landed_lines(
        spark,
        landing,
        encoding=parameters.source_encoding,
        email_key=secret(parameters.email_secret),
        build_id=build_id,
        job_run_id=parameters.job_run_id,
        code_version=code_version(),
    )
    # Sorted by date, so that a date is found in few files by their statistics.
    staged_lines = stage(
        spark, tables, "bronze.lines", build_id, lines.repartitionByRange("landing_date").sortWithinPartitions("landing_date")
    )
    staged = {
        "bronze.lines": staged_lines,
        "bronze.landed_files": stage(
            spark, tables, "bronze.landed_files", build_id, count_landed_lines(spark, landing)
        ),
    }
    lines_again = spark.table(staged_lines.name)
    quarantined = lines_again.where(F.size("reasons") > 0).count()
    landed = spark.table(staged["bronze.landed_files"].name).agg(F.sum("landed_lines")).collect()[0][0] or 0
    return Build(
        layer="bronze",
        build_id=build_id,
        job_run_id=parameters.job_run_id,
        parameters=parameters,
        base=base,
        below=None,
        below_before=None,
        whole=base.seq == 0,
        staged=staged,
        rows={
            "landed": int(landed),
            "valid": staged_lines.rows - quarantined,
            "quarantined": quarantined,
            "files": len(landing.files),
        },
        notes=tuple(f"landing date {missing} has no folder (allowed)" for missing in landing.missing),
        missing_dates=tuple(str(missing) for missing in landing.missing),
    )
