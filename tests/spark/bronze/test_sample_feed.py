"""The invented feed passes every row rule."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any


def test_nothing_of_the_sample_feed_is_quarantined(spark: Any, tmp_path: Path) -> None:
    from spark_jobs.bronze.landed_lines import BuildStamp, landed_lines
    from spark_jobs.bronze.source import read_lines
    from spark_jobs.interval import Interval
    from spark_jobs.landing import landed_files
    from spark_jobs.row_rules import bronze_row_rules
    from spark_jobs.sample_feed import generate

    feed = generate(tmp_path, date(2018, 1, 1), 7, 40, 7)
    files = landed_files(tmp_path, Interval(date(2018, 1, 1), date(2018, 1, 8))).files
    stamp = BuildStamp("1_0", "1", "0.1.0", datetime(2020, 1, 1, tzinfo=UTC))
    lines = landed_lines(read_lines(spark, tmp_path, files), files, bronze_row_rules(), b"key", stamp)
    rows = lines.select("reasons").collect()
    assert len(rows) == feed.lines
    assert {reason for row in rows for reason in row.reasons} == set()
