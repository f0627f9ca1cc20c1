"""All of the jobs' Spark code runs here as on serverless compute: with what that refuses refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql.connect.conf import RuntimeConf
from pyspark.sql.connect.dataframe import DataFrame
from pyspark.sql.connect.session import SparkSession

# https://docs.databricks.com/en/spark/conf, "Configure Spark properties for serverless notebooks and jobs"
SETTINGS = {
    "spark.databricks.execution.timeout",
    "spark.sql.ansi.enabled",
    "spark.sql.files.maxPartitionBytes",
    "spark.sql.legacy.timeParserPolicy",
    "spark.sql.session.timeZone",
    "spark.sql.shuffle.partitions",
}


@pytest.fixture(scope="session", autouse=True)
def serverless() -> Iterator[None]:
    """A session's settings are a closed list; nothing is persisted; there are no global views and no SET."""
    set_setting, sql = RuntimeConf.set, SparkSession.sql

    def set_one(conf: RuntimeConf, key: str, value: Any) -> None:
        if key not in SETTINGS:
            raise AssertionError(f"serverless compute does not let a session set {key}")
        set_setting(conf, key, value)

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("serverless compute keeps no frame in memory, and has no global views")

    def run(session: SparkSession, query: str, *args: Any, **kwargs: Any) -> Any:
        if query.lstrip().upper().startswith(("SET ", "CACHE ", "ADD ")):
            raise AssertionError(f"serverless compute refuses: {query}")
        return sql(session, query, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RuntimeConf, "set", set_one)
        patch.setattr(SparkSession, "sql", run)
        for name in ("cache", "persist", "createGlobalTempView", "createOrReplaceGlobalTempView"):
            patch.setattr(DataFrame, name, refused)
        yield
