"""Local relations: a few rows that are fetched once, and sent along with each statement that uses them.

Each time a plan names a Delta table, Spark looks into the catalog and into the table's log. On a day's few hundred rows
that is most of the work. A plan over local relations names no table.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

MOST_ROWS = 10_000
"""Unless the environment variable ROWS_VARIABLE gives another number; 0 makes builds read the tables themselves."""
ROWS_VARIABLE = "LAKEHOUSE_LOCAL_ROWS"
MOST_BYTES = 1_000_000
"""A local relation travels with each statement that uses it."""
MOST_VALUES = 50_000
"""Rows times columns, where the number of rows is known or expected before they are fetched."""


def most_rows() -> int:
    """Return the number of rows that a local relation has at most."""
    return int(os.environ.get(ROWS_VARIABLE, MOST_ROWS))


def is_small(rows: int, columns: int) -> bool:
    """Return whether that many rows of that many columns are worth being a local relation."""
    return rows <= most_rows() and rows * columns <= MOST_VALUES


def local_relation(frame: DataFrame, known_rows: int | None = None) -> DataFrame:
    """Return the rows of `frame` as they are now, in its columns and types; `frame` itself where they are too many.

    With `known_rows`, their number, nothing is fetched of a frame that has too many. No column may be a struct: Arrow
    does not take a null struct whose fields are not nullable.
    """
    return fetch(frame, known_rows)[0]


def fetch(frame: DataFrame, known_rows: int | None = None) -> tuple[DataFrame, pa.Table | None]:
    """Return `local_relation`, and its rows; None where they are too many."""
    if known_rows is not None and known_rows > most_rows():
        return frame, None
    # A limit over a Delta table costs more than all of a small one: Delta adds up the rows of its files first.
    few = frame.limit(most_rows() + 1) if known_rows is None else frame
    rows = few.toArrow()
    if not fits(rows):
        return frame, None
    return frame.sparkSession.createDataFrame(rows, few.schema), rows


def fits(rows: pa.Table) -> bool:
    """Return whether rows are few enough for a local relation."""
    # Not nbytes: it crashes the whole process where a column of texts has no row.
    return rows.num_rows <= most_rows() and rows.get_total_buffer_size() <= MOST_BYTES
