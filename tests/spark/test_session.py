"""The settings of Spark that a task takes for few rows and for many."""

from __future__ import annotations

import json

import pytest
from pyspark.sql import SparkSession

from spark_jobs.runtime.session import MANY_ROWS, ROWS_VARIABLE, expect_rows

PARTITIONS = "spark.sql.shuffle.partitions"


@pytest.mark.parametrize(("rows", "partitions"), [(0, "1"), (MANY_ROWS, "1"), (MANY_ROWS + 1, "7")])
def test_the_number_of_rows_decides(
    rows: int, partitions: str, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = spark.conf.get(PARTITIONS) or ""
    monkeypatch.setenv(ROWS_VARIABLE, json.dumps({"few": {PARTITIONS: "1"}, "many": {PARTITIONS: "7"}}))
    try:
        expect_rows(spark, rows)
        assert spark.conf.get(PARTITIONS) == partitions
    finally:
        spark.conf.set(PARTITIONS, before)


def test_without_settings_by_rows_the_session_stays_as_it_is(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = spark.conf.get(PARTITIONS)
    monkeypatch.delenv(ROWS_VARIABLE, raising=False)
    expect_rows(spark, MANY_ROWS + 1)
    assert spark.conf.get(PARTITIONS) == before
