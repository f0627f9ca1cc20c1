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


_set_setting = RuntimeConf.set


@pytest.fixture(scope="session", autouse=True)
def serverless() -> Iterator[None]:
    """A session's settings are a closed list; nothing is persisted; there are no global views and no SET."""
    sql = SparkSession.sql

    def set_one(conf: RuntimeConf, key: str, value: Any) -> None:
        if key not in SETTINGS:
            raise AssertionError(f"serverless compute does not let a session set {key}")
        _set_setting(conf, key, value)

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


COMPILING = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}


@pytest.fixture
def compiling_spark(spark: Any) -> Iterator[Any]:
    """The suite's Spark compiles no code, which is right for a few rows; many would take it minutes."""
    before = {name: spark.conf.get(name) for name in COMPILING}
    for name, value in COMPILING.items():
        _set_setting(spark.conf, name, value)
    yield spark
    for name, value in before.items():
        _set_setting(spark.conf, name, value)
