"""Staging holds what a build derived, whether its rows were fetched on the way or not."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from spark_jobs.storage import local_relation
from spark_jobs.storage.staging import Staging, stage, staged
from tests.spark.publishing.lakehouse import Lakehouse

ROWS = [(number, f"text {number}", None if number == 3 else number * 10) for number in range(1, 6)]


def staging_of(lakehouse: Lakehouse, build_id: str, *, few: bool) -> Staging:
    content = lakehouse.spark.createDataFrame(ROWS, "n INT NOT NULL, t STRING, value BIGINT")
    kinds = {"odd": F.col("n") % 2 == 1, "unknown": F.col("value").isNull()}
    return stage(lakehouse.spark, lakehouse.tables, "gold.some", build_id, content, kinds, few=few)


@pytest.mark.parametrize(
    ("build_id", "few", "most_rows", "is_fetched"),
    [("as_few", True, 5, True), ("as_many", False, 5, False), ("more_than_expected", True, 4, False)],
)
def test_what_is_staged_is_written_and_counted(
    lakehouse: Lakehouse,
    monkeypatch: pytest.MonkeyPatch,
    build_id: str,
    few: bool,
    most_rows: int,
    is_fetched: bool,
) -> None:
    monkeypatch.setattr(local_relation, "MOST_ROWS", most_rows)
    found = staging_of(lakehouse, build_id, few=few)
    assert (found.fetched_rows is not None) == is_fetched
    assert (found.table.rows, found.table.counts) == (5, {"odd": 3, "unknown": 1})
    for frame in (found.rows, staged(lakehouse.spark, found.table)):
        assert sorted(tuple(row) for row in frame.collect()) == ROWS
        assert frame.schema.simpleString() == "struct<n:int,t:string,value:bigint>"


@pytest.mark.parametrize("few", [True, False])
def test_a_build_id_is_never_used_twice(lakehouse: Lakehouse, few: bool) -> None:
    staging_of(lakehouse, f"once_{few}", few=few)
    with pytest.raises(Exception, match="ALREADY_EXISTS"):
        staging_of(lakehouse, f"once_{few}", few=few)


def test_few_are_neither_many_rows_nor_many_values() -> None:
    most = local_relation.MOST_ROWS
    assert local_relation.are_few(most, 5)
    assert not local_relation.are_few(most, 6)
    assert not local_relation.are_few(most + 1, 1)
