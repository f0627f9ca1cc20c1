"""Local relations: a few rows that are fetched once, and sent along with each statement that uses them.

Each time a plan names a Delta table, Spark looks into the catalog and into the table's log. On a day's few hundred rows
that is most of the work. A plan over local relations names no table.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from spark_jobs.storage.spark_connect import rows_and_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

MOST_ROWS = 10_000
"""Unless the environment variable ROWS_VARIABLE gives another number; 0 makes builds read the tables themselves."""
ROWS_VARIABLE = "LAKEHOUSE_LOCAL_ROWS"
MOST_BYTES = 1_000_000
"""A local relation travels with each statement that uses it."""
MOST_VALUES = 50_000
"""Rows times columns, where the number of rows is known or expected before they are fetched."""


@dataclass(frozen=True)
class Relation:
    """Rows as a frame, and in memory where they are few: `frame` is a local relation of `rows` then."""

    frame: DataFrame
    rows: pa.Table | None

    def select(self, *columns: str) -> Relation:
        """Take some columns. Runs no job."""
        return Relation(self.frame.select(*columns), None if self.rows is None else self.rows.select(list(columns)))

    def distinct(self, *columns: str) -> Relation:
        """Take the distinct values of some columns. Runs no job."""
        if self.rows is None:
            return Relation(self.frame.select(*columns).distinct(), None)
        rows = self.rows.select(list(columns)).group_by(list(columns), use_threads=False).aggregate([])
        return relation(self.frame.sparkSession, rows)

    def union(self, other: Relation) -> Relation:
        """Append rows by the names of their columns, which are the same. Runs no job."""
        if self.rows is None or other.rows is None:
            return Relation(self.frame.unionByName(other.frame), None)
        rows = pa.concat_tables([self.rows, other.rows.select(self.rows.column_names)], promote_options="permissive")
        return relation(self.frame.sparkSession, rows)

    def where(self, column: str, value: int | str, *columns: str) -> Relation:
        """Take some columns of the rows in which `column` has a value. Runs no job."""
        frame = self.frame.where(F.col(column) == value).select(*columns)
        if self.rows is None:
            return Relation(frame, None)
        return relation(frame.sparkSession, self.rows.filter(pc.equal(self.rows[column], value)).select(list(columns)))

    def not_before_earliest(self, instant: str, frame: DataFrame, column: str) -> DataFrame:
        """Select the rows of `frame` whose `column` is not before the earliest `instant` of these rows.

        All rows, where these have no instant, or a NULL, which means from the beginning. The earliest is a literal in
        the plan, by which Delta skips the files of earlier rows. Runs a job only where the rows are not in memory.
        """
        if self.rows is None:
            least = F.when(F.count(instant) == F.count(F.lit(1)), F.unix_micros(F.min(instant)))
            earliest = self.frame.agg(least).collect()[0][0]
        else:
            instants = self.rows[instant]
            in_micros = instants.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
            earliest = None if instants.null_count else pc.min(in_micros).as_py()
        return frame if earliest is None else frame.where(F.col(column) >= F.timestamp_micros(F.lit(earliest)))

    def renamed(self, *names: str) -> Relation:
        """Give all columns other names. Runs no job."""
        return Relation(self.frame.toDF(*names), None if self.rows is None else self.rows.rename_columns(list(names)))


def most_rows() -> int:
    """Return the number of rows that a local relation has at most."""
    return int(os.environ.get(ROWS_VARIABLE, MOST_ROWS))


def is_small(rows: int, columns: int) -> bool:
    """Return whether that many rows of that many columns are worth being a local relation."""
    return rows <= most_rows() and rows * columns <= MOST_VALUES


def local_relation(frame: DataFrame) -> DataFrame:
    """Return the frame of `fetch`."""
    return fetch(frame).frame


def fetch(frame: DataFrame) -> Relation:
    """Fetch the rows of `frame` as they are now, in its columns and types; only the frame where they are too many.

    No column may be a struct: Arrow does not take a null struct whose fields are not nullable.
    """
    rows, schema = rows_and_schema(frame.limit(most_rows() + 1))
    if not fits(rows):
        return Relation(frame, None)
    return relation(frame.sparkSession, rows, schema)


def fetch_if_small(frame: DataFrame, expected_rows: int, columns: int) -> Relation:
    """Fetch the rows of `frame` as `fetch` does, where as many rows and columns are worth it; else only the frame."""
    return fetch(frame) if is_small(expected_rows, columns) else Relation(frame, None)


def relation(spark: SparkSession, rows: pa.Table, schema: StructType | None = None) -> Relation:
    """Return few rows in memory with a local relation of them. Without `schema` their Arrow types decide."""
    return Relation(spark.createDataFrame(rows, schema or from_arrow_schema(rows.schema)), rows)


def fits(rows: pa.Table) -> bool:
    """Return whether rows are few enough for a local relation."""
    # Not nbytes: it crashes the whole process where a column of texts has no row.
    return rows.num_rows <= most_rows() and rows.get_total_buffer_size() <= MOST_BYTES
