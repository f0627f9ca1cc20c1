"""The Spark session of a job task."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS_VARIABLE = "LAKEHOUSE_SPARK_SETTINGS_BY_ROWS"
"""Environment variable: settings of Spark for a task that expects few rows, and many, as JSON. By default none.

{"few": {"spark.sql.shuffle.partitions": "1"}, "many": {"spark.sql.shuffle.partitions": "8"}}
"""
MANY_ROWS = 100_000


def spark_session() -> SparkSession:
    """Return the platform's session: on Databricks its own, elsewhere the one that SPARK_REMOTE names.

    Sets only what serverless compute lets a session set (docs/architecture.md).
    """
    import logging

    from pyspark.sql import SparkSession

    # It would log the whole plan of a statement that fails, on top of the exception that says so.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    spark = SparkSession.builder.getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.ansi.enabled", "true")
    return spark


def expect_rows(spark: SparkSession, rows: int) -> None:
    """Apply the settings for a task that is about to handle as many rows."""
    settings = json.loads(os.environ.get(ROWS_VARIABLE, "{}"))
    for name, value in settings.get("many" if rows > MANY_ROWS else "few", {}).items():
        spark.conf.set(name, value)
