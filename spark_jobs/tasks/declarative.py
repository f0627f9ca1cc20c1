"""What the declarative pipeline in pipelines/ needs: settings, landed files, expectations, dimensions by AUTO CDC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, StringType, StructType

from spark_jobs.layers.bronze.landed_lines import VALID
from spark_jobs.layers.bronze.row_rules import RowRule
from spark_jobs.layers.silver.dimensions import Dimension
from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.runtime.interval import Interval
from spark_jobs.runtime.job_parameters import flag
from spark_jobs.storage.landed_text import stream_lines
from spark_jobs.storage.landing import Landing, landed_files
from spark_jobs.storage.landing_names import date_of_folder
from spark_jobs.storage.sql_literal import literal
from spark_jobs.tables.source import SourceFormat

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_LISTED = StructType().add("source_file", StringType()).add("listed", BooleanType())  # a text would be parsed by Spark
_SETTINGS = "lakehouse."
"""Before the name of each setting in the pipeline's configuration."""
ANY_REASON = "any reason"
"""The expectation that valid lines meet and no other line does."""


@dataclass(frozen=True)
class PipelineSettings:
    """The configuration of the pipeline: as the parameters of the build jobs have it."""

    landing_root: Path
    source_format: SourceFormat
    email_secret: str
    auto_loader: str
    """How landed files are found: a key of DISCOVERIES (spark_jobs/storage/landed_text.py)."""
    auto_cdc: bool
    """Whether AUTO CDC of Databricks keeps the versions of the dimensions, not the function of the jobs."""

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
            auto_cdc=flag("auto_cdc", text("auto_cdc")),
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
    """Return what a valid line meets, over lines with `reasons`: an expectation for each row rule, by its reason.

    A line can have other reasons too, such as a wrong number of fields. So the last expectation is the filter of the
    jobs: what meets all expectations is what the filter keeps.
    """
    of_rules = {rule.reason: f"NOT array_contains(reasons, {literal(rule.reason)})" for rule in rules}
    return {**of_rules, ANY_REASON: VALID}


def auto_cdc_flow(platform: ModuleType) -> Callable[..., None]:
    """Return create_auto_cdc_flow of the platform's module. Raises ParameterRefused where there is none."""
    create: Callable[..., None] | None = getattr(platform, "create_auto_cdc_flow", None)
    if create is None:
        raise ParameterRefused(
            "auto_cdc is true, but this Spark has no AUTO CDC: set it to false, or run the pipeline on Databricks"
        )
    return create


def versions_of_auto_cdc(dimension: Dimension, kept: DataFrame) -> DataFrame:
    """Return the versions that AUTO CDC has kept, in sequence by scd2.ORDER, as the dimension holds them.

    Of rows that take effect at one instant all but the last make versions that end as they begin, which are left out.
    """
    begin, end = F.col("__START_AT.effective_at"), F.col("__END_AT.effective_at")
    lasting = kept.where(~begin.eqNullSafe(end))
    dated = lasting.select("*", begin.alias("valid_from"), end.alias("valid_to"), end.isNull().alias("is_current"))
    return dimension.with_key(dated)
