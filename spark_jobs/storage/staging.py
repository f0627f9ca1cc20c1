"""Staging: the changes of one build, as Parquet files on the staging volume.

Only the build's own audit and publish read them. A build id is never used twice, and nothing is ever written again to a
folder of staging, so the digest of its files says whether they are what the build wrote.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import BooleanType, LongType, StructField, StructType

from spark_jobs.runtime.errors import BuildMissing
from spark_jobs.storage.changes import DELETED
from spark_jobs.storage.local_relation import Relation, fetch, fits, is_small, relation

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from spark_jobs.storage.lakehouse import Lakehouse

CHANGED_KEYS = {"silver": ("order_item_id", "customer_id", "product_card_id"), "gold": ("order_item_id",)}
"""Columns (BIGINT) of the keys that an incremental build derives again, and that its audit judges."""


@dataclass(frozen=True)
class StagedTable:
    """The staged rows of one table, as the build wrote them."""

    folder: str
    """Relative to the staging root."""
    digest: str
    """sha256 (hex) over the names and contents of its files."""
    rows: int
    deletes: int = 0
    """How many of the rows are to be deleted."""
    overwrites: bool = False
    """Whether these are all rows of the table, instead of changes to it."""


def changed_keys_table(layer: str) -> str:
    """Return the name under which the changed keys of a build are staged."""
    return f"{layer}.changed_keys"


def staged_schema(lakehouse: Lakehouse, table: str) -> StructType:
    """Return the columns of what is staged for a table: those of the table, and `_deleted` where it is merged."""
    spec = lakehouse.tables.get(table)
    if spec is None:
        return StructType([StructField(name, LongType()) for name in CHANGED_KEYS[table.partition(".")[0]]])
    return StructType([*spec.schema.fields, StructField(DELETED, BooleanType())]) if spec.merge_key else spec.schema


def stage(
    lakehouse: Lakehouse,
    table: str,
    build_id: str,
    rows: DataFrame,
    expected_rows: int,
    *,
    overwrites: bool = False,
) -> StagedTable:
    """Write the staged rows of one table, in the columns of `staged_schema`.

    Where few are expected, they are fetched and written without Spark.
    """
    folder = f"{build_id}/{table}"
    columns = staged_schema(lakehouse, table).names
    _write(lakehouse, folder, rows.select(*columns), expected_rows, len(columns))
    return _staged(lakehouse, folder, overwrites=overwrites)


def stage_separated(
    lakehouse: Lakehouse,
    build_id: str,
    rows: DataFrame,
    condition: str,
    tables: tuple[str, str],
    expected_rows: int,
    columns: int,
) -> dict[str, StagedTable]:
    """Write `rows` once: those that meet `condition` for the first of `tables`, all others for the second."""
    folder = f"{build_id}/{'+'.join(tables)}"
    is_first = "is_first"
    marked = rows.withColumn(is_first, F.coalesce(F.expr(condition), F.lit(False)))
    _write(lakehouse, folder, marked, expected_rows, columns, partition_by=is_first)
    return {
        table: _staged(lakehouse, f"{folder}/{is_first}={str(is_first_table).lower()}")
        for table, is_first_table in zip(tables, (True, False), strict=True)
    }


def stage_file(lakehouse: Lakehouse, table: str, build_id: str, rows: pa.Table) -> StagedTable:
    """Write rows that are in memory, in the columns of `staged_schema`."""
    folder = f"{build_id}/{table}"
    _write_file(_new_folder(lakehouse, folder), rows)
    return _staged(lakehouse, folder)


def staged_rows(lakehouse: Lakehouse, table: str, staged: StagedTable) -> DataFrame:
    """Return the staged rows, as a local relation where they are few. Runs no job."""
    return staged_relation(lakehouse, table, staged).frame


def staged_relation(lakehouse: Lakehouse, table: str, staged: StagedTable) -> Relation:
    """Return the staged rows, in memory where they are few. Runs no job."""
    schema, files = staged_schema(lakehouse, table), _files(lakehouse, staged.folder)
    spark = lakehouse.spark
    if not files or not staged.rows:
        return relation(spark, to_arrow_schema(schema).empty_table(), schema)
    if is_small(staged.rows, len(schema)):
        rows = _read(files, schema.names)
        if fits(rows):
            return relation(spark, rows, schema)
    return Relation(spark.read.schema(schema).parquet(*map(str, files)), None)


def staged_values(lakehouse: Lakehouse, staged: StagedTable, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield values of each staged row, without Spark and in no order."""
    if not (files := _files(lakehouse, staged.folder)):
        return
    for batch in ds.dataset([str(file) for file in files], format="parquet").to_batches(columns=list(columns)):
        yield from zip(*(batch[name].to_pylist() for name in columns), strict=True)


