"""The rows of some keys, without reading the files of all others."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


@dataclass(frozen=True)
class Keys:
    """Values of a column, which several tables are asked for: `frame` holds them under that column's name."""

    frame: DataFrame
    column: str

    def rows(self, table: DataFrame) -> DataFrame:
        """The rows of `table` whose column is one of the keys.

        The least and the greatest key are told as literals, by which Delta skips the files of other keys: those of
        new order items follow one another.
        """
        least, greatest = self._bounds
        if least is None:
            return table.where("false")
        return table.where(F.col(self.column).between(least, greatest)).join(
            F.broadcast(self.frame), self.column, "left_semi"
        )

    @cached_property
    def _bounds(self) -> tuple[Any, Any]:
        """A job of Spark's, once for all tables that are asked."""
        least, greatest = self.frame.agg(F.min(self.column), F.max(self.column)).collect()[0]
        return least, greatest
