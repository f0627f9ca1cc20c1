"""What other writers do between the statements of a task."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from pyspark.sql import SparkSession


class Interleaving:
    """Something that happens right before, or right after, the first statements that match a pattern."""

    def __init__(self, pattern: str, action: Callable[[], object], *, after: bool = False, times: int = 1) -> None:
        self.pattern, self.action, self.after, self.times = re.compile(pattern), action, after, times
        self.happened = 0

    def is_due(self, statement: str) -> bool:
        if self.happened == self.times or not self.pattern.match(statement):
            return False
        self.happened += 1
        return True


class InterleavedSession:
    """A Spark session for a task: between its statements happens what `interleavings` say."""

    def __init__(self, spark: SparkSession, *interleavings: Interleaving) -> None:
        self._spark, self._interleavings = spark, interleavings
        self._lock = threading.Lock()
        self.statements: list[str] = []

    def sql(self, query: str, *args: Any, **named: Any) -> Any:
        with self._lock:
            self.statements.append(query)
            due = [one for one in self._interleavings if one.is_due(query)]
        for one in due:
            if not one.after:
                one.action()
        result = self._spark.sql(query, *args, **named)
        for one in due:
            if one.after:
                one.action()
        return result

    def __getattr__(self, name: str) -> Any:
        if name == "client":  # so that every statement passes `sql`, as where Spark Connect's client has other parts
            raise AttributeError(name)
        return getattr(self._spark, name)
