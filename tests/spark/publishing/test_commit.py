"""Commits of staged changes to the tables of a layer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.layers.bronze.schema import LANDED_LINES
from spark_jobs.layers.registry import LANDED_FILES, SCHEMAS
from spark_jobs.storage.build_record import Base, Build
from spark_jobs.storage.commit import Committed, ConcurrentCommit, commit, restore_heads
from spark_jobs.storage.publications import Publication
from spark_jobs.storage.staged_changes import stage_changes, stage_whole
from spark_jobs.storage.staging import StagedTable, stage
from spark_jobs.tables.names import LAYER_TABLES
from tests.spark.publishing.interleaving import InterleavedSession
from tests.spark.publishing.lakehouse import Lakehouse

TOTALS, ENRICHED = "gold.product_totals", "gold.orders_enriched"
VALUES: dict[str, Any] = {"integer": 1, "bigint": 1, "long": 1, "decimal": Decimal(1), "date": date(2018, 1, 1)}


def rows(spark: SparkSession, table: str, key: str, values: dict[int, int], measure: str) -> DataFrame:
    """One row per key, with its measure; the other columns that may not be null have some value."""
    schema = SCHEMAS[table]
    some = {field.name: None if field.nullable else VALUES[field.dataType.typeName()] for field in schema.fields}
    return spark.createDataFrame([some | {key: k, measure: value} for k, value in values.items()], schema)


class Layer:
    """The tables of one layer, and builds that are committed to them one after another."""

    def __init__(self, lakehouse: Lakehouse, layer: str) -> None:
        self.lakehouse, self.layer = lakehouse, layer
        self.heads = restore_heads(lakehouse.spark, lakehouse.tables, layer, None)
        self.rows: dict[str, int] = {}  # of each table, as published
        self.number = 0

    def next_build_id(self) -> str:
        self.number += 1
        return f"build{self.number}"

    def commit(
        self,
        staged: dict[str, StagedTable],
        until: str = "2018-01-02",
        missing_dates: tuple[str, ...] = (),
        spark: Any = None,
    ) -> dict[str, Committed]:
        build = Build(
            layer=self.layer,
            build_id=f"build{self.number}",
            job_run_id=str(self.number),
            parameters=self.lakehouse.parameters(self.layer, "2018-01-01", until),
            base=Base(self.number, self.heads, dict(self.rows)),
            below=None,
            below_before=None,
            whole=False,
            staged=staged,
            rows={},
            missing_dates=missing_dates,
        )
        build.save(self.lakehouse.ops)
        recorded = Build.load(self.lakehouse.ops, self.layer, build.job_run_id)
        done = commit(spark or self.lakehouse.spark, self.lakehouse.tables, recorded, self.heads)
        for table, one in done.items():
            assert one.version in (self.heads[table], self.heads[table] + 1)
            self.heads[table] = one.version
            self.rows[table] = self.rows.get(table, 0) + one.rows_gained
        return done

    def content(self, table: str, key: str, measure: str) -> dict[int, int]:
        found = self.lakehouse.spark.table(self.lakehouse.tables.name(table)).select(key, measure).collect()
        return {row[key]: row[measure] for row in found}


@pytest.fixture(scope="module")
def gold(new_lakehouse: Callable[[], Lakehouse]) -> Layer:
    """One for all tests, each of which changes another table."""
    return Layer(new_lakehouse(), "gold")


@pytest.mark.parametrize(("number", "files"), [(24_999, 1), (50_000, 3)])
def test_what_is_written_whole_has_few_files_each_with_neighbouring_keys(
    new_lakehouse: Callable[[], Lakehouse], number: int, files: int
) -> None:
    """A later day then looks into few of them. Each file takes 25,000 rows at most, give or take an uneven split."""
    lakehouse = new_lakehouse()
    gold = Layer(lakehouse, "gold")
    some = rows(lakehouse.spark, TOTALS, "product_id", {0: 5}, "units_sold").drop("product_id")
    many = lakehouse.spark.range(number).select(F.col("id").alias("product_id")).crossJoin(some)
    staged = stage_whole(lakehouse.spark, lakehouse.tables, gold.next_build_id(), TOTALS, many, number)
    assert gold.commit({TOTALS: staged.table})[TOTALS] == Committed(1, number)
    spans = sorted(file["product_id"] for file in lakehouse.statistics(TOTALS))
    assert len(spans) == files
    assert all(last < first for (_, last), (first, _) in itertools.pairwise(spans)), "files overlap"


def test_a_merge_looks_into_files_of_staged_keys_only(new_lakehouse: Callable[[], Lakehouse]) -> None:
    gold = Layer(new_lakehouse(), "gold")
    for items in ({5: 1, 6: 1}, {5: 1, 6: 2, 7: 1}):
        spark, tables = gold.lakehouse.spark, gold.lakehouse.tables
        new = rows(spark, ENRICHED, "order_item_id", items, "quantity")
        before = rows(spark, ENRICHED, "order_item_id", {5: 1, 6: 1}, "quantity") if gold.number else None
        staged = stage_changes(spark, tables, gold.next_build_id(), {ENRICHED: (new, before)}, 3)
        session = InterleavedSession(spark)
        gold.commit({ENRICHED: staged[ENRICHED].table}, spark=session)
    (merge,) = [statement for statement in session.statements if statement.startswith("MERGE")]
    assert "`order_item_id` BETWEEN 6 AND 7" in merge


def test_a_table_staged_whole_takes_the_place_of_what_was_published(gold: Layer) -> None:
    spark, tables, gained = gold.lakehouse.spark, gold.lakehouse.tables, []
    untouched = Committed(gold.heads[ENRICHED], 0)
    for products in ({1: 5, 2: 5}, {2: 6, 3: 6, 4: 7}, {}, {}):
        new = rows(spark, TOTALS, "product_id", products, "units_sold")
        staged = stage_whole(spark, tables, gold.next_build_id(), TOTALS, new, len(products))
        done = gold.commit({TOTALS: staged.table})
        gained.append(done[TOTALS])
        assert gold.content(TOTALS, "product_id", "units_sold") == products
        assert done[ENRICHED] == untouched, "nothing was staged for it"
    assert gained == [Committed(1, 2), Committed(2, 1), Committed(3, -3), Committed(3, 0)]


def test_changes_are_merged_by_key(gold: Layer) -> None:
    """Five come and two go: 3, which no other operator makes of the two; a row that stays is not staged."""
    spark, tables, gained = gold.lakehouse.spark, gold.lakehouse.tables, []
    published: dict[int, int] = {}
    for items in (
        dict.fromkeys(range(1, 7), 1),
        {1: 1, 2: 9, 5: 1, 6: 1, **dict.fromkeys(range(7, 12), 1)},
        {1: 1, 2: 9, 5: 1, 6: 1, **dict.fromkeys(range(7, 12), 1)},
    ):
        new, before = (rows(spark, ENRICHED, "order_item_id", some, "quantity") for some in (items, published))
        staged = stage_changes(spark, tables, gold.next_build_id(), {ENRICHED: (new, before if published else None)}, 6)
        done = gold.commit({ENRICHED: staged[ENRICHED].table})
        gained.append(done[ENRICHED])
        assert gold.content(ENRICHED, "order_item_id", "quantity") == items
        published = items
    assert staged[ENRICHED].table.rows == 0
    assert gained == [Committed(1, 6), Committed(2, 3), Committed(2, 0)]


def landed(bronze: Layer, days: dict[str, tuple[int, int]]) -> dict[str, StagedTable]:
    """Staged as a bronze build does: day -> how many of its lines are valid, and how many are not."""
    spark, tables, build_id = bronze.lakehouse.spark, bronze.lakehouse.tables, bronze.next_build_id()
    some = {field.name: None for field in LANDED_LINES.fields}
    lines = [
        some | {"landing_date": date.fromisoformat(day), "order_item_id": number, "line": "x", "reasons": ["bad"][:bad]}
        for day, (valid, quarantined) in days.items()
        for number, bad in enumerate([0] * valid + [1] * quarantined)
    ]
    files = [(date.fromisoformat(day), f"dt={day}/orders.csv", sum(counts), 1) for day, counts in days.items()]
    staged = {
        "bronze.lines": (spark.createDataFrame(lines, LANDED_LINES), {"quarantined": F.size("reasons") > 0}),
        "bronze.landed_files": (spark.createDataFrame(files, LANDED_FILES), None),
    }
    return {
        name: stage(spark, tables, name, build_id, content, kinds, few=True).table
        for name, (content, kinds) in staged.items()
    }


def by_date(bronze: Layer, table: str) -> dict[str, int]:
    found = bronze.lakehouse.spark.table(bronze.lakehouse.tables.name(table)).groupBy("landing_date").count()
    return {str(row["landing_date"]): row["count"] for row in found.collect()}


def test_landing_dates_are_replaced_and_what_they_gain_is_counted(new_lakehouse: Callable[[], Lakehouse]) -> None:
    bronze = Layer(new_lakehouse(), "bronze")
    files, items, quarantine = LAYER_TABLES["bronze"]
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
    base_seq=0,
    below_seq=None,
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
    spark, tables, table = gold.lakehouse.spark, gold.lakehouse.tables, "gold.customers360"
    content = rows(spark, table, "customer_id", {1: 1}, "total_orders")
    staged = stage_whole(spark, tables, gold.next_build_id(), table, content, 1).table
    head = gold.heads[table]
    try:
        gold.heads[table] = head + off
        with pytest.raises(ConcurrentCommit, match=table):
            gold.commit({table: staged})
    finally:
        gold.heads[table] = head + 1  # it was written all the same


def test_tables_become_again_what_is_published(gold: Layer) -> None:
    spark, tables, table = gold.lakehouse.spark, gold.lakehouse.tables, "gold.products360"
    for build in ({1: 1}, {1: 1, 2: 1}):
        content = rows(spark, table, "product_id", build, "total_orders")
        gold.commit({table: stage_whole(spark, tables, gold.next_build_id(), table, content, len(build)).table})
    newest = published(tables=gold.heads | {table: 1})
    heads = restore_heads(spark, tables, "gold", newest)
    assert heads == gold.heads | {table: 3}, "only what differs is restored, by a commit"
    assert gold.content(table, "product_id", "total_orders") == {1: 1}
    assert restore_heads(spark, tables, "gold", published(tables=heads)) == heads
    gold.heads = heads


def test_a_dropped_table_is_named(gold: Layer) -> None:
    """One that nothing was published to is made (again)."""
    spark, tables = gold.lakehouse.spark, gold.lakehouse.tables
    spark.sql(f"DROP TABLE {tables.name('gold.products360')}")
    with pytest.raises(LookupError, match=r"products360 was published at version 2 and is gone: .* UNDROP TABLE"):
        restore_heads(spark, tables, "gold", published(tables=gold.heads | {"gold.products360": 2}))
    others = {name: version for name, version in gold.heads.items() if name != "gold.products360"}
    gold.heads = restore_heads(spark, tables, "gold", published(tables=others))
    assert gold.heads == others | {"gold.products360": 0}
    # A new table of the same name does not have the published version.
    with pytest.raises(Exception, match="DELTA_CANNOT_RESTORE"):
        restore_heads(spark, tables, "gold", published(tables=gold.heads | {"gold.products360": 2}))
