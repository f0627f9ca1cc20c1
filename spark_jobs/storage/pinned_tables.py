"""Published tables as builds and audits read them: pinned to a publication, never a table's head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.runtime.errors import UpstreamMissing
from spark_jobs.runtime.table_names import UPSTREAM_LAYER
from spark_jobs.storage import delta
from spark_jobs.storage.build_record import Build, PinnedPublication
from spark_jobs.storage.local_relation import Relation, fetch
from spark_jobs.storage.publications import Publications

if TYPE_CHECKING:
    from spark_jobs.storage.lakehouse import Lakehouse
    from spark_jobs.tables.spec import TableSpec


@dataclass(frozen=True)
class BuildInputs:
    """The publications that a build of silver or gold reads: see Build."""

    previous: PinnedPublication
    upstream: PinnedPublication
    previous_upstream: PinnedPublication | None

    def rows_gained(self, table: str) -> int:
        """Return the number of rows by which an upstream table grew or shrank since `previous` was built."""
        before = self.previous_upstream.rows.get(table, 0) if self.previous_upstream else 0
        return abs(self.upstream.rows.get(table, 0) - before)

    @property
    def most_rows_gained(self) -> int:
        """The number of rows by which the upstream table that changed most grew or shrank."""
        return max(map(self.rows_gained, self.upstream.rows), default=0)

    def most_rows(self, spec: TableSpec) -> int:
        """Return the rows of the largest upstream table that a table is staged from, as far as they are known."""
        return max((self.upstream.rows[table] for table in spec.staged_from if table in self.upstream.rows), default=0)

    def was_committed_to(self, table: str) -> bool:
        """Return whether an upstream table has another version than when `previous` was built."""
        before = self.previous_upstream
        return before is None or before.versions[table] != self.upstream.versions[table]

    def whole(self, upstream: PinnedPublication) -> BuildInputs:
        """Return what a full refresh reads that cannot read, or need not, what is published of the layer itself."""
        return BuildInputs(PinnedPublication(self.previous.seq, {}, self.previous.rows), upstream, None)


def build_inputs(lakehouse: Lakehouse, layer: str) -> BuildInputs:
    """Pin the publications that a build of the layer reads. Raises UpstreamMissing."""
    published = Publications(lakehouse).inputs(layer)
    previous, upstream = published.newest, published.upstream
    if upstream is None:
        raise UpstreamMissing(
            f"{layer} cannot be built: its upstream layer has no publication yet; run {UPSTREAM_LAYER[layer]} first"
        )
    before = published.previous_upstream
    # A layer that got a table since its newest publication is refreshed as a whole.
    if previous and set(previous.tables) != {spec.name for spec in lakehouse.tables_of(layer)}:
        before = None
    pin = PinnedPublication.pin
    return BuildInputs(pin(previous), pin(upstream), pin(before) if before else None)


def read_pinned(lakehouse: Lakehouse, pinned: PinnedPublication, table: str) -> DataFrame:
    """Read a table at the version of a publication; without rows where it is not published. Runs no job."""
    spec = lakehouse.tables[table]
    if table not in pinned.versions:
        return lakehouse.spark.createDataFrame([], spec.schema)
    frame = delta.at_version(lakehouse.spark, lakehouse.name(table), pinned.versions[table])
    return frame.select(*spec.columns)  # others may have added columns


def read_all_pinned(lakehouse: Lakehouse, pinned: PinnedPublication, layer: str) -> dict[str, DataFrame]:
    """Return `read_pinned` of each table of a layer."""
    return {spec.name: read_pinned(lakehouse, pinned, spec.name) for spec in lakehouse.tables_of(layer)}


@dataclass(frozen=True)
class ChangedUpstream:
    """What the upstream layer of gold wrote or removed since `previous_upstream`, by table: values of its key."""

    keys: dict[str, Relation]
    landing_end: date | None
    """1 day + the greatest landing date, where it was looked up; None without any row."""


def changed_upstream(
    lakehouse: Lakehouse, build: BuildInputs | Build, keys: Mapping[str, str], dated_by: str | None = None
) -> ChangedUpstream:
    """Return what the upstream layer changed in some tables, by one statement; `keys` has the key (BIGINT) of each.

    `dated_by` is the table whose greatest landing date is looked up. Raises ValueError.
    """
    if build.upstream is None or build.previous_upstream is None:
        raise ValueError("there is no earlier upstream publication to compare with: the build is a full refresh")
    before, now, spark = build.previous_upstream.versions, build.upstream.versions, lakehouse.spark
    parts = []
    if dated_by:
        newest = read_pinned(lakehouse, build.upstream, dated_by).agg(F.max("landing_date").alias("newest"))
        parts.append(newest.select(F.lit(0), F.unix_date("newest").cast("bigint")))
    for number, (table, key) in enumerate(keys.items(), start=1):
        changed = delta.changed_keys(spark, lakehouse.name(table), before[table], now[table], key)
        parts.append(changed.select(F.lit(number), key))
    found = fetch(reduce(DataFrame.union, parts).toDF("part", "value"))
    return ChangedUpstream(
        {
            table: found.where("part", number, "value").renamed(key)
            for number, (table, key) in enumerate(keys.items(), start=1)
        },
        _landing_end(found) if dated_by else None,
    )


def _landing_end(found: Relation) -> date | None:
    newest = found.where("part", 0, "value")
    value = newest.rows["value"][0].as_py() if newest.rows is not None else newest.frame.collect()[0][0]
    return None if value is None else date(1970, 1, 1) + timedelta(days=value + 1)