def verify(lakehouse: Lakehouse, table: str, staged: StagedTable) -> str:
    """Return the digest of the staged files as they are now. Raises BuildMissing where they are gone."""
    if staged.rows and not _files(lakehouse, staged.folder):
        raise BuildMissing(f"what was staged for {table} ({staged.folder}) is gone: run the build again")
    return _digest(lakehouse, staged.folder)


def drop(lakehouse: Lakehouse, build_id: str) -> None:
    """Remove all that a build has staged."""
    shutil.rmtree(lakehouse.staging_root / build_id, ignore_errors=True)


def builds_older_than(lakehouse: Lakehouse, limit: datetime) -> Iterator[tuple[str, datetime]]:
    """Yield the ids of the builds, finished or not, that staged nothing since `limit`, and when they last did."""
    if not lakehouse.staging_root.is_dir():
        return
    for folder in sorted(lakehouse.staging_root.iterdir()):
        # Not every volume keeps the times of folders; one without a file has no other.
        times = [path.stat().st_mtime for path in folder.rglob("*") if path.is_file()] or [folder.stat().st_mtime]
        changed = datetime.fromtimestamp(max(times), UTC)
        if changed < limit:
            yield folder.name, changed


def _write(
    lakehouse: Lakehouse,
    folder: str,
    rows: DataFrame,
    expected_rows: int,
    columns: int,
    partition_by: str | None = None,
) -> None:
    target = _new_folder(lakehouse, folder)
    fetched = fetch(rows).rows if is_small(expected_rows, columns) else None
    if fetched is None:
        writer = rows.write.mode("error")
        (writer.partitionBy(partition_by) if partition_by else writer).parquet(str(target))
        return
    if partition_by is None:
        _write_file(target, fetched)
        return
    values = fetched[partition_by]
    for value in (True, False):
        part = fetched.filter(pc.equal(values, value)).drop_columns([partition_by])
        _write_file(target / f"{partition_by}={str(value).lower()}", part)


def _new_folder(lakehouse: Lakehouse, folder: str) -> Path:
    path = lakehouse.staging_root / folder
    if path.exists():
        raise FileExistsError(f"{folder} is staged already: a build id is never used twice")
    return path


def _write_file(folder: Path, rows: pa.Table) -> None:
    folder.mkdir(parents=True)
    if rows.num_rows:
        pq.write_table(rows, folder / "part-0.parquet")


def _staged(lakehouse: Lakehouse, folder: str, *, overwrites: bool = False) -> StagedTable:
    files = _files(lakehouse, folder)
    rows = deletes = 0
    if files:
        dataset = ds.dataset([str(file) for file in files], format="parquet")
        rows = dataset.count_rows()
        if DELETED in dataset.schema.names and not overwrites:
            deletes = dataset.count_rows(filter=ds.field(DELETED))
    return StagedTable(folder, _digest(lakehouse, folder), rows, deletes, overwrites)


def _files(lakehouse: Lakehouse, folder: str) -> list[Path]:
    return sorted((lakehouse.staging_root / folder).glob("*.parquet"))


def _digest(lakehouse: Lakehouse, folder: str) -> str:
    digest = hashlib.sha256()
    for file in _files(lakehouse, folder):
        digest.update(f"{file.name}\0".encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _read(files: list[Path], columns: list[str]) -> pa.Table:
    # Spark may write timestamps as INT96, which would become nanoseconds: years beyond 2262 do not fit into those.
    return pa.concat_tables(
        pq.ParquetFile(file, coerce_int96_timestamp_unit="us").read(columns=columns) for file in files
    )
