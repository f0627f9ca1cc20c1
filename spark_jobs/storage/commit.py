"""The commits of a publication: each table changes in one commit, or in none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from spark_jobs.runtime.concurrency import run_each
from spark_jobs.runtime.errors import LakehouseError, TableDropped
from spark_jobs.storage import delta
from spark_jobs.storage.changes import DELETED
from spark_jobs.storage.key_filter import KeyFilter
from spark_jobs.storage.staging import StagedTable, staged_relation, staged_rows
from spark_jobs.tables.spec import TableSpec, Write

if TYPE_CHECKING:
    from datetime import date

    from spark_jobs.storage.build_record import Build
    from spark_jobs.storage.lakehouse import Lakehouse
    from spark_jobs.storage.local_relation import Relation
    from spark_jobs.storage.publications import Publication

ROWS_PER_FILE, MOST_FILES = 25_000, 256
"""Layout of what is written in one piece: a later day then reads, or rewrites, few of the files."""


@dataclass(frozen=True)
class Committed:
    """A table after the commit: its version, and by how many rows it grew."""

    version: int
    rows_gained: int


class ConcurrentCommit(LakehouseError):
    """Another run committed to a table of the layer meanwhile: publish restores and commits again."""


def restore_tables(lakehouse: Lakehouse, layer: str, newest: Publication | None) -> dict[str, int]:
    """Restore every table of the layer to what its newest publication records. Return the versions of their heads.

    A head that differs is left from a publish that died half-way, or from another writer. Tables that do not exist yet
    are created. Raises TableDropped where a published table is gone, and ConcurrentCommit where another run commits
    meanwhile.
    """
    spark, specs = lakehouse.spark, lakehouse.tables_of(layer)

    def restored(spec: TableSpec) -> int:
        name = lakehouse.name(spec.name)
        published = newest.tables.get(spec.name, 0) if newest else 0
        version = delta.head_version(spark, name)
        if version is None and published:
            raise TableDropped(
                f"{name} was published at version {published} and is gone: was it dropped by hand? "
                f"UNDROP TABLE {name} brings it back on Databricks; elsewhere, drop the tables of all layers and "
                "of ops, and run all landing dates again."
            )
        if version is None:
            delta.create_table(spark, name, spec)
            version = _head(lakehouse, spec)  # another run may have created it, and committed to it
        if version == published:
            return version
        try:
            delta.restore(spark, name, published)
        except PySparkException as error:
            if delta.is_concurrency_conflict(error):
                raise ConcurrentCommit(spec.name) from error
            raise
        return _head(lakehouse, spec)

    return dict(zip((spec.name for spec in specs), run_each(restored, specs), strict=True))


def commit(
    lakehouse: Lakehouse, build: Build, heads: dict[str, int], dates_end: date | None = None
) -> dict[str, Committed]:
    """Bring the staged rows into the layer's tables, all at the same time. `heads` are the versions to commit upon.

    `dates_end` is the first landing date of which nothing can be published yet; None where that is not known.
    Raises ConcurrentCommit where a commit did not come right after its head, since the table may then hold rows of
    another run too.
    """
    specs = lakehouse.tables_of(build.layer)

    def committed(spec: TableSpec) -> Committed:
        staged = build.staged.get(spec.name)
        try:
            gained = None if staged is None else _write(lakehouse, build, spec, staged, dates_end)
        except PySparkException as error:
            if delta.is_concurrency_conflict(error):
                raise ConcurrentCommit(spec.name) from error
            raise
        if gained is None:
            return Committed(heads[spec.name], 0)
        version = _head(lakehouse, spec)
        if version != heads[spec.name] + 1:
            raise ConcurrentCommit(spec.name)
        return Committed(version, gained)

    return dict(zip((spec.name for spec in specs), run_each(committed, specs), strict=True))


def _head(lakehouse: Lakehouse, spec: TableSpec) -> int:
    version = delta.head_version(lakehouse.spark, lakehouse.name(spec.name))
    if version is None:
        raise TableDropped(f"{lakehouse.name(spec.name)} is gone: was it dropped by hand?")
    return version


def _write(
    lakehouse: Lakehouse, build: Build, spec: TableSpec, staged: StagedTable, dates_end: date | None
) -> int | None:
    """Write staged rows.

    Return the rows gained; None where nothing comes and nothing goes, since Delta would make no commit.
    """
    if spec.write is Write.REPLACE_DATES:
        return _replace_dates(lakehouse, build, spec, staged, dates_end)
    published_rows = build.previous.rows.get(spec.name, 0)
    if not staged.rows and not (staged.overwrites and published_rows):
        return None
    # Without published rows nothing is staged as deleted. A MERGE would do the same, and leave the keys in no order.
    if staged.overwrites or not published_rows:
        _insert(lakehouse, spec, staged, "INSERT OVERWRITE {name}")
        return staged.rows - published_rows
    return _merge(lakehouse, spec, staged)


def _replace_dates(
    lakehouse: Lakehouse, build: Build, spec: TableSpec, staged: StagedTable, dates_end: date | None
) -> int | None:
    condition = f"landing_date >= DATE'{build.interval.start}' AND landing_date < DATE'{build.interval.end}'"
    if build.missing_dates:
        condition += f" AND landing_date NOT IN ({delta.literal_list(sorted(build.missing_dates), 'DATE')})"
    removed = 0
    dates_are_new = dates_end is not None and build.interval.start >= dates_end
    if build.previous.rows.get(spec.name) and not dates_are_new:
        removed = int(lakehouse.spark.table(lakehouse.name(spec.name)).where(condition).count())
    if not staged.rows and not removed:
        return None
    _insert(lakehouse, spec, staged, f"INSERT INTO {{name}} REPLACE WHERE {condition}")
    return staged.rows - removed


def _insert(lakehouse: Lakehouse, spec: TableSpec, staged: StagedTable, insert: str) -> None:
    """Insert staged rows. Neighbours stay in one file, so that the files' statistics tell where a date or a key is."""
    files = min(MOST_FILES, staged.rows // ROWS_PER_FILE + 1)
    hint = f"/*+ REPARTITION_BY_RANGE({files}, {spec.statistics_columns[0]}) */"
    columns = ", ".join(f"`{name}`" for name in spec.columns)
    rows = staged_rows(lakehouse, spec.name, staged)
    statement = f"{insert.format(name=lakehouse.name(spec.name))} SELECT {hint} {columns} FROM {{rows}}"  # noqa: S608
    lakehouse.spark.sql(statement, rows=rows)


def _merge(lakehouse: Lakehouse, spec: TableSpec, staged: StagedTable) -> int:
    key, columns = spec.key, spec.columns
    names = ", ".join(f"`{name}`" for name in columns)
    updates = ", ".join(f"published.`{name}` = staged.`{name}`" for name in columns)
    values = ", ".join(f"staged.`{name}`" for name in columns)
    rows = staged_relation(lakehouse, spec.name, staged)
    (merged,) = lakehouse.spark.sql(
        f"MERGE INTO {lakehouse.name(spec.name)} AS published USING {{rows}} AS staged"  # noqa: S608 - checked names
        f" ON published.`{key}` = staged.`{key}`{_key_range(spec, rows)}"
        f" WHEN MATCHED AND staged.{DELETED} THEN DELETE"
        f" WHEN MATCHED THEN UPDATE SET {updates}"
        f" WHEN NOT MATCHED AND NOT staged.{DELETED} THEN INSERT ({names}) VALUES ({values})",
        rows=rows.frame,
    ).collect()
    return int(merged["num_inserted_rows"] - merged["num_deleted_rows"])


def _key_range(spec: TableSpec, rows: Relation) -> str:
    """Return the least and the greatest staged key as literals, by which MERGE skips the files of other keys."""
    if spec.key not in spec.statistics_columns:
        return ""
    keys = KeyFilter.of(rows, spec.key)
    return (
        "" if keys.least is None else f" AND published.`{spec.key}` BETWEEN {int(keys.least)} AND {int(keys.greatest)}"
    )
