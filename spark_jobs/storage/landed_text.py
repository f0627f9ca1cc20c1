"""Reading the lines of landed files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType

from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.storage.landing import LandedFile

_AUTO_LOADER = {"cloudFiles.format": "text", "cloudFiles.schemaEvolutionMode": "none"}
DISCOVERIES = {
    "false": ("text", {}),
    "true": ("cloudFiles", _AUTO_LOADER),
    "events": ("cloudFiles", {**_AUTO_LOADER, "cloudFiles.useManagedFileEvents": "true"}),
}
"""Setting -> source and options of a stream of files: Spark's own, Auto Loader, and Auto Loader by file events."""
# A schema that is given as a text would be parsed by Spark, which a definition of a pipeline must not ask for.
_TEXT = StructType().add("value", StringType())


def read_lines(spark: SparkSession, landing_root: Path, files: Sequence[LandedFile]) -> DataFrame:
    """Read all lines of the files, headers and blank ones too: value, source_file, source_file_modified_at.

    `value` holds the line's bytes as they are, which need not be valid UTF-8.
    """
    paths = [_glob_literal(f"{landing_root.as_posix()}/{file.path}") for file in files if file.headers]
    if not paths:
        return spark.createDataFrame([], "value STRING, source_file STRING, source_file_modified_at TIMESTAMP")
    return line_columns(spark.read.text(paths))


def stream_lines(spark: SparkSession, landing_root: Path, discovery: str) -> DataFrame:
    """Stream all lines of landed files, each file once, with the columns of `read_lines`.

    `discovery` says how files are found: see DISCOVERIES. Raises ParameterRefused.
    """
    if discovery not in DISCOVERIES:
        raise ParameterRefused(f"auto_loader is {discovery!r}: one of {', '.join(DISCOVERIES)}")
    source, options = DISCOVERIES[discovery]
    reader = spark.readStream.format(source).options(**options).schema(_TEXT)
    return line_columns(reader.load(f"{landing_root.as_posix()}/dt=*/*.csv"))


def line_columns(lines: DataFrame) -> DataFrame:
    """Select value, source_file and source_file_modified_at of files that are read as text, be it as a stream."""
    # The path comes as a URI. Its last two parts are the path relative to the landing root, however the root is
    # spelled there; url_decode takes + for a blank, as in forms, which paths do not.
    plain = F.url_decode(F.replace(F.col("_metadata.file_path"), F.lit("+"), F.lit("%2B")))
    return lines.select(
        "value",
        F.regexp_extract(plain, "[^/]+/[^/]+$", 0).alias("source_file"),
        F.col("_metadata.file_modification_time").alias("source_file_modified_at"),
    )


def _glob_literal(path: str) -> str:
    """Write the path as Spark must be given it, which takes every path for a pattern."""
    return "".join(f"\\{character}" if character in "\\{}[]*?" else character for character in path)
