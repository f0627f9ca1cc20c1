"""The Spark session of a job task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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
