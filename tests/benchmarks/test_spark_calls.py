"""Calls of Spark are counted as a client makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import AnalysisException

from benchmarks.spark_calls import ANALYSIS, CONFIG, STATEMENT, SparkCalls, delta_versions


def test_each_call_is_recorded_under_the_task_that_made_it(spark: Any, spark_remote: str) -> None:
    calls = SparkCalls()
    session = calls.session(spark_remote)
    try:
        with calls.task("one"):
            assert session.range(3).collect() == spark.range(3).collect()
            assert session.range(3).columns == ["id"]
            session.conf.set("spark.sql.session.timeZone", "UTC")
        with calls.task("two"), pytest.raises(AnalysisException):
            session.table("nowhere.to_be_found").collect()
    finally:
        session.stop()
    # A client asks for settings by itself too.
    made = [call for call in calls.recorded if call.task and not call.kind.startswith("get")]
    found = [(call.task, call.method, call.kind, call.text, call.failed) for call in made]
    assert found == [
        ("one", STATEMENT, "read", "range", False),
        ("one", ANALYSIS, "schema", "range", False),
        ("one", CONFIG, "set", "spark.sql.session.timeZone", False),
        ("two", STATEMENT, "read", "nowhere.to_be_found", True),
    ]
    assert calls.count(STATEMENT) == 2
    assert calls.count(STATEMENT, "one") == 1
    assert all(call.seconds > 0 for call in calls.recorded)


def test_the_text_of_a_statement_says_what_it_does(spark_remote: str) -> None:
    calls = SparkCalls()
    session = calls.session(spark_remote)
    try:
        with calls.task("texts"):
            rows = session.createDataFrame([(1,)], "n INT")
            session.sql("SELECT * FROM {rows} WHERE n = 1", rows=rows).collect()
            session.range(2).crossJoin(rows).collect()
    finally:
        session.stop()
    statements = [(call.kind, call.text) for call in calls.recorded if call.method == STATEMENT]
    assert statements[0][0] == "sql"
    assert statements[0][1].startswith("SELECT * FROM")
    assert statements[-1] == ("read", "join(range, local_relation)")


def test_commits_are_counted_by_table(spark: Any, tmp_path: Path) -> None:
    before = delta_versions(tmp_path)
    table = tmp_path / "gold.db" / "things"
    for _ in range(3):
        spark.range(1).write.format("delta").mode("append").save(str(table))
    assert delta_versions(tmp_path) - before == {"gold.things": 3}
