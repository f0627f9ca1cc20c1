"""Bronze: the landed files of an interval, every line of them parsed or given a reason (design, sections 4 and 5)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.layers.bronze.landed_lines import BuildStamp, landed_lines
from spark_jobs.layers.bronze.row_rules import bronze_row_rules
from spark_jobs.layers.bronze.source import SourceFormat, read_lines
from spark_jobs.layers.registry import LANDED_FILES
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.runtime.secret_store import secret
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.inputs import as_base
from spark_jobs.storage.landing import landed_files
from spark_jobs.storage.publications import Publications
from spark_jobs.storage.staging import stage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def build_bronze(spark: SparkSession, parameters: BuildParameters, build_id: str) -> Build:
    """Stages `bronze.lines` (every landed line) and `bronze.landed_files` (the count of each file's lines).

    Raises NothingLanded, LandingRefused and its kinds, before anything is written.
    """
    tables = parameters.tables
    root = Path(parameters.landing_root)
    landing = landed_files(
        root,
        parameters.interval,
        encoding=parameters.source_encoding,
        allow_missing=parameters.missing_dates_allowed,
    )
    base = as_base(Publications(spark, tables).newest("bronze"))
    lines = landed_lines(
        read_lines(spark, root, landing.files),
        landing.files,
        bronze_row_rules(),
        secret(parameters.email_secret),
        BuildStamp(build_id, parameters.job_run_id, code_version(), datetime.now(UTC)),
        SourceFormat(encoding=parameters.source_encoding),
    )
    files = spark.createDataFrame(
        [(file.landing_date, file.path, file.lines, file.size) for file in landing.files], LANDED_FILES
    )
    bad = {"quarantined": F.size("reasons") > 0}
    staged = {
        "bronze.lines": stage(spark, tables, "bronze.lines", build_id, lines, bad).table,
        "bronze.landed_files": stage(spark, tables, "bronze.landed_files", build_id, files, few=True).table,
    }
    quarantined = staged["bronze.lines"].counts["quarantined"]
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
            "landed": landing.lines,
            "valid": staged["bronze.lines"].rows - quarantined,
            "quarantined": quarantined,
            "files": len(landing.files),
        },
        notes=tuple(f"landing date {missing} has no folder (allowed)" for missing in landing.missing),
        missing_dates=tuple(str(missing) for missing in landing.missing),
    )
