"""Published tables as builds and audits read them: pinned to a publication, never a table's head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_jobs.runtime.concurrency import run_each
from spark_jobs.runtime.errors import UpstreamMissing
from spark_jobs.runtime.table_names import UPSTREAM_LAYER
from spark_jobs.storage import delta
from spark_jobs.storage.build_record import Build, PinnedPublication
from spark_jobs.storage.local_relation import is_small, local_relation
from spark_jobs.storage.publications import Publication, Publications

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

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

    def most_rows(self, spec: TableSpec) -> int:
        """Return the rows of the largest upstream table that a table is staged from, as far as they are known."""
        return max((self.upstream.rows[table] for table in spec.staged_from if table in self.upstream.rows), default=0)

    def was_committed_to(self, table: str) -> bool:
        """Return whether an upstream table has another version than when `previous` was built."""
        before = self.previous_upstream
        return before is None or before.versions[table] != self.upstream.versions[table]


def build_inputs(lakehouse: Lakehouse, layer: str) -> BuildInputs:
    """Pin the publications that a build of the layer reads. Raises UpstreamMissing."""
    publications = Publications(lakehouse)
    newest = publications.newest_by_layer()
    previous, upstream_layer = newest.get(layer), UPSTREAM_LAYER[layer]
    upstream = newest.get(upstream_layer)
    if upstream is None:
        raise UpstreamMissing(
            f"{layer} cannot be built: {upstream_layer} has no publication yet; run {upstream_layer} first"
        )
    before: Publication | None = None
    # A layer that got a table since its newest publication is refreshed as a whole.
    if previous and previous.upstream_seq and set(previous.tables) == {s.name for s in lakehouse.tables_of(layer)}:
        is_same = previous.upstream_seq == upstream.seq
        before = upstream if is_same else publications.get(upstream_layer, previous.upstream_seq)
    pinned = PinnedPublication.pin(before)
    readable = before is not None and _can_read(lakehouse, pinned)
    pin = PinnedPublication.pin
    return BuildInputs(pin(previous), pin(upstream), pinned if readable else None)


def read_pinned(lakehouse: Lakehouse, pinned: PinnedPublication, table: str) -> DataFrame:
    """Read a table at the version of a publication: a local relation where it is small, empty where nothing is
    published."""
    spec = lakehouse.tables[table]
    if table not in pinned.versions:
        return lakehouse.spark.createDataFrame([], spec.schema)
    frame = delta.at_version(lakehouse.spark, lakehouse.name(table), pinned.versions[table])
    rows = pinned.rows.get(table)
    return local_relation(frame, rows) if rows is not None and is_small(rows, len(spec.schema)) else frame


def read_all_pinned(lakehouse: Lakehouse, pinned: PinnedPublication, tables: Sequence[str]) -> dict[str, DataFrame]:
    """Read each of these tables as `read_pinned` does."""
    frames = run_each(lambda table: read_pinned(lakehouse, pinned, table), tables)
    return dict(zip(tables, frames, strict=True))


def changed_upstream(lakehouse: Lakehouse, build: BuildInputs | Build, table: str, key: str) -> DataFrame:
    """Return the `key`s of rows that the upstream layer wrote or removed since `previous_upstream`.

    Raises ValueError.
    """
    if build.upstream is None or build.previous_upstream is None:
        raise ValueError(f"there is no earlier {table} to compare with: the build is a full refresh")
    before, now = build.previous_upstream.versions[table], build.upstream.versions[table]
    return delta.changed_keys(lakehouse.spark, lakehouse.name(table), before, now, key)


def _can_read(lakehouse: Lakehouse, pinned: PinnedPublication) -> bool:
    """Return whether all versions of a publication can still be read."""

    def can_read(table: str) -> bool:
        return delta.can_read(lakehouse.spark, lakehouse.name(table), pinned.versions[table])

    return all(run_each(can_read, pinned.versions))
