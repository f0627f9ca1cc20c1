"""A published table overlaid with what a build staged: the table as its publication would leave it.

Build and audit share it on purpose. What an audit checks independently are the rules, not how staged rows are applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.storage.changes import DELETED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from spark_jobs.storage.key_filter import KeyFilter
    from spark_jobs.storage.local_relation import Relation


@dataclass(frozen=True)
class Overlay:
    """One table before its publication, and what a build would change in it."""

    published: DataFrame | None
    """None before the first publication."""
    staged: Relation | None
    """The table's columns and `_deleted`; None where the build stages nothing for the table."""
    key: str
    """The merge key."""
    overwrites: bool = False
    """Whether the staged rows are all rows that the table will have."""

    def rows(self) -> DataFrame:
        """Return the table as its publication would leave it. Raises ValueError where there is neither side."""
        if self.staged is None:
            if self.published is None:
                raise ValueError("an overlay needs a published table or a staged one")
            return self.published
        upserts = self.upserts()
        if self.published is None or self.overwrites:
            return upserts
        kept = self.published.join(self.staged.frame.select(self.key), self.key, "left_anti")
        # In this order the columns are in the table's order: a join puts its key first.
        return upserts.unionByName(kept)

    def rows_of(self, keys: KeyFilter) -> DataFrame:
        """Return the same, of these keys, and the staged rows that have NULL instead of one."""
        if self.staged is None or self.published is None or self.overwrites:
            rows = keys.rows(self.rows())
        else:
            kept = keys.rows(self.published).join(self.staged.frame.select(self.key), self.key, "left_anti")
            rows = keys.rows(self.upserts()).unionByName(kept)
        if self.staged is None:
            return rows
        return rows.unionByName(self.upserts().where(F.col(keys.column).isNull()))

    def upserts(self) -> DataFrame:
        """Return the staged rows that the publication inserts or updates. Raises ValueError where nothing is staged."""
        if self.staged is None:
            raise ValueError("nothing is staged")
        return self.staged.frame.where(~F.col(DELETED)).drop(DELETED)
