"""The rows of some keys, without reading the files of all others."""

from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.storage.local_relation import fetch


@dataclass(frozen=True)
class KeyFilter:
    """Distinct values of one column, and the least and greatest of them: None where there is no value."""

    keys: DataFrame
    column: str
    least: Any
    greatest: Any

    @classmethod
    def fetch(cls, keys: DataFrame, column: str) -> "KeyFilter":
        """Make the filter from a frame that holds the keys under the column's name.

        Runs a job: a local relation where they are few.
        """
        frame, rows = fetch(keys)
        if rows is None:
            least, greatest = frame.agg(F.min(column), F.max(column)).collect()[0]
            return cls(frame, column, least, greatest)
        ends = pc.min_max(rows[column])
        return cls(frame, column, ends["min"].as_py(), ends["max"].as_py())

    def rows(self, table: DataFrame) -> DataFrame:
        """Return the rows of `table` whose column is one of the keys.

        The least and the greatest key are literals in the plan, by which Delta skips the files of other keys: those of
        new order items follow one another.
        """
        if self.least is None:
            return table.where("false")
        in_range = F.col(self.column).between(self.least, self.greatest)
        return table.where(in_range).join(F.broadcast(self.keys), self.column, "left_semi")
