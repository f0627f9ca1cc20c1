"""Requests of Spark Connect that the public API makes twice, made once.

Each uses a private part of PySpark's Connect client where that is there, and the public API elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


def rows_and_schema(frame: DataFrame) -> tuple[pa.Table, StructType]:
    """Return the rows of a frame and its schema.

    `toArrow` asks for the schema before it runs the query, which analyses the plan a second time. The answer to the
    query has the schema too.
    """
    connect_frame: Any = frame
    if not hasattr(connect_frame, "_to_table"):
        return frame.toArrow(), frame.schema
    rows, schema = connect_frame._to_table()
    return rows, schema or frame.schema


def query(spark: SparkSession, text: str, **frames: Any) -> DataFrame:
    """Return the frame of a statement, as `SparkSession.sql` does with frames by name.

    `sql` sends the text at once, since it could be a command, and again when the frame is collected. Here it is sent
    when the frame is collected: collect a command exactly once.
    """
    connect_session: Any = spark
    if not hasattr(connect_session, "client"):
        return spark.sql(text, **frames)
    # Not above: elsewhere what these modules need may not be installed.
    from pyspark.sql.connect.dataframe import DataFrame as ConnectDataFrame
    from pyspark.sql.connect.plan import SQL, SubqueryAlias
    from pyspark.sql.connect.sql_formatter import SQLStringFormatter

    formatter = SQLStringFormatter(connect_session)
    formatted = formatter.format(text, **frames)
    views = [SubqueryAlias(frame._plan, name) for frame, name in formatter._temp_views]
    return ConnectDataFrame(SQL(formatted, [], {}, views), connect_session)
