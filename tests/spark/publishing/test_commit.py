"""What a build stages, brought into the tables of its layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.layers.bronze.bronze_tables import LANDED_FILES, LANDED_LINES
from spark_jobs.layers.bronze.landed_lines import VALID
from spark_jobs.layers.registry import TABLES
from spark_jobs.storage.build_record import Build, PinnedPublication
from spark_jobs.storage.changes import DELETED, changed_rows
from spark_jobs.storage.commit import Committed, commit
from spark_jobs.storage.other_writers import ConcurrentCommit, TableLost, restore_tables
from spark_jobs.storage.publications import Publication
from spark_jobs.storage.staging import StagedTable, stage, stage_separated
from tests.spark.publishing.interleaving import InterleavedSession, Interleaving
from tests.spark.publishing.lakehouse import Lakehouse

TOTALS, ENRICHED = "gold.product_totals", "gold.orders_enriched"
VALUES: dict[str, Any] = {"integer": 1, "bigint": 1, "long": 1, "decimal": Decimal(1), "date": date(2018, 1, 1)}


class Layer:
    """The tables of one layer, and builds that are committed to them one after the other."""

    def __init__(self, lakehouse: Lakehouse, layer: str) -> None:
        self.lakehouse, self.layer = lakehouse, layer
        self.heads = restore_tables(lakehouse.jobs, layer, None)
        self.published_rows: dict[str, int] = {}
        self.number = 0

    def rows(self, table: str, key: str, values: dict[int, int], measure: str) -> DataFrame:
        """One row per key, with its measure; other columns that may not be null have some value."""
        schema = TABLES[table].schema
        some = {field.name: None if field.nullable else VALUES[field.dataType.typeName()] for field in schema.fields}
        rows = [some | {key: k, measure: value} for k, value in values.items()]
        return self.lakehouse.spark.createDataFrame(rows, schema)

    def next_build_id(self) -> str:
        self.number += 1
        return f"build{self.number}"

    def stage_all(self, table: str, rows: DataFrame) -> StagedTable:
        marked = rows.withColumn(DELETED, F.lit(False))
        return stage(self.lakehouse.jobs, table, self.next_build_id(), marked, 10, overwrites=True)

    def stage_changes(self, table: str, new: DataFrame, published: DataFrame) -> StagedTable:
        spec = TABLES[table]
        changes = changed_rows(new, published, spec.key, spec.columns)
        return stage(self.lakehouse.jobs, table, self.next_build_id(), changes, 10)

    def commit(
        self,
        staged: dict[str, StagedTable],
        until: str = "2018-01-02",
        missing_dates: Sequence[str] = (),
        spark: Any = None,
    ) -> dict[str, Committed]:
        """Commits a build as its record says, and takes what it gave for the published state."""
        build = Build(
            layer=self.layer,
            build_id=f"build{self.number}",
            parameters=self.lakehouse.parameters(self.layer, "2018-01-01", until),
            previous=PinnedPublication(self.number, self.heads, dict(self.published_rows)),
            upstream=None,
            previous_upstream=None,
            full_refresh=False,
            staged=staged,
            rows={},
            missing_dates=dict.fromkeys(missing_dates, "it has no folder"),
        )
        build.save(self.lakehouse.ops)
        recorded = Build.load(self.lakehouse.ops, self.layer, build.job_run_id)
        assert recorded == build
        jobs = replace(self.lakehouse.jobs, spark=spark or self.lakehouse.spark)
        done = commit(jobs, recorded, self.heads)
        for table, one in done.items():
            assert one.version in (self.heads[table], self.heads[table] + 1)
            self.heads[table] = one.version
            self.published_rows[table] = self.published_rows.get(table, 0) + one.rows_gained
        return done

    def content(self, table: str, key: str, measure: str) -> dict[int, int]:
        found = self.lakehouse.spark.table(self.lakehouse.names.table(table)).select(key, measure).collect()
        return {row[key]: row[measure] for row in found}


@pytest.fixture(scope="module")
def gold(new_lakehouse: Callable[[], Lakehouse]) -> Layer:
    """One for all tests, each of which changes another table."""
    return Layer(new_lakehouse(), "gold")


@pytest.mark.parametrize(("rows", "files"), [(0, 1), (24_999, 1), (25_000, 2), (60_000, 3), (10**9, 256)])
def test_neighbours_are_written_into_one_file(gold: Layer, rows: int, files: int) -> None:
    """As the statement asks for it."""
    staged = replace(gold.stage_all(TOTALS, gold.rows(TOTALS, "product_id", {1: 1}, "items")), rows=max(rows, 1))
    session = InterleavedSession(gold.lakehouse.spark)
    gold.commit({TOTALS: staged}, spark=session)
    (insert,) = [statement for statement in session.statements if statement.startswith("INSERT")]
    assert f"/*+ REPARTITION_BY_RANGE({files}, product_id) */" in insert
    gold.published_rows[TOTALS] = 1


def test_a_merge_reads_files_of_staged_keys_only(gold: Layer) -> None:
    table = "gold.orders_enriched"
    gold.commit({table: gold.stage_all(table, gold.rows(table, "order_item_id", {5: 1, 7: 1}, "quantity"))})
    new, old = (gold.rows(table, "order_item_id", rows, "quantity") for rows in ({5: 2, 6: 1, 7: 2}, {5: 1, 7: 1}))
    session = InterleavedSession(gold.lakehouse.spark)
    gold.commit({table: gold.stage_changes(table, new, old)}, spark=session)
    (merge,) = [statement for statement in session.statements if statement.startswith("MERGE")]
    assert "AND published.`order_item_id` BETWEEN 5 AND 7" in merge
    assert gold.content(table, "order_item_id", "quantity") == {5: 2, 6: 1, 7: 2}
    none = gold.rows(table, "order_item_id", {}, "quantity")
    gold.commit({table: gold.stage_all(table, none)})


def test_a_table_that_is_overwritten_has_only_the_staged_rows(new_lakehouse: Callable[[], Lakehouse]) -> None:
    gold, gained = Layer(new_lakehouse(), "gold"), []
    unchanged = Committed(gold.heads[ENRICHED], 0)
    for products in ({1: 5, 2: 5}, {2: 6, 3: 6, 4: 7}, {}, {}):
        staged = gold.stage_all(TOTALS, gold.rows(TOTALS, "product_id", products, "units_sold"))
        done = gold.commit({TOTALS: staged})
        gained.append(done[TOTALS])
        assert gold.content(TOTALS, "product_id", "units_sold") == products
        assert done[ENRICHED] == unchanged, "nothing was staged for it"
    assert gained == [Committed(1, 2), Committed(2, 1), Committed(3, -3), Committed(3, 0)]


def test_changes_are_merged_by_key(new_lakehouse: Callable[[], Lakehouse]) -> None:
    """Five are inserted and two deleted; a row that stays as it is is not staged."""
    gold, gained = Layer(new_lakehouse(), "gold"), []
    first = dict.fromkeys(range(1, 7), 1)
    then = {1: 1, 2: 9, 5: 1, 6: 1, **dict.fromkeys(range(7, 12), 1)}
    staged = gold.stage_all(ENRICHED, gold.rows(ENRICHED, "order_item_id", first, "quantity"))
    gained.append(gold.commit({ENRICHED: staged})[ENRICHED])
    for items, published in ((then, first), (then, then)):
        new, old = (gold.rows(ENRICHED, "order_item_id", some, "quantity") for some in (items, published))
        staged = gold.stage_changes(ENRICHED, new, old)
        gained.append(gold.commit({ENRICHED: staged})[ENRICHED])
        assert gold.content(ENRICHED, "order_item_id", "quantity") == items
    assert staged.rows == 0
    assert gained == [Committed(1, 6), Committed(2, 3), Committed(2, 0)]


def landed(bronze: Layer, days: dict[str, tuple[int, int]]) -> dict[str, StagedTable]:
    """Stages as a bronze build does: day -> how many of its lines are valid, and how many are not."""
    jobs, build_id = bronze.lakehouse.jobs, bronze.next_build_id()
    blank = {field.name: None for field in LANDED_LINES.fields}
    lines = [
        blank
        | {"landing_date": date.fromisoformat(day), "order_item_id": number, "line": "x", "reasons": ["bad"][:bad]}
        for day, (valid, quarantined) in days.items()
        for number, bad in enumerate([0] * valid + [1] * quarantined)
    ]
    files = [(date.fromisoformat(day), f"dt={day}/orders.csv", sum(counts), 1) for day, counts in days.items()]
    frame = bronze.lakehouse.spark.createDataFrame(lines, LANDED_LINES)
    tables = ("bronze.order_items", "bronze.quarantine")
    staged = stage_separated(jobs, build_id, frame, VALID, tables, len(lines), len(LANDED_LINES))
    file_rows = bronze.lakehouse.spark.createDataFrame(files, LANDED_FILES.schema)
    return staged | {LANDED_FILES.name: stage(jobs, LANDED_FILES.name, build_id, file_rows, len(files))}


def by_date(bronze: Layer, table: str) -> dict[str, int]:
    found = bronze.lakehouse.spark.table(bronze.lakehouse.names.table(table)).groupBy("landing_date").count()
    return {str(row["landing_date"]): row["count"] for row in found.collect()}


def test_landing_dates_are_replaced_and_what_they_gain_is_counted(new_lakehouse: Callable[[], Lakehouse]) -> None:
    bronze = Layer(new_lakehouse(), "bronze")
    files, items, quarantine = "bronze.landed_files", "bronze.order_items", "bronze.quarantine"
    first, second, third = "2018-01-01", "2018-01-02", "2018-01-03"

    def replaced(until: str, days: dict[str, tuple[int, int]], missing: tuple[str, ...] = ()) -> list[Committed]:
        done = bronze.commit(landed(bronze, days), until=until, missing_dates=missing)
        return [done[files], done[items], done[quarantine]]

    both_days = replaced(third, {first: (5, 2), second: (2, 1)})
    assert both_days == [Committed(1, 2), Committed(1, 7), Committed(1, 3)]
    assert replaced(second, {first: (3, 0)}) == [Committed(2, 0), Committed(2, -2), Committed(2, -2)]
    assert by_date(bronze, items) == {first: 3, second: 2}
    assert by_date(bronze, quarantine) == {second: 1}, "the last line of a date has gone"
    nothing_came_or_went = Committed(2, 0)
    assert replaced(second, {first: (3, 0)}) == [Committed(3, 0), Committed(3, 0), nothing_came_or_went]
    left_alone = replaced(third, {first: (4, 1)}, missing=(second,))
    assert left_alone == [Committed(4, 0), Committed(4, 1), Committed(3, 1)]
    assert [by_date(bronze, table) for table in (files, items, quarantine)] == [
        {first: 1, second: 1},
        {first: 4, second: 2},
        {first: 1, second: 1},
    ]


SOME_PUBLICATION = Publication(
    layer="gold",
    seq=1,
    previous_seq=0,
    upstream_seq=None,
    interval_start=None,
    interval_end=None,
    tables={},
    row_counts={},
    fingerprint="",
    gate_fingerprint="",
    build_id="",
    job_run_id="",
    code_version="",
)


def published(**changes: Any) -> Publication:
    return replace(SOME_PUBLICATION, **changes)


@pytest.mark.parametrize("off", [-1, 1])
def test_a_commit_that_does_not_follow_the_head_is_noticed(gold: Layer, off: int) -> None:
    table = "gold.customers360"
    staged = gold.stage_all(table, gold.rows(table, "customer_id", {1: 1}, "total_orders"))
    head = gold.heads[table]
    try:
        gold.heads[table] = head + off
        with pytest.raises(ConcurrentCommit, match=table):
            gold.commit({table: staged})
    finally:
        gold.heads[table] = head + 1  # it was written all the same


def test_tables_are_restored_to_what_is_published(gold: Layer) -> None:
    table = "gold.products360"
    for products in ({1: 1}, {1: 1, 2: 1}):
        gold.commit({table: gold.stage_all(table, gold.rows(table, "product_id", products, "total_orders"))})
    newest = published(tables=gold.heads | {table: 1})
    heads = restore_tables(gold.lakehouse.jobs, "gold", newest)
    assert heads == gold.heads | {table: 3}, "only what differs is restored, by a commit"
    assert gold.content(table, "product_id", "total_orders") == {1: 1}
    assert restore_tables(gold.lakehouse.jobs, "gold", published(tables=heads)) == heads
    gold.heads = heads


def test_a_commit_between_a_restore_and_the_look_at_its_head_is_noticed(gold: Layer) -> None:
    table, jobs, spark = "gold.products360", gold.lakehouse.jobs, gold.lakehouse.spark
    for products in ({1: 1}, {1: 1, 2: 1}):
        gold.commit({table: gold.stage_all(table, gold.rows(table, "product_id", products, "total_orders"))})
    newest = published(tables=gold.heads | {table: gold.heads[table] - 1})
    deletes = Interleaving("RESTORE", lambda: spark.sql(f"DELETE FROM {jobs.name(table)}"), after=True)
    interleaved: Any = InterleavedSession(spark, deletes)
    with pytest.raises(ConcurrentCommit, match=table):
        restore_tables(replace(jobs, spark=interleaved), "gold", newest)
    assert deletes.happened
    gold.heads = restore_tables(jobs, "gold", newest)
    assert gold.content(table, "product_id", "total_orders") == {1: 1}


def test_a_published_table_that_is_gone_is_named(new_lakehouse: Callable[[], Lakehouse]) -> None:
    """One that nothing was published to is created again."""
    gold, table = Layer(new_lakehouse(), "gold"), "gold.products360"
    jobs, name = gold.lakehouse.jobs, gold.lakehouse.names.table(table)
    gold.lakehouse.spark.sql(f"DROP TABLE {name}")
    with pytest.raises(TableLost, match=r"products360 was published at version 2 and is gone"):
        restore_tables(jobs, "gold", published(tables=gold.heads | {table: 2}))
    others = {name: version for name, version in gold.heads.items() if name != table}
    assert restore_tables(jobs, "gold", published(tables=others)) == others | {table: 0}
    # Created again without publish's knowledge, it does not have the published version.
    with pytest.raises(TableLost, match=r"products360 was published at version 2 and is gone"):
        restore_tables(jobs, "gold", published(tables=others | {table: 2}))
    # Where all its rows are about to be replaced, another table is made in its place.
    assert restore_tables(jobs, "gold", published(tables=others | {table: 2}), [table]) == others | {table: 1}


def test_a_table_that_is_dropped_during_the_commit_is_named(new_lakehouse: Callable[[], Lakehouse]) -> None:
    gold, table = Layer(new_lakehouse(), "gold"), "gold.customers360"
    name, spark = gold.lakehouse.names.table(table), gold.lakehouse.spark
    staged = gold.stage_all(table, gold.rows(table, "customer_id", {1: 1}, "total_orders"))
    dropped = Interleaving("INSERT", lambda: spark.sql(f"DROP TABLE {name}"))
    with pytest.raises(TableLost, match=r"customers360 can no longer be read as published .TABLE_OR_VIEW"):
        gold.commit({table: staged}, spark=InterleavedSession(spark, dropped))
