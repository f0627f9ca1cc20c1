"""Nothing in the jobs' code needs a JVM beside it or a frame kept in memory."""

from __future__ import annotations

import ast
from pathlib import Path

SPARK_JOBS = Path(__file__).resolve().parents[2] / "spark_jobs"
REFUSED = {"rdd", "sparkContext", "_jvm", "_jsparkSession", "_jdf", "cache", "persist", "checkpoint", "localCheckpoint"}


def names_used(source: str) -> set[str]:
    tree = ast.parse(source)
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {node.attr for node in attributes if not (isinstance(node.value, ast.Name) and node.value.id == "functools")}


def test_the_check_sees_what_is_refused() -> None:
    assert names_used("frame.cache().count()") & REFUSED == {"cache"}


def test_jobs_use_nothing_that_serverless_refuses() -> None:
    found = {
        f"{file.relative_to(SPARK_JOBS)}: {name}"
        for file in SPARK_JOBS.rglob("*.py")
        for name in names_used(file.read_text(encoding="utf-8")) & REFUSED
    }
    assert not found
