"""The table of a measured day."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from benchmarks.day import WAITS, median, summary
from benchmarks.job_tasks import JobTask
from tests.conftest import REPO


def task(name: str, seconds: float, statements: int) -> JobTask:
    return JobTask(name, seconds, statements, 0, 3, 5, 1, seconds)


def test_the_median_is_taken_of_each_number() -> None:
    days = [task("a", 3.0, 7), task("a", 1.0, 9), task("a", 2.0, 8)]
    assert median(days) == task("a", 2.0, 8)


def test_each_figure_has_a_row() -> None:
    results: dict[str, Any] = {
        "warm_day_seconds": [31.0, 29.0, 30.0],
        "first_day_seconds": [60.0],
        "floor": asdict(task("floor", 10.0, 25)),
        "job_tasks": [asdict(task("bronze.build", 8.0, 20)), asdict(task("gold.publish", 12.0, 21))],
        "one_process": 63.0,
        "duckdb": 6.0,
        "waits": {name: [0.25, 0.75] for name in WAITS},
    }
    lines = summary(results)
    assert "| `make run` for one more day, warm | 30.0 |  |  |  |" in lines
    assert any(line.endswith("| 20.0 | 41 | 6 | 2 |") for line in lines)
    assert any(line.endswith("| 10.0 | 25 | 3 | 1 |") for line in lines)
    assert next(line for line in lines if line.endswith("| 0.50 | 0.75 |")).startswith(
        "| a task ends after its job run"
    )


def test_the_page_shows_what_was_measured() -> None:
    page = (REPO / "docs" / "performance.md").read_text(encoding="utf-8")
    measured = json.loads((REPO / "docs" / "benchmark-day.json").read_text(encoding="utf-8"))
    assert "\n".join(summary(measured)) in page
