"""What a build changes in a published table."""

from pyspark.sql import SparkSession

from spark_jobs.storage.changes import changed_rows

SCHEMA = "id BIGINT, name STRING, amount INT"


def test_upserts_and_deletes_null_safe(spark: SparkSession) -> None:
    published = [
        (1, "same", 1),
        (2, None, None),
        (3, "a", 1),
        (4, "value to null", 1),
        (5, None, 1),
        (6, "gone", 1),
        (7, None, None),
    ]
    new = [
        (1, "same", 1),
        (2, None, None),
        (3, "b", 1),
        (4, None, 1),
        (5, "null to value", 1),
        (8, None, None),
    ]
    changes = changed_rows(
        # In another order of columns, which must not matter.
        spark.createDataFrame(new, SCHEMA).select("amount", "name", "id"),
        spark.createDataFrame(published, SCHEMA),
        "id",
        ["amount", "name", "id"],
    )
    assert changes.columns == ["amount", "name", "id", "_deleted"]
    assert {(row["id"], row["name"], row["_deleted"]) for row in changes.collect()} == {
        (3, "b", False),
        (4, None, False),
        (5, "null to value", False),
        (6, "gone", True),
        (7, None, True),
        (8, None, False),
    }


COLUMNS = ("id", "name", "amount")


def test_nothing_to_change(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1, None, 1), (2, "b", None)], SCHEMA)
    nothing = spark.createDataFrame([], SCHEMA)
    assert changed_rows(rows, rows, "id", COLUMNS).collect() == []
    assert changed_rows(nothing, nothing, "id", COLUMNS).collect() == []
    assert [row["_deleted"] for row in changed_rows(nothing, rows, "id", COLUMNS).collect()] == [True, True]
    assert [row["_deleted"] for row in changed_rows(rows, nothing, "id", COLUMNS).collect()] == [False, False]
