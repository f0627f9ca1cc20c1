"""A published table overlaid with a build's staging: the table as it would be after publishing (design, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType

from spark_jobs.storage.changes import DELETED
from spark_jobs.storage.key_filter import Keys

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SUM = DecimalType(38, 4)


@dataclass(frozen=True)
class Change:
    """One table before publishing, and what a build would change in it.

    `published` is None before the first publication; `staged` (the table's columns and `_deleted`) is None where
    a build stages nothing, and for the weekly look at whole tables. `key` tells one row from all others. `replaces`
    says that the staged rows are all that the table will have.
    """

    published: DataFrame | None
    staged: DataFrame | None
    key: str
    replaces: bool = False

    def after(self) -> DataFrame:
        """The table as publishing leaves it."""
        if self.staged is None:
            if self.published is None:
                raise ValueError("a Change needs a published table or a staged one")
            return self.published
        added = self._added()
        if self.published is None or self.replaces:
            return added
        kept = self.published.join(self.staged.select(self.key), self.key, "left_anti")
        # In this order, the columns are in the table's order: a join puts its key first.
        return added.unionByName(kept)

    def after_of(self, keys: Keys | None) -> DataFrame:
        """The rows of these keys, and those that come with a null in its place; None: all rows."""
        after = self.after()
        if keys is None:
            return after
        rows = keys.rows(after)
        return rows if self.staged is None else rows.unionByName(self._added().where(F.col(keys.column).isNull()))

    def keys(self, touched: DataFrame | None, column: str) -> Keys | None:
        """The touched values of `column`, and those that the staging holds although nothing touched them."""
        if touched is None:
            return None
        keys = touched.select(column)
        if self.staged is not None:
            keys = keys.unionByName(self.staged.select(column))
        return Keys(keys.distinct(), column)

    def moved(self, column: str) -> DataFrame:
        """The values of `column` that rows which come, go or differ have, or had."""
        if self.staged is None or self.published is None or self.replaces:
            raise ValueError("only what is staged upon a published table can have moved")
        had = Keys(self.staged.select(self.key), self.key).rows(self.published)
        return self.staged.select(column).unionByName(had.select(column)).distinct()

    def totals(self, measures: Sequence[str]) -> DataFrame:
        """One row: what was published, less what is removed, plus what is added. `rows` counts rows."""
        parts = []
        if self.published is not None:
            parts.append(sums(self.published, measures))
            if self.staged is not None:
                removed = self.published.join(self.staged.select(self.key), self.key, "left_semi")
                parts.append(sums(removed, measures, sign=-1))
        if self.staged is not None:
            parts.append(sums(self._added(), measures))
        return sums_of_sums(reduce(lambda a, b: a.unionByName(b), parts), measures)

    def _added(self) -> DataFrame:
        if self.staged is None:
            raise ValueError("nothing is staged")
        return self.staged.where(~F.col(DELETED)).drop(DELETED)


def sums(frame: DataFrame, measures: Sequence[str], sign: int = 1) -> DataFrame:
    """One row with the sum of each measure, 0 over no rows; the measure `rows` counts rows."""
    return frame.agg(
        *(
            (F.coalesce(F.sum(F.lit(1) if name == "rows" else F.col(name)).cast(SUM), F.lit(0).cast(SUM)) * F.lit(sign))
            .cast(SUM)
            .alias(name)
            for name in measures
        )
    )


def sums_of_sums(parts: DataFrame, measures: Sequence[str]) -> DataFrame:
    return parts.agg(*(F.sum(name).cast(SUM).alias(name) for name in measures))


def compared_totals(expected: DataFrame, actual: DataFrame, measures: Sequence[str]) -> DataFrame:
    """One row a measure: expected, actual, difference. Both sides hold one row with a column a measure."""
    both = expected.select([F.col(m).alias(f"_expected_{m}") for m in measures]).crossJoin(actual)
    rows: list[Column] = [
        F.struct(
            F.lit(m).alias("measure"),
            F.col(f"_expected_{m}").alias("expected"),
            F.col(m).alias("actual"),
            (F.col(m) - F.col(f"_expected_{m}")).alias("difference"),
        )
        for m in measures
    ]
    return both.select(F.inline(F.array(*rows)))


def profile(frame: DataFrame, by: Sequence[str], key: str) -> DataFrame:
    """Rows that measure the same, as one row: how many `keys` they are, and the least of them as `example`.

    So an expectation judges every key, and yet only a few rows leave Spark.
    """
    return frame.groupBy(*by).agg(F.count(F.lit(1)).alias("keys"), F.min(key).alias("example"))
