"""The rows of some keys, without reading the files of all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from spark_jobs.storage.local_relation import Relation


@dataclass(frozen=True)
class KeyFilter:
    """Distinct values of one column, and the least and greatest of them: None where there is no value."""

    keys: Relation
    column: str
    least: Any
    greatest: Any

    @classmethod
    def of(cls, rows: Relation, column: str) -> KeyFilter:
        """Take the values of a column of `rows`. Runs a job only where these are not in memory."""
        keys = rows.distinct(column)
        if keys.rows is None:
            least, greatest = keys.frame.agg(F.min(column), F.max(column)).collect()[0]
            return cls(keys, column, least, greatest)
        ends = pc.min_max(keys.rows[column])
        return cls(keys, column, ends["min"].as_py(), ends["max"].as_py())

    def rows(self, table: DataFrame) -> DataFrame:
        """Select the rows of `table` whose column is one of the keys.

        The least and the greatest key are literals in the plan, by which Delta skips the files of other keys: those of
        new order items follow one another.
        """
        if self.least is None:
            return table.where("false")
        in_range = F.col(self.column).between(self.least, self.greatest)
        return table.where(in_range).join(F.broadcast(self.keys.frame), self.column, "left_semi")
