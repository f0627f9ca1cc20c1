"""What is asked of Delta tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from spark_jobs.storage import delta
from tests.spark.publishing.lakehouse import Lakehouse


@pytest.fixture
def table(spark: SparkSession, lakehouse: Lakehouse) -> Iterator[str]:
    """A table of versions 0 to 2."""
    name = lakehouse.names.table("ops.of_three_versions")
    spark.sql(f"CREATE TABLE {name} (n INT) USING delta")
    for number in (1, 2):
        spark.sql(f"INSERT INTO {name} VALUES ({number})")
    yield name
    spark.sql(f"DROP TABLE {name}")


def test_the_head_is_the_newest_version(spark: SparkSession, table: str) -> None:
    assert delta.head_version(spark, table) == 2
    spark.sql(f"INSERT INTO {table} VALUES (3)")
    assert delta.head_version(spark, table) == 3
    delta.restore(spark, table, 1)
    assert delta.head_version(spark, table) == 4


def test_a_table_that_does_not_exist_has_no_head(spark: SparkSession, lakehouse: Lakehouse) -> None:
    assert delta.head_version(spark, lakehouse.names.table("ops.no_such_table")) is None


def test_an_error_of_another_kind_is_no_conflict(spark: SparkSession, table: str) -> None:
    with pytest.raises(PySparkException) as error:
        spark.sql(f"INSERT INTO {table} SELECT raise_error('DELTA_CONCURRENT_APPEND')")
    assert not delta.is_concurrency_conflict(error.value), "by its condition, not by its words"
