"""Versions of Delta tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from spark_jobs.storage import delta
from tests.spark.publishing.lakehouse import Lakehouse


@pytest.fixture
def table(spark: SparkSession, lakehouse: Lakehouse) -> Iterator[str]:
    """A table of versions 0 to 2."""
    name = lakehouse.tables.name("ops.of_three_versions")
    spark.sql(f"CREATE TABLE {name} (n INT) USING delta")
    for number in (1, 2):
        spark.sql(f"INSERT INTO {name} VALUES ({number})")
    yield name
    spark.sql(f"DROP TABLE {name}")


@pytest.mark.parametrize("expected", [None, 0, 1, 2, 3])
def test_the_newest_version_is_found_with_any_expectation(
    spark: SparkSession, table: str, expected: int | None
) -> None:
    assert delta.head_version(spark, table, expected) == 2
    identity = delta.table_id(spark, table)
    assert identity
    if expected is not None:
        assert delta.head(spark, table, expected) == delta.Head(identity, 2)


def test_another_commit_is_seen_at_once(spark: SparkSession, table: str) -> None:
    assert delta.head_version(spark, table, 2) == 2
    spark.sql(f"INSERT INTO {table} VALUES (3)")
    assert delta.head_version(spark, table, 2) == 3
    spark.sql(f"RESTORE TABLE {table} TO VERSION AS OF 1")
    assert delta.head_version(spark, table, 3) == 4


@pytest.mark.parametrize("expected", [None, 0])
def test_there_is_no_newest_version_of_no_table(
    spark: SparkSession, lakehouse: Lakehouse, expected: int | None
) -> None:
    name = lakehouse.tables.name("ops.no_such_table")
    assert delta.head_version(spark, name, expected) is None
    if expected is not None:
        assert delta.head(spark, name, expected) is None
