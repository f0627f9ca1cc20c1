"""Copies of published tables that a structured stream keeps, by the code that docs/change-feed.md shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pyspark.errors.exceptions.connect import SparkException

from spark_jobs.layers.registry import TABLES
from tests.spark.publishing.lakehouse import REPO, Lakehouse

COPIED = ("gold.orders_enriched", "gold.customers360")
"""One is merged, the other overwritten."""
ATTEMPTS = 3


class StreamedCopies:
    """Streams that run beside what happens in a lakehouse."""

    def __init__(self, lakehouse: Lakehouse, folder: Path, tables: Sequence[str] = COPIED) -> None:
        self._lakehouse = lakehouse
        self._copies = {table: f"{lakehouse.names.schema('ops')}.copy_of_{table.partition('.')[2]}" for table in tables}
        self._queries = [self._start(table, str(folder / table)) for table in tables]

    def _start(self, table: str, checkpoint: str) -> Any:
        code = _documented(table, self._copies[table], self._lakehouse.names.schema_prefix)
        scope: dict[str, Any] = {}
        exec(code, scope)
        scope["keep_copy"] = _with_wheel(code, str(REPO))
        # Spark gives the stream's Python worker ten seconds to start, which is little on a machine with other tests.
        for _ in range(ATTEMPTS - 1):
            try:
                return scope["start"](self._lakehouse.spark, checkpoint)
            except SparkException as error:
                if "Python worker failed to connect back" not in str(error):
                    raise
        return scope["start"](self._lakehouse.spark, checkpoint)

    def check(self) -> None:
        """The copies are equal to what is published."""
        for query in self._queries:
            query.processAllAvailable()
        for table, copy in self._copies.items():
            ours, theirs = self._lakehouse.published(table), self._lakehouse.spark.table(copy)
            assert sorted(theirs.collect(), key=repr) == sorted(ours.collect(), key=repr), (
                f"the copy of {table} differs"
            )

    def stop(self) -> None:
        for query in self._queries:
            query.stop()


def _documented(table: str, copy: str, prefix: str) -> str:
    page = (REPO / "docs/change-feed.md").read_text(encoding="utf-8")
    code = page.partition("<!-- copy: tests run it -->")[2].partition("```python\n")[2].partition("```")[0]
    for old, new in (
        ('"gold.customers360"', f'"{table}"'),
        ('"main.mine.customers360"', f'"{copy}"'),
        ('TableNames("main")', f'TableNames("spark_catalog", "{prefix}")'),
        ('"customer_id"', f'"{TABLES[table].key}"'),
    ):
        assert old in code, f"docs/change-feed.md has no {old}"
        code = code.replace(old, new)
    return code


def _with_wheel(code: str, repo: str) -> Callable[[Any, int], None]:
    """The function of the page, in a process that finds the package."""

    def keep_copy(batch: Any, batch_id: int) -> None:
        import sys

        if repo not in sys.path:
            sys.path.insert(0, repo)
        scope: dict[str, Any] = {}
        exec(code, scope)
        scope["keep_copy"](batch, batch_id)

    return keep_copy
