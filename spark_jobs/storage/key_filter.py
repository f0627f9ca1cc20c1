"""The rows of some keys, without reading the files of all others."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.storage.local_relation import fetched


@dataclass(frozen=True)
class Keys:
    """Values of a column, which several tables are asked for: `values` holds them under that column's name."""

    values: DataFrame
    column: str

    @property
    def frame(self) -> DataFrame:
        """The keys, at hand where they are few."""
        return self._found[0]

    def rows(self, table: DataFrame) -> DataFrame:
        """The rows of `table` whose column is one of the keys.

        The least and the greatest key are told as literals, by which Delta skips the files of other keys: those of
        new order items follow one another.
        """
        frame, least, greatest = self._found
        if least is None:
            return table.where("false")
        return table.where(F.col(self.column).between(least, greatest)).join(
            F.broadcast(frame), self.column, "left_semi"
        )

    @cached_property
    def _found(self) -> tuple[DataFrame, Any, Any]:
        """The keys, the least and the greatest of them: asked of Spark once for all tables."""
        frame, rows = fetched(self.values)
        if rows is None:
            least, greatest = frame.agg(F.min(self.column), F.max(self.column)).collect()[0]
            return frame, least, greatest
        ends = pc.min_max(rows[self.column])
        return frame, ends["min"].as_py(), ends["max"].as_py()
