"""The commits of a publication: each table changes in one commit, or in none."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from spark_jobs.runtime.concurrency import run_each
from spark_jobs.runtime.errors import ConstraintViolated
from spark_jobs.storage import delta
from spark_jobs.storage.changes import DELETED
from spark_jobs.storage.key_filter import KeyFilter
from spark_jobs.storage.other_writers import ConcurrentCommit, TableLost, head_of
from spark_jobs.storage.spark_connect import query
from spark_jobs.storage.staging import StagedTable, staged_relation, staged_rows
from spark_jobs.tables.spec import TableSpec, Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from spark_jobs.storage.build_record import Build
    from spark_jobs.storage.lakehouse import Lakehouse
    from spark_jobs.storage.local_relation import Relation

log = logging.getLogger(__name__)
ROWS_PER_FILE, MOST_FILES = 25_000, 256
"""Layout of what is written in one piece: a later day then reads, or rewrites, few of the files."""


@dataclass(frozen=True)
class Committed:
    """A table after the commit: its version, and by how many rows it grew."""

    version: int
    rows_gained: int


def commit(
    lakehouse: Lakehouse, build: Build, heads: dict[str, int], dates_end: date | None = None
) -> dict[str, Committed]:
    """Bring the staged rows into the layer's tables, all at the same time. `heads` are the versions to commit upon.

    `dates_end` is the first landing date of which nothing can be published yet; None where that is not known.
    Raises ConcurrentCommit where a commit did not come right after its head, since the table may then hold rows of
    another run too, TableLost where published rows that it builds upon cannot be read, and ConstraintViolated where a
    constraint that others added refuses the rows.
    """
    specs = lakehouse.tables_of(build.layer)

    def committed(spec: TableSpec) -> Committed:
        staged = build.staged.get(spec.name)
        try:
            gained = None if staged is None else _write(lakehouse, build, spec, staged, dates_end)
        except PySparkException as error:
            if delta.is_concurrency_conflict(error):
                raise ConcurrentCommit(spec.name) from error
            if constraint := delta.violated_constraint(error):
                # Without its cause, which shows the values of a row.
                raise ConstraintViolated(
                    f"{lakehouse.name(spec.name)} refuses what the gate has allowed: {constraint}. Others added that"
                    " constraint: drop it, or make what it says a rule in gx/rules/, and run the layer again"
                ) from None
            if delta.is_unreadable(error):
                raise TableLost(
                    f"{lakehouse.name(spec.name)} can no longer be read as published ({delta.condition(error)})"
                ) from error
            raise
        if gained is None:
            return Committed(heads[spec.name], 0)
        version = head_of(lakehouse, spec.name)
        if version != heads[spec.name] + 1:
            raise ConcurrentCommit(spec.name)
        return Committed(version, gained)

    return dict(zip((spec.name for spec in specs), run_each(committed, specs), strict=True))


def _write(
    lakehouse: Lakehouse, build: Build, spec: TableSpec, staged: StagedTable, dates_end: date | None
) -> int | None:
    """Write staged rows.

    Return the rows gained; None where nothing comes and nothing goes, since Delta would make no commit.
    """
    if spec.write is Write.REPLACE_DATES and not staged.overwrites:
        return _replace_dates(lakehouse, build, spec, staged, dates_end)
    published_rows = build.previous.rows.get(spec.name, 0)
    if not staged.rows and not (staged.overwrites and published_rows):
        return None
    # Without published rows nothing is staged as deleted. A MERGE would do the same, and leave the keys in no order.
    if staged.overwrites or not published_rows:
        _overwrite(lakehouse, spec, staged)
        return staged.rows - published_rows
    return _merge(lakehouse, spec, staged)


def _replace_dates(
    lakehouse: Lakehouse, build: Build, spec: TableSpec, staged: StagedTable, dates_end: date | None
) -> int | None:
    condition = f"landing_date >= DATE'{build.interval.start}' AND landing_date < DATE'{build.interval.end}'"
    if build.parameters.dates:
        condition += f" AND landing_date IN ({_literals(build.parameters.landing_dates)})"
    if build.missing_dates:
        condition += f" AND landing_date NOT IN ({_literals(sorted(build.missing_dates))})"
    removed = 0
    dates_are_new = dates_end is not None and build.interval.start >= dates_end
    if build.previous.rows.get(spec.name) and not dates_are_new:
        removed = int(lakehouse.spark.table(lakehouse.name(spec.name)).where(condition).count())
    if not staged.rows and not removed:
        return None
    _insert(lakehouse, spec, staged, f"INSERT INTO {lakehouse.name(spec.name)} REPLACE WHERE {condition}")
    return staged.rows - removed


def _literals(dates: Iterable[date | str]) -> str:
    return ", ".join(f"DATE'{day}'" for day in dates)


def _overwrite(lakehouse: Lakehouse, spec: TableSpec, staged: StagedTable) -> None:
    name = lakehouse.name(spec.name)
    try:
        _insert(lakehouse, spec, staged, delta.overwrite(lakehouse.spark, name, spec.statistics_columns[0]))
    except PySparkException as error:
        if not delta.is_unreadable(error):
            raise
        # A statement that reads no row, and removes clustering.
        log.warning("%s lacks files (%s): it is overwritten, and no longer clustered", name, delta.condition(error))
        _insert(lakehouse, spec, staged, f"INSERT OVERWRITE {name}")


def _insert(lakehouse: Lakehouse, spec: TableSpec, staged: StagedTable, insert: str) -> None:
    """Write the rows so that neighbours are in one file, since the files' statistics tell where a date or a key is.

    Columns that others added to the table are NULL in these rows.
    """
    rows = staged_rows(lakehouse, spec.name, staged)
    files = min(MOST_FILES, staged.rows // ROWS_PER_FILE + 1)
    hint = f"/*+ REPARTITION_BY_RANGE({files}, {spec.statistics_columns[0]}) */"

    def write(columns: Sequence[str]) -> None:
        selected = delta.select_list(columns, spec)
        lakehouse.spark.sql(f"{insert} SELECT {hint} {selected} FROM {{rows}}", rows=rows)  # noqa: S608 - checked names

    try:
        write(spec.columns)
    except PySparkException as error:
        if not delta.has_more_columns(error):
            raise
        write(lakehouse.spark.table(lakehouse.name(spec.name)).columns)


def _merge(lakehouse: Lakehouse, spec: TableSpec, staged: StagedTable) -> int:
    key, columns = spec.key, spec.columns
    names = ", ".join(f"`{name}`" for name in columns)
    updates = ", ".join(f"published.`{name}` = staged.`{name}`" for name in columns)
    values = ", ".join(f"staged.`{name}`" for name in columns)
    rows = staged_relation(lakehouse, spec.name, staged)
    (merged,) = query(
        lakehouse.spark,
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
