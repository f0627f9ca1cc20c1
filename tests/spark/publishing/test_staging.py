"""Staging holds what a build derived, whether or not its rows were fetched on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spark_jobs.layers.registry import TABLES
from spark_jobs.runtime.errors import BuildMissing
from spark_jobs.storage import local_relation, staging
from spark_jobs.storage.changes import DELETED
from spark_jobs.storage.staging import StagedTable
from tests.spark.publishing.lakehouse import Lakehouse

TABLE = "silver.dim_products"
# ruff: noqa: DTZ001 - Spark gives timestamps without a zone
ROWS: list[dict[str, Any]] = [
    {
        "product_key": f"key{number}",
        "product_id": number,
        "product_name": "Šiauliai’s" if number == 1 else None,
        "product_price": Decimal("12.30"),
        "valid_from": datetime(1583, 1, 1) if number == 2 else datetime(2018, 1, 1, 23, 59, 59, 999999),
        "valid_to": datetime(9998, 12, 31) if number == 2 else None,
        "is_current": number != 2,
        DELETED: number == 3,
    }
    for number in range(1, 6)
]


@pytest.fixture(params=["fetched", "written by Spark"])
def expected_rows(request: pytest.FixtureRequest) -> int:
    return 5 if request.param == "fetched" else local_relation.MOST_ROWS + 1


def stage(lakehouse: Lakehouse, build_id: str, expected_rows: int) -> StagedTable:
    schema = staging.staged_schema(lakehouse.jobs, TABLE)
    blank = dict.fromkeys(schema.names)
    frame = lakehouse.spark.createDataFrame([blank | row for row in ROWS], schema)
    return staging.stage(lakehouse.jobs, TABLE, build_id, frame, expected_rows)


def test_what_is_staged_is_read_back_and_counted(lakehouse: Lakehouse, expected_rows: int) -> None:
    staged = stage(lakehouse, f"read{expected_rows}", expected_rows)
    assert (staged.rows, staged.deletes, staged.overwrites) == (5, 1, False)
    found = staging.staged_rows(lakehouse.jobs, TABLE, staged)
    assert found.schema.simpleString() == staging.staged_schema(lakehouse.jobs, TABLE).simpleString()
    rows = [row.asDict() for row in found.orderBy("product_id").collect()]
    assert [{name: row[name] for name in ROWS[0]} for row in rows] == ROWS


def test_many_staged_rows_are_read_from_their_files(
    lakehouse: Lakehouse, expected_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = stage(lakehouse, f"many{expected_rows}", expected_rows)
    monkeypatch.setenv(local_relation.ROWS_VARIABLE, "4")
    found = staging.staged_rows(lakehouse.jobs, TABLE, staged).orderBy("product_id").collect()
    assert [{name: row[name] for name in ROWS[0]} for row in found] == ROWS


def test_no_rows_are_staged_as_none(lakehouse: Lakehouse, expected_rows: int) -> None:
    schema = staging.staged_schema(lakehouse.jobs, TABLE)
    empty = lakehouse.spark.createDataFrame([], schema)
    staged = staging.stage(lakehouse.jobs, TABLE, f"empty{expected_rows}", empty, expected_rows)
    assert (staged.rows, staged.deletes) == (0, 0)
    assert staging.staged_rows(lakehouse.jobs, TABLE, staged).collect() == []


def test_a_build_id_is_never_used_twice(lakehouse: Lakehouse, expected_rows: int) -> None:
    stage(lakehouse, f"once{expected_rows}", expected_rows)
    with pytest.raises(FileExistsError, match="a build id is never used twice"):
        stage(lakehouse, f"once{expected_rows}", expected_rows)


def test_rows_are_separated_in_one_write(lakehouse: Lakehouse, expected_rows: int) -> None:
    tables = ("bronze.order_items", "bronze.quarantine")
    schema = "landing_date DATE, order_item_id BIGINT, reasons ARRAY<STRING>"
    rows = lakehouse.spark.createDataFrame(
        [(date(2018, 1, 1), 1, []), (date(2018, 1, 1), None, ["bad"]), (date(2018, 1, 1), 2, [])], schema
    )
    valid, bad = staging.stage_separated(
        lakehouse.jobs, f"two{expected_rows}", rows, "size(reasons) = 0", tables, expected_rows, 3
    ).values()
    assert (valid.rows, bad.rows) == (2, 1)
    assert valid.digest != bad.digest


def test_a_digest_is_of_names_and_contents(lakehouse: Lakehouse) -> None:
    staged = stage(lakehouse, "digest", 5)
    assert staging.verify(lakehouse.jobs, TABLE, staged) == staged.digest
    (file,) = (lakehouse.staging_root / staged.folder).glob("*.parquet")
    content = file.read_bytes()
    file.rename(file.with_name("part-1.parquet"))
    assert staging.verify(lakehouse.jobs, TABLE, staged) != staged.digest
    file.with_name("part-1.parquet").unlink()
    with pytest.raises(BuildMissing, match=r"silver\.dim_products .* is gone: run the build again"):
        staging.verify(lakehouse.jobs, TABLE, staged)
    file.write_bytes(content[:-1] + b"?")
    assert staging.verify(lakehouse.jobs, TABLE, staged) != staged.digest


@pytest.fixture
def old_build(lakehouse: Lakehouse) -> Iterator[str]:
    stage(lakehouse, "old_build", 5)
    yield "old_build"
    staging.drop(lakehouse.jobs, "old_build")


def test_old_builds_are_found_and_dropped(lakehouse: Lakehouse, old_build: str) -> None:
    now = datetime.now(UTC)
    assert old_build not in dict(staging.builds_older_than(lakehouse.jobs, now - timedelta(days=7)))
    assert old_build in dict(staging.builds_older_than(lakehouse.jobs, now + timedelta(seconds=1)))
    staging.drop(lakehouse.jobs, old_build)
    assert old_build not in lakehouse.staging()


def test_small_is_neither_many_rows_nor_many_values() -> None:
    most = local_relation.MOST_ROWS
    assert local_relation.is_small(most, 5)
    assert not local_relation.is_small(most, 6)
    assert not local_relation.is_small(most + 1, 1)


def test_every_merged_table_says_which_rows_are_deleted(lakehouse: Lakehouse) -> None:
    for name, spec in TABLES.items():
        has_deleted = DELETED in staging.staged_schema(lakehouse.jobs, name).names
        assert has_deleted == (spec.merge_key is not None)
