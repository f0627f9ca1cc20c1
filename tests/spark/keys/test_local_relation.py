"""Rows that are fetched because they are few are the rows that were there, to the last bit of their types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.connect.client import SparkConnectClient

from spark_jobs.layers.registry import TABLES
from spark_jobs.storage import local_relation
from spark_jobs.storage.key_filter import KeyFilter
from spark_jobs.storage.local_relation import Relation, fetch

VALUES = """
    SELECT 1L AS id, 12.30BD AS money, CAST(0.1234 AS DECIMAL(7,4)) AS rate, 'Šiauliai’s' AS text, true AS flag,
        DATE'0001-01-01' AS day, TIMESTAMP'2018-01-01 23:59:59.999999' AS instant, CAST(NULL AS STRING) AS nothing,
        array('b', 'a') AS reasons
    UNION ALL SELECT NULL, NULL, NULL, '', NULL, NULL, TIMESTAMP'9999-12-31 00:00:00', NULL, array()
    UNION ALL SELECT 3L, -0.01BD, 0, ' ', false, DATE'9999-12-31', TIMESTAMP'0001-01-01 00:00:00', NULL, NULL
"""


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each statement that Spark has run."""
    run: list[int] = []
    execute = SparkConnectClient._execute_and_fetch

    def counted(self: SparkConnectClient, *args: Any, **named: Any) -> Any:
        run.append(1)
        return execute(self, *args, **named)

    monkeypatch.setattr(SparkConnectClient, "_execute_and_fetch", counted)
    return run


def test_few_rows_are_the_same_in_value_and_type(spark: SparkSession) -> None:
    frame = spark.sql(VALUES)
    fetched = local_relation.fetch(frame)
    found = fetched.frame
    assert found is not frame
    assert fetched.rows is not None
    assert found.schema == frame.schema
    assert found.exceptAll(frame).count() == frame.exceptAll(found).count() == 0
    assert found.where("instant = TIMESTAMP'2018-01-01 23:59:59.999999'").count() == 1


@pytest.mark.parametrize("table", sorted(TABLES))
def test_no_row_of_any_published_table_keeps_its_columns(spark: SparkSession, table: str) -> None:
    frame = spark.createDataFrame([], TABLES[table].schema)
    found = local_relation.local_relation(frame)
    assert found.schema.simpleString() == frame.schema.simpleString()
    assert found.count() == 0


def test_local_rows_are_those_of_that_moment(spark: SparkSession, tmp_path: Path) -> None:
    folder = str(tmp_path / "table")
    spark.range(3).write.format("delta").save(folder)
    found = local_relation.local_relation(spark.read.format("delta").load(folder))
    spark.range(5).write.format("delta").mode("append").save(folder)
    assert found.count() == 3


@pytest.mark.parametrize(
    ("query", "is_local"),
    [
        ("SELECT id FROM range(10000)", True),
        ("SELECT id FROM range(10001)", False),
        ("SELECT repeat('x', 990000) AS text", True),
        ("SELECT repeat('x', 1000001) AS text", False),
    ],
    ids=["the most rows", "a row too many", "the most bytes", "too many bytes"],
)
def test_many_rows_stay_where_they_are(spark: SparkSession, query: str, is_local: bool) -> None:
    frame = spark.sql(query)
    fetched = fetch(frame)
    assert (fetched.frame is not frame, fetched.rows is not None) == (is_local, is_local)


def test_the_number_of_rows_that_are_sent_is_a_setting(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = spark.range(10)
    monkeypatch.setenv(local_relation.ROWS_VARIABLE, "9")
    assert fetch(frame) == Relation(frame, None)
    monkeypatch.setenv(local_relation.ROWS_VARIABLE, "10")
    assert local_relation.local_relation(frame) is not frame


KINDS = {
    "bigint": "id",
    "string": "CAST(id AS STRING)",
    "timestamp": "timestamp_seconds(id)",
    "date": "date_from_unix_date(CAST(id AS INT))",
    "decimal": "CAST(id AS DECIMAL(12, 2))",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [0, 1000], ids=["many", "few"])
def test_rows_of_keys(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, kind: str, most: int) -> None:
    """The same whether or not the keys are a local relation; a null is no key."""
    monkeypatch.setenv(local_relation.ROWS_VARIABLE, str(most))

    def as_key(frame: DataFrame) -> DataFrame:
        return frame.selectExpr(f"{KINDS[kind]} AS key")

    asked = as_key(spark.createDataFrame([(2,), (None,), (7,), (2,), (99,)], "id bigint"))
    keys = KeyFilter.of(fetch(asked), "key")
    found = keys.rows(as_key(spark.range(10))).collect()
    expected = as_key(spark.createDataFrame([(2,), (7,)], "id bigint")).collect()
    assert sorted(found) == sorted(expected)


def test_no_keys_are_no_rows(spark: SparkSession, statements: list[int]) -> None:
    keys = KeyFilter.of(fetch(spark.range(0)), "id")
    assert keys.rows(spark.range(5)).count() == 0
    before = len(statements)
    keys.rows(spark.range(7))
    assert len(statements) == before, "keys are asked for once"


def test_keys_are_asked_for_once_for_all_tables(spark: SparkSession, statements: list[int]) -> None:
    keys = KeyFilter.of(fetch(spark.range(3)), "id")
    tables = [keys.rows(spark.range(number)) for number in (2, 5)]
    assert len(statements) == 1
    assert [table.count() for table in tables] == [2, 3]
    assert F.broadcast(keys.keys.frame).count() == 3
