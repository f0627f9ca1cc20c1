"""What others did to published tables: their metadata stays, and rows that nobody audited are taken back."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from spark_jobs.runtime.concurrency import run_each
from spark_jobs.runtime.errors import LakehouseError, TableDropped
from spark_jobs.storage import delta

if TYPE_CHECKING:
    from collections.abc import Collection

    from pyspark.sql import Row
    from pyspark.sql.types import StructType

    from spark_jobs.storage.build_record import PinnedPublication
    from spark_jobs.storage.lakehouse import Lakehouse
    from spark_jobs.storage.publications import Publication
    from spark_jobs.tables.spec import TableSpec

log = logging.getLogger(__name__)

# https://docs.databricks.com/en/delta/history.html, "Operation metrics keys"; an operation that is not known here may
# change rows.
LAYOUT_OPERATIONS = frozenset(
    {
        *("OPTIMIZE", "VACUUM START", "VACUUM END", "REORG", "AUTO COMPACTION", "COMPUTE STATS"),
        *("OPTIMIZE CHECKPOINT", "DOMAIN METADATA CLEANUP", "ROW TRACKING UNBACKFILL"),
    }
)
"""Commits that leave every row and all metadata as they are."""
METADATA_OPERATIONS = frozenset(
    {
        *("SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "CLUSTER BY", "ADD CONSTRAINT", "DROP CONSTRAINT"),
        *("ADD COLUMNS", "CHANGE COLUMN", "CHANGE COLUMNS", "RENAME COLUMN", "DROP COLUMNS", "REPLACE COLUMNS"),
        *("UPGRADE PROTOCOL", "ADD FEATURE", "DROP FEATURE", "ADD DELETION VECTORS TOMBSTONES"),
        *("SET TABLE TAGS", "UNSET TABLE TAGS", "SET COLUMN TAGS", "UNSET COLUMN TAGS", "ROW TRACKING BACKFILL"),
        *("REMOVE COLUMN MAPPING", "REORG TABLE UPGRADE UNIFORM"),
    }
)
"""Commits that leave every row as it is, as long as the columns of the specification are still there."""


class TableLost(LakehouseError):
    """A published version, or a file of it, is gone, and with it rows that a commit would build upon."""


class ConcurrentCommit(LakehouseError):
    """Another run committed to a table of the layer meanwhile: restore and commit again."""


def restore_tables(
    lakehouse: Lakehouse, layer: str, newest: Publication | None, overwritten: Collection[str] = ()
) -> dict[str, int]:
    """Make the rows of every table of the layer what its newest publication says. Return the versions of their heads.

    A head that differs is left from a publish that died half-way, or from another writer. Where all commits since the
    publication left the rows as they are, it stays, and the metadata with it; otherwise the rows of the publication are
    brought back. Only a head that differs costs more than a look. Tables that do not exist yet are created.
    `overwritten` are those of which all rows are about to be replaced: they need not be what they were.

    Raises TableLost where a published version cannot be brought back, and ConcurrentCommit where another run commits
    meanwhile.
    """
    specs = lakehouse.tables_of(layer)

    def restored(spec: TableSpec) -> int:
        published = newest.tables.get(spec.name, 0) if newest else 0
        try:
            return _restored(lakehouse, spec, published, is_overwritten=spec.name in overwritten)
        except PySparkException as error:
            if delta.is_concurrency_conflict(error):
                raise ConcurrentCommit(spec.name) from error
            raise

    return dict(zip((spec.name for spec in specs), run_each(restored, specs), strict=True))


def readable(lakehouse: Lakehouse, pinned: PinnedPublication) -> PinnedPublication:
    """Pin a publication to the newest versions with the same rows, whose files are there if any are.

    A table that cannot be read keeps its version: whatever reads it next reports the error.
    """

    def newest_with_same_rows(table: str) -> int:
        version, spec = pinned.versions[table], lakehouse.tables[table]
        try:
            return _last_with_same_rows(lakehouse, spec, version, _commits(lakehouse, table, version))
        except PySparkException as error:
            if not delta.is_unreadable(error):
                raise
            return version

    versions = dict(zip(pinned.versions, run_each(newest_with_same_rows, pinned.versions), strict=True))
    return replace(pinned, versions=versions)


def head_of(lakehouse: Lakehouse, table: str) -> int:
    """Return the newest version of a table. Raises TableDropped where there is none."""
    version = delta.head_version(lakehouse.spark, lakehouse.name(table))
    if version is None:
        raise TableDropped(f"{lakehouse.name(table)} is gone: was it dropped by hand?")
    return version


def _restored(lakehouse: Lakehouse, spec: TableSpec, published: int, *, is_overwritten: bool) -> int:
    spark, name = lakehouse.spark, lakehouse.name(spec.name)
    version = delta.head_version(spark, name)
    if version == published:
        return version
    if version is None or version < published:
        if published and not is_overwritten:
            raise TableLost(f"{name} was published at version {published} and is gone")
        delta.create_table(spark, name, spec, replaces=version is not None)
        version = head_of(lakehouse, spec.name)  # another run may have created it, and committed to it
        if published or not version:
            return version
    commits, most = _commits(lakehouse, spec.name, published), version
    if _last_with_same_rows(lakehouse, spec, published, commits) == version:
        log.info("%s: version %d has the published rows; kept as others left it: %s", name, version, _named(commits))
    else:
        log.info("%s: taken back to the published rows of version %d after %s", name, published, _named(commits))
        try:
            _take_back(lakehouse, spec, published, commits)
            most += 1
        except PySparkException as error:
            if not delta.is_unreadable(error):
                raise
            if not is_overwritten:
                raise TableLost(f"{name} can no longer be read as published at version {published}") from error
    # Others may have switched it off, also in the version that RESTORE brings back.
    most += delta.keep_change_feed(spark, name)
    head = head_of(lakehouse, spec.name)
    if head > most:
        raise ConcurrentCommit(spec.name)
    return head


def _take_back(lakehouse: Lakehouse, spec: TableSpec, published: int, commits: list[Row]) -> None:
    """Bring the published rows back. RESTORE would also take back metadata of others, so it is not used upon those."""
    spark, name = lakehouse.spark, lakehouse.name(spec.name)
    changes_metadata = any(commit["operation"] in METADATA_OPERATIONS for commit in commits)
    schema = spark.table(name).schema
    if changes_metadata and _has_columns(schema, spec):
        insert = delta.overwrite(spark, name, spec.statistics_columns[0])
        columns = delta.select_list(schema.names, spec)
        spark.sql(f"{insert} SELECT {columns} FROM {name} VERSION AS OF {published}").collect()  # noqa: S608
    else:
        delta.restore(spark, name, published)


def _commits(lakehouse: Lakehouse, table: str, after: int) -> list[Row]:
    """Return the commits later than a version, oldest first."""
    history = lakehouse.spark.sql(f"DESCRIBE HISTORY {lakehouse.name(table)}")
    rows = history.where(f"version > {int(after)}").select("version", "operation").collect()
    return sorted(rows, key=lambda row: int(row["version"]))


def _last_with_same_rows(lakehouse: Lakehouse, spec: TableSpec, version: int, commits: list[Row]) -> int:
    """Return the last version until which no commit changed a row of the specification's columns."""
    same = version
    for commit in commits:
        if commit["operation"] not in LAYOUT_OPERATIONS | METADATA_OPERATIONS:
            break
        same = int(commit["version"])
    passed = [commit for commit in commits if commit["version"] <= same]
    if any(commit["operation"] in METADATA_OPERATIONS for commit in passed):
        schema = delta.at_version(lakehouse.spark, lakehouse.name(spec.name), same).schema
        return same if _has_columns(schema, spec) else version
    return same


def _has_columns(schema: StructType, spec: TableSpec) -> bool:
    """Return whether a table has the columns of its specification, in their order; others may stand between them."""
    expected = [(field.name, field.dataType.simpleString()) for field in spec.schema.fields]
    found = [(field.name, field.dataType.simpleString()) for field in schema.fields if field.name in spec.schema.names]
    return found == expected


def _named(commits: list[Row]) -> str:
    return ", ".join(f"{commit['operation']} (version {commit['version']})" for commit in commits)
