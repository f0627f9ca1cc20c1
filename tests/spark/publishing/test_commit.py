"""What a build stages, brought into the tables of its layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.builds.record import Base, Build
from spark_jobs.builds.staged_changes import stage_changes, stage_whole
from spark_jobs.published_schemas import LOOKED_UP_BY, SCHEMAS
from spark_jobs.publishing import commit as commits
from spark_jobs.publishing.commit import Committed, ConcurrentCommit, commit, restore_heads
from spark_jobs.publishing.publications import Publication
from spark_jobs.publishing.staging import StagedTable
from spark_jobs.tables import LAYER_TABLES
from tests.spark.publishing.lakehouse import Lakehouse, order_item

TOTALS, ENRICHED = "gold.product_totals", "gold.orders_enriched"
VALUES: dict[str, Any] = {"integer": 1, "bigint": 1, "long": 1, "decimal": Decimal(1), "date": date(2018, 1, 1)}


def rows(spark: SparkSession, table: str, key: str, values: dict[int, int], measure: str) -> DataFrame:
    """A row for each key, with its measure; of other columns those that may not be null have some value."""
    schema = SCHEMAS[table]
    some = {field.name: None if field.nullable else VALUES[field.dataType.typeName()] for field in schema.fields}
    return spark.createDataFrame([some | {key: k, measure: value} for k, value in values.items()], schema)


class Layer:
    """The tables of a layer of their own, and builds that are committed to them one after the other."""

    def __init__(self, lakehouse: Lakehouse, layer: str) -> None:
        self.lakehouse, self.layer = lakehouse, layer
        self.heads = restore_heads(lakehouse.spark, lakehouse.tables, layer, None)
        self.standing = dict.fromkeys(LAYER_TABLES[layer], 0)
        self.number = 0

    def next_build_id(self) -> str:
        self.number += 1
        return f"build{self.number}"

    def commit(self, staged: dict[str, StagedTable]) -> dict[str, Committed]:
        build = Build(
            layer=self.layer,
            build_id=f"build{self.number}",
            job_run_id=str(self.number),
            parameters=self.lakehouse.parameters(self.layer, "2018-01-01", "2018-01-02"),
            base=Base(self.number, self.heads, dict(self.standing)),
            below=None,
            below_before=None,
            whole=False,
            staged=staged,
            rows={},
        )
        done = commit(self.lakehouse.spark, self.lakehouse.tables, build, self.heads)
        for table, one in done.items():
            assert one.version in (self.heads[table], self.heads[table] + 1)
            self.heads[table] = one.version
            self.standing[table] += one.rows_gained
        return done

    def content(self, table: str, key: str, measure: str) -> dict[int, int]:
        found = self.lakehouse.spark.table(self.lakehouse.tables.name(table)).select(key, measure).collect()
        return {row[key]: row[measure] for row in found}


@pytest.fixture(scope="module")
def gold(new_lakehouse: Callable[[], Lakehouse]) -> Layer:
    """One for all tests, each of which changes a table of its own."""
    return Layer(new_lakehouse(), "gold")


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


def test_landing_dates_are_replaced_and_what_they_gain_is_counted(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()
    bad = {"Order Item Quantity": -1}
    deliveries = [
        ([*map(order_item, range(1, 6)), order_item(6, **bad), order_item(7, **bad)], 5, 2),
        ([*map(order_item, range(3, 6))], 3, 0),
        ([*map(order_item, range(2, 5))], 3, 0),
    ]
    versions = []
    for lines, valid, quarantined in deliveries:
        lakehouse.land("2018-01-01", *lines)
        lakehouse.run("2018-01-01", "2018-01-02", layers=("bronze",), audited=False)
        newest = lakehouse.publications.newest("bronze")
        assert newest is not None
        told = {"bronze.landed_files": 1, "bronze.order_items": valid, "bronze.quarantine": quarantined}
        assert newest.row_counts == told
        assert {table: len(rows) for table, rows in lakehouse.everything("bronze").items()} == told
        versions.append(newest.tables["bronze.quarantine"])
    assert versions == [1, 2, 2], "where nothing comes and nothing goes, nothing is written"


@pytest.mark.parametrize(
    ("staged_rows", "files"), [(0, 1), (24_999, 1), (25_000, 2), (60_000, 3), (10**9, 256), (256 * 25_000, 256)]
)
def test_neighbours_are_written_into_one_file(staged_rows: int, files: int) -> None:
    staged = StagedTable("name", "id", 0, staged_rows)
    hint = commits._in_files(ENRICHED, staged)
    assert hint == f"/*+ REPARTITION_BY_RANGE({files}, {LOOKED_UP_BY[ENRICHED][0]}) */"


def test_a_merge_looks_into_files_of_staged_keys_only(gold: Layer) -> None:
    items = rows(gold.lakehouse.spark, ENRICHED, "order_item_id", {7: 1, 5: 1, 6: 1}, "quantity")
    assert commits._between(items, ENRICHED, "order_item_id") == " AND published.`order_item_id` BETWEEN 5 AND 7"
    assert commits._between(items.where("false"), ENRICHED, "order_item_id") == ""
    assert commits._between(items, "silver.dim_customers", "customer_key") == "", "a hash has no neighbours"


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


@pytest.mark.parametrize(
    ("said", "raised"), [("[DELTA_CONCURRENT_WRITE] another", ConcurrentCommit), ("no space left", RuntimeError)]
)
def test_only_another_writer_is_a_reason_to_begin_again(
    gold: Layer, monkeypatch: pytest.MonkeyPatch, said: str, raised: type[Exception]
) -> None:
    def refused(*_: Any) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(commits, "_merge", refused)
    with pytest.raises(raised, match="customers360" if raised is ConcurrentCommit else said):
        gold.commit({})
    monkeypatch.setattr(commits.delta, "restore", refused)
    newest = replace(SOME_PUBLICATION, tables={"gold.customers360": 5})
    with pytest.raises(raised):
        restore_heads(gold.lakehouse.spark, gold.lakehouse.tables, "gold", newest)
