"""A few rows fetched as a local relation equal the rows of the table, in value and in type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.connect.client import SparkConnectClient

from spark_jobs.layers.registry import SCHEMAS
from spark_jobs.storage import local_relation
from spark_jobs.storage.key_filter import Keys

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
    found, rows = local_relation.fetched(frame)
    assert found is not frame
    assert rows is not None
    assert found.schema == frame.schema
    assert found.exceptAll(frame).count() == frame.exceptAll(found).count() == 0
    assert found.where("instant = TIMESTAMP'2018-01-01 23:59:59.999999'").count() == 1


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_no_row_of_any_published_table_keeps_its_columns(spark: SparkSession, table: str) -> None:
    frame = spark.createDataFrame([], SCHEMAS[table])
    found = local_relation.at_hand(frame)
    assert found.schema.simpleString() == frame.schema.simpleString()
    assert found.count() == 0


def test_a_local_relation_keeps_the_rows_of_its_moment(spark: SparkSession, tmp_path: Path) -> None:
    folder = str(tmp_path / "table")
    spark.range(3).write.format("delta").save(folder)
    found = local_relation.at_hand(spark.read.format("delta").load(folder))
    spark.range(5).write.format("delta").mode("append").save(folder)
    assert found.count() == 3


@pytest.mark.parametrize("limit", ["MOST_ROWS", "MOST_BYTES"])
def test_many_rows_stay_where_they_are(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    frame = spark.range(10)
    monkeypatch.setattr(local_relation, limit, 9)
    assert local_relation.fetched(frame) == (frame, None)
    monkeypatch.setattr(local_relation, limit, 1000)
    assert local_relation.at_hand(frame) is not frame


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
    """The same whether the keys are a local relation or not; a null is no key."""
    monkeypatch.setattr(local_relation, "MOST_ROWS", most)

    def of(frame: DataFrame) -> DataFrame:
        return frame.selectExpr(f"{KINDS[kind]} AS key")

    asked = of(spark.createDataFrame([(2,), (None,), (7,), (2,), (99,)], "id bigint"))
    keys = Keys(asked, "key")
    found = keys.rows(of(spark.range(10))).collect()
    expected = of(spark.createDataFrame([(2,), (7,)], "id bigint")).collect()
    assert sorted(found) == sorted(expected)


def test_no_keys_are_no_rows(spark: SparkSession, statements: list[int]) -> None:
    keys = Keys(spark.range(0), "id")
    assert keys.rows(spark.range(5)).count() == 0
    before = len(statements)
    keys.rows(spark.range(7))
    assert len(statements) == before, "keys are asked for once"


def test_keys_are_asked_for_once_for_all_tables(spark: SparkSession, statements: list[int]) -> None:
    keys = Keys(spark.range(3), "id")
    tables = [keys.rows(spark.range(number)) for number in (2, 5)]
    assert len(statements) == 1
    assert [table.count() for table in tables] == [2, 3]
    assert F.broadcast(keys.frame).count() == 3
