"""Few rows, fetched once and given back to Spark with whatever is made from them.

Each time a plan names a Delta table, Spark looks into the catalogue and into the table's log, which takes it a small
job of its own. On a day's few hundred rows that is most of the work, and a plan that goes by them names them often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

MOST_ROWS = 10_000
MOST_BYTES = 1_000_000
"""Of what is fetched: it travels with each statement that goes by it."""
MOST_VALUES = 50_000
"""Rows times columns of what is fetched where their number is known, or expected, before."""


def are_few(rows: int, columns: int) -> bool:
    """Whether so many rows of so many columns are worth being fetched."""
    return rows <= MOST_ROWS and rows * columns <= MOST_VALUES


def at_hand(frame: DataFrame, known_rows: int | None = None) -> DataFrame:
    """The rows of `frame` as they are now, in its columns and types; `frame` itself where they are many.

    `known_rows` is their number, where it is known: no row is fetched then of a frame that has too many.

    What is given back reads no table, so it is for rows that later steps go by more than once. Its columns are no
    structs: Arrow does not take a null one whose fields are not nullable.
    """
    return fetched(frame, known_rows)[0]


def fetched(frame: DataFrame, known_rows: int | None = None) -> tuple[DataFrame, pa.Table | None]:
    """`at_hand`, and its rows; None where they are many."""
    if known_rows is not None and known_rows > MOST_ROWS:
        return frame, None
    # A limit over a Delta table is dearer than all of a small one: Delta adds up the rows of its files first.
    few = frame.limit(MOST_ROWS + 1) if known_rows is None else frame
    rows = few.toArrow()
    # Not nbytes: that is a crash of the whole process where a column of texts has no row.
    if rows.num_rows > MOST_ROWS or rows.get_total_buffer_size() > MOST_BYTES:
        return frame, None
    return frame.sparkSession.createDataFrame(rows, few.schema), rows
