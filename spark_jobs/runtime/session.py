"""The Spark session of a job task."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FEW_ROWS_VARIABLE = "LAKEHOUSE_FEW_ROWS_SETTINGS"
"""Environment variable: Spark settings, as a JSON object, for as long as a task expects few rows. By default none."""
MANY_ROWS = 100_000


def spark_session() -> SparkSession:
    """Return the platform's session: on Databricks its own, elsewhere the one that SPARK_REMOTE names.

    Sets only what serverless compute lets a session set (docs/architecture.md), and the settings for few rows.
    """
    import logging

    from pyspark.sql import SparkSession

    # It would log the whole plan of a statement that fails, on top of the exception that says so.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    spark = SparkSession.builder.getOrCreate()
    for name, value in (_few_rows_settings() | ALWAYS).items():
        spark.conf.set(name, value)
    return spark


ALWAYS = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}


def expect_rows(spark: SparkSession, rows: int) -> None:
    """Take the settings for few rows back where a task is about to handle many."""
    if rows > MANY_ROWS:
        for name in _few_rows_settings():
            spark.conf.unset(name)


def _few_rows_settings() -> dict[str, str]:
    return dict(json.loads(os.environ.get(FEW_ROWS_VARIABLE, "{}")))
