"""The rows of some keys, without reading the files of all others."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def of_keys(frame: DataFrame, keys: DataFrame, column: str) -> DataFrame:
    """The rows of `frame` whose `column` is one of `keys`.

    The least and the greatest key are told as literals, by which Delta skips the files of other keys: those of new
    order items follow one another.
    """
    least, greatest = keys.agg(F.min(column), F.max(column)).collect()[0]
    if least is None:
        return frame.where("false")
    return frame.where(F.col(column).between(least, greatest)).join(F.broadcast(keys), column, "left_semi")
