"""The rows that a publication changes in a table."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

DELETED = "_deleted"


def changed_rows(new: DataFrame, published: DataFrame, key: str, columns: Sequence[str]) -> DataFrame:
    """Return the rows that turn `published` into `new`: `columns`, which are all that both have, and `_deleted
    BOOLEAN`.

    A row of `new` that is absent from `published`, or differs in any column (null-safe), is to be upserted; a
    row of `published` that is absent from `new` is to be deleted, and is given as it was published. Both hold
    one row per `key`. Where only some natural keys were built, `published` must be
    limited to the rows of those keys, or the others would count as deleted.
    """
    both = differences(new, published, key, columns)
    return both.select(F.coalesce("_new", "_old").alias("_row"), F.col("_new").isNull().alias(DELETED)).select(
        "_row.*", DELETED
    )


def differences(new: DataFrame, old: DataFrame, key: str, columns: Sequence[str]) -> DataFrame:
    """Return the rows in which two tables differ, side by side: `_new` and `_old`, structs of `columns`, NULL for none.

    One row per key whose rows differ in any column (null-safe). Both tables hold one row per `key`.
    """
    left = new.select(F.col(key).alias("_key"), F.struct(*columns).alias("_new"))
    right = old.select(F.col(key).alias("_key"), F.struct(*columns).alias("_old"))
    both = left.join(right, "_key", "full").where(~F.col("_new").eqNullSafe(F.col("_old")))
    return both.select("_new", "_old")
