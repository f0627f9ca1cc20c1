"""What the declarative pipeline in pipelines/ shares: its settings, its reader of landed files, its expectations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, StringType, StructType

from spark_jobs.layers.bronze.row_rules import RowRule
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.landed_text import stream_lines
from spark_jobs.storage.landing import Landing, landed_files
from spark_jobs.storage.landing_names import date_of_folder
from spark_jobs.tables.source import SourceFormat

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_LISTED = StructType().add("source_file", StringType()).add("listed", BooleanType())  # a text would be parsed by Spark
_SETTINGS = "lakehouse."
"""Before the name of each setting in the pipeline's configuration."""


@dataclass(frozen=True)
class PipelineSettings:
    """The configuration of the pipeline: as the parameters of the build jobs have it."""

    landing_root: Path
    source_format: SourceFormat
    email_secret: str
    auto_loader: str
    """How landed files are found: a key of DISCOVERIES (spark_jobs/storage/landed_text.py)."""

    @classmethod
    def of(cls, spark: SparkSession) -> PipelineSettings:
        def text(name: str) -> str:
            return str(spark.conf.get(f"{_SETTINGS}{name}"))

        return cls(
            landing_root=Path(text("landing_root")),
            source_format=SourceFormat.from_texts(
                text("null_words"),
                text("email_columns"),
                encoding=text("source_encoding"),
                date_order=text("date_order"),
                max_order_age_days=int(text("max_order_age_days")),
                max_order_days_ahead=int(text("max_order_days_ahead")),
            ),
            email_secret=text("email_hmac"),
            auto_loader=text("auto_loader"),
        )


def all_landed(settings: PipelineSettings) -> Landing:
    """Read and check the order files of all landing dates, without Spark. Raises what `landed_files` raises."""
    days = sorted(day for folder in settings.landing_root.glob("dt=*") if (day := date_of_folder(folder.name)))
    if not days:
        return Landing((), ())
    interval = Interval(days[0], days[-1] + timedelta(days=1))
    return landed_files(settings.landing_root, interval, source_format=settings.source_format, allow_missing=True)


def landing_stream(spark: SparkSession, settings: PipelineSettings, landing: Landing) -> DataFrame:
    """Stream the lines of landed files, as `read_lines` reads them; each file once, as it was first seen.

    A file that lands after `landing` was listed fails the update, which stores nothing of it then: a stream never reads
    a file twice, and how its columns are ordered is not known yet.
    """
    lines = stream_lines(spark, settings.landing_root, settings.auto_loader)
    listed = spark.createDataFrame([(file.path, True) for file in landing.files], _LISTED)
    unknown = F.concat(F.col("source_file"), F.lit(" landed while this update started, or is no order file: run again"))
    known = F.when(F.col("listed"), F.col("source_file")).otherwise(F.raise_error(unknown))
    return lines.join(F.broadcast(listed), "source_file", "left").withColumn("source_file", known).drop("listed")


def expectations(rules: Sequence[RowRule]) -> dict[str, str]:
    """Return an expectation for each row rule, by its reason, over rows that have `reasons`."""
    texts = {rule.reason: rule.reason.replace("'", "''") for rule in rules}
    return {reason: f"NOT array_contains(reasons, '{text}')" for reason, text in texts.items()}
