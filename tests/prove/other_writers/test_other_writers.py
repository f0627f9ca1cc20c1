"""Tables live among other users: their metadata stays, rows that nobody audited are taken back, and no layer is stuck.

Each row of a table below is one case: what others did, in which tables and when, and what must come out on the next
ordinary day. The days that follow each case publish the same rows as a lakehouse that nobody else has touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from spark_jobs.layers.bronze.bronze_tables import AUDIT_ONLY
from spark_jobs.layers.registry import TABLES as REGISTRY
from spark_jobs.runtime.errors import ConstraintViolated, GateRejected, TableDropped
from spark_jobs.runtime.table_names import LAYERS
from spark_jobs.tasks.changed_dates import changed_dates
from tests.prove.budget import minutes
from tests.spark.conftest import _set_setting as set_setting
from tests.spark.publishing.lakehouse import Lakehouse, order_item

LONG = pytest.mark.skipif(minutes() is None, reason="long version, run by `make prove`; short: the first test here")
TABLES = {
    "bronze": ("bronze.order_items", "landing_date", "market"),
    "silver": ("silver.orders", "order_item_id", "delivery_market"),
    "gold": ("gold.customers360", "customer_id", "rfm_segment"),
}
"""Of each layer a table, a column with statistics, and a text."""


def date_of(day: int) -> str:
    return f"2018-01-{day:02}"


def land(lakehouse: Lakehouse, days: int = 25) -> None:
    """Land days with orders of the same customers, one of whom moves each day."""
    for day in range(1, days + 1):
        lines = [order_item(10 * day + n, customer=n, product=5 + n % 2, day=day) for n in range(1, 4)]
        moved = order_item(10 * day + 9, customer=1, segment=("Corporate", "Consumer")[day % 2], day=day)
        lakehouse.land(date_of(day), *lines, moved)


@dataclass
class Days:
    """A lakehouse in which the days pass."""

    lakehouse: Lakehouse
    day: int = 0

    def next(self, *layers: str, audited: bool = False) -> dict[str, tuple[str, ...]]:
        """Run the next day; the notes of each layer's build."""
        if not layers or "bronze" in layers:
            self.day += 1
        notes = {}
        for layer in layers or LAYERS:
            build = self.lakehouse.build(layer, *self.interval)
            verdict = self.lakehouse.audit(build) if audited else self.lakehouse.approve(build)
            assert verdict.success, verdict.lines()
            self.lakehouse.publish(build, verdict.fingerprint)
            notes[layer] = build.notes
        return notes

    def again(self, start: str) -> None:
        """Run bronze for the landing dates from `start` to the last day again."""
        build = self.lakehouse.build("bronze", start, self.interval[1])
        verdict = self.lakehouse.audit(build)
        assert verdict.success, verdict.lines()
        self.lakehouse.publish(build, verdict.fingerprint)

    def lose(self, *tables: str) -> None:
        """Remove the files of tables, and not their logs."""
        for table in tables:
            for file in self.files(table).rglob("*.parquet"):
                if "_delta_log" not in file.parts:
                    file.unlink()

    @property
    def interval(self) -> tuple[str, str]:
        return date_of(self.day), date_of(self.day + 1)

    def sql(self, statement: str, layer: str) -> None:
        table, key, text = TABLES[layer]
        name = self.lakehouse.names.table(table)
        self.lakehouse.spark.sql(statement.format(table=name, key=key, text=text)).collect()

    def metadata(self, layer: str) -> dict[str, Any]:
        """What others may have changed of a table."""
        name = self.lakehouse.names.table(TABLES[layer][0])
        spark = self.lakehouse.spark
        (detail,) = spark.sql(f"DESCRIBE DETAIL {name}").collect()
        schema = spark.table(name).schema
        return {
            "clustering": detail["clusteringColumns"],
            "properties": {k: v for k, v in detail["properties"].items() if k.startswith(("owner.", "delta.constr"))},
            "comment": detail["description"],
            "columns": schema.names,
            "column comment": schema[TABLES[layer][2]].metadata.get("comment"),
        }

    def files(self, table: str) -> Path:
        """The folder of a table."""
        (detail,) = self.lakehouse.spark.sql(f"DESCRIBE DETAIL {self.lakehouse.names.table(table)}").collect()
        return Path(unquote(urlsplit(detail["location"]).path))


def content(lakehouse: Lakehouse) -> dict[str, list[tuple[Any, ...]]]:
    """Every published table, its rows sorted: the columns of the specification, audit columns aside."""
    tables = {}
    for name, frame in lakehouse.tables().items():
        columns = [column for column in REGISTRY[name].columns if column not in AUDIT_ONLY]
        tables[name] = sorted((tuple(row) for row in frame.select(*columns).collect()), key=repr)
    return tables


@pytest.fixture(scope="module")
def untouched(new_lakehouse: Callable[[], Lakehouse]) -> Callable[[int], dict[str, Any]]:
    """What the tables hold after a number of days that nobody else has touched."""
    lakehouse = new_lakehouse()
    land(lakehouse)
    done, found = 0, dict[str, Any]()

    def after(days: int) -> dict[str, Any]:
        nonlocal done, found
        if days > done:  # by the law at once or day by day
            lakehouse.run(date_of(done + 1), date_of(days + 1), audited=False)
            done, found = days, content(lakehouse)
        return found

    return after


@pytest.fixture(scope="module")
def days(new_lakehouse: Callable[[], Lakehouse]) -> Days:
    """One lakehouse for all cases: each leaves it sound."""
    days = Days(new_lakehouse())
    land(days.lakehouse)
    days.next()
    return days


METADATA = {
    "clustering": "ALTER TABLE {table} CLUSTER BY ({key})",
    "property": "ALTER TABLE {table} SET TBLPROPERTIES ('owner.team' = 'bi')",
    "comment": "COMMENT ON TABLE {table} IS 'ours, see the wiki'",
    "column comment": "ALTER TABLE {table} ALTER COLUMN {text} COMMENT 'as sales says it'",
    "constraint": "ALTER TABLE {table} ADD CONSTRAINT not_empty CHECK ({text} <> '')",
    "added column": "ALTER TABLE {table} ADD COLUMN (bi_note STRING AFTER {key})",
    "optimize": "OPTIMIZE {table}",
}


def test_metadata_of_others_stays_and_the_day_runs(days: Days, untouched: Callable[[int], dict[str, Any]]) -> None:
    """In each layer at once, then two days and maintenance; on the second day somebody also writes rows."""
    for layer in LAYERS:
        for statement in METADATA.values():
            days.sql(statement, layer)
    for table in ("ops.publications", "ops.verdicts"):
        days.lakehouse.spark.sql(f"ALTER TABLE {days.lakehouse.names.table(table)} ADD COLUMN (bi_note STRING)")
    expected = {layer: days.metadata(layer) for layer in LAYERS}
    for layer in LAYERS:
        assert expected[layer]["clustering"] == [TABLES[layer][1]]
        assert "bi_note" in expected[layer]["columns"]
    heads = {layer: days.lakehouse.heads(layer)[TABLES[layer][0]] for layer in LAYERS}
    notes = days.next(audited=True)
    assert notes == {"bronze": (), "silver": (), "gold": ()}, "the change feed can be read: no full refresh"
    for layer in LAYERS:
        assert days.lakehouse.heads(layer)[TABLES[layer][0]] == heads[layer] + 1, "one commit, and nothing undone"
    assert content(days.lakehouse) == untouched(days.day)
    for layer in LAYERS:
        days.sql("UPDATE {table} SET {text} = 'nonsense', bi_note = 'mine'", layer)
        days.sql("ALTER TABLE {table} SET TBLPROPERTIES ('owner.contact' = 'bi@example.com')", layer)
        expected[layer]["properties"]["owner.contact"] = "bi@example.com"
    days.next()
    assert content(days.lakehouse) == untouched(days.day)
    assert {layer: days.metadata(layer) for layer in LAYERS} == expected
    days.lakehouse.maintain("2018-02-01T00:00:00+00:00")
    assert content(days.lakehouse) == untouched(days.day)
    assert {layer: days.metadata(layer) for layer in LAYERS} == expected
    optimized = days.lakehouse.spark.sql(f"DESCRIBE HISTORY {days.lakehouse.names.table('silver.orders')}")
    newest = optimized.where("operation = 'OPTIMIZE'").orderBy("version", ascending=False).first()
    assert newest is not None
    assert newest["operationParameters"]["clusterBy"] == '["order_item_id"]', "maintenance clusters"


def remove_old_files(days: Days, *tables: str) -> None:
    """VACUUM all files that the newest version of each table does not name."""
    spark = days.lakehouse.spark
    checked = "spark.databricks.delta.retentionDurationCheck.enabled"
    conf: Any = spark.conf
    before = conf.get(checked)
    set_setting(conf, checked, "false")
    try:
        for table in tables:
            spark.sql(f"VACUUM {days.lakehouse.names.table(table)} RETAIN 0 HOURS").collect()
    finally:
        set_setting(conf, checked, before)


def is_full_refresh(notes: tuple[str, ...], layer: str, condition: str) -> bool:
    return any(note.startswith(f"full refresh of {layer}, since") and condition in note for note in notes)


@LONG
def test_files_removed_below_a_layer(days: Days, untouched: Callable[[int], dict[str, Any]]) -> None:
    """E2: predictive optimization compacts bronze and VACUUM removes the files that silver needs; the same for gold."""
    days.next("bronze")
    days.sql("OPTIMIZE {table}", "bronze")
    remove_old_files(days, "bronze.order_items")
    silver = days.next("silver")["silver"]
    assert is_full_refresh(silver, "silver", "FAILED_READ_FILE"), silver
    remove_old_files(days, *(name for name in REGISTRY if name.startswith("silver.")))
    days.lakehouse.maintain("2018-02-01T00:00:00+00:00")
    gold = days.next("gold", audited=True)["gold"]
    assert is_full_refresh(gold, "gold", "maintenance could not read what is published"), gold
    assert content(days.lakehouse) == untouched(days.day)


@LONG
def test_the_next_ordinary_day_is_incremental_again(days: Days, untouched: Callable[[int], dict[str, Any]]) -> None:
    assert days.next() == {"bronze": (), "silver": (), "gold": ()}
    assert content(days.lakehouse) == untouched(days.day)


@LONG
def test_a_table_dropped_and_one_made_again(days: Days, untouched: Callable[[int], dict[str, Any]]) -> None:
    """A dropped table of silver, and one of gold that somebody made again with other columns."""
    days.sql("DROP TABLE {table}", "silver")
    days.sql("DROP TABLE {table}", "gold")
    days.sql("CREATE TABLE {table} USING delta AS SELECT 1 AS something", "gold")
    notes = days.next()
    assert is_full_refresh(notes["silver"], "silver", "TABLE_OR_VIEW_NOT_FOUND"), notes
    assert is_full_refresh(notes["gold"], "gold", "DELTA_"), notes
    assert content(days.lakehouse) == untouched(days.day)


@LONG
def test_a_change_feed_that_was_switched_off(days: Days, untouched: Callable[[int], dict[str, Any]]) -> None:
    """As in github.com/mrpowers-io/jodie/issues/63: silver's publish switches it on again.

    In one table alone, and in one whose rows somebody changes too. A table is dropped between gold's audit and publish.
    """
    off = "ALTER TABLE {table} SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'false')"
    for statement in (off, f"{off};UPDATE {{table}} SET {{text}} = 'nonsense'"):
        for one in statement.split(";"):
            days.sql(one, "silver")
        days.next("bronze", "silver")
        build = days.lakehouse.build("gold", *days.interval)
        verdict = days.lakehouse.audit(build)
        assert is_full_refresh(verdict.notes, "gold", "DELTA_MISSING_CHANGE_DATA"), verdict.notes
        days.sql("DROP TABLE {table}", "gold")
        days.lakehouse.publish(build, verdict.fingerprint)
        assert content(days.lakehouse) == untouched(days.day)
        assert days.next() == {"bronze": (), "silver": (), "gold": ()}
        assert content(days.lakehouse) == untouched(days.day)


@LONG
def test_a_column_renamed_and_change_files_lost(days: Days, untouched: Callable[[int], dict[str, Any]]) -> None:
    """A column of ours is ours: its name comes back. Gold's audit and publish lose what its build has read."""
    days.sql("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS not_empty", "silver")
    days.sql("ALTER TABLE {table} SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')", "silver")
    days.sql("ALTER TABLE {table} RENAME COLUMN {text} TO market", "silver")
    days.next("bronze", "silver")
    gold = days.next("gold")["gold"]
    assert is_full_refresh(gold, "gold", "DELTA_CHANGE_DATA_FEED_INCOMPATIBLE"), gold
    days.next("bronze", "silver")
    build = days.lakehouse.build("gold", *days.interval)
    assert not build.full_refresh
    for table in ("silver.orders", "silver.dim_customers", "silver.dim_products"):
        shutil.rmtree(days.files(table) / "_change_data", ignore_errors=True)
    verdict = days.lakehouse.audit(build)
    assert verdict.success, verdict.lines()
    assert any(note.startswith("whole tables are judged") for note in verdict.notes), verdict.notes
    days.lakehouse.spark.sql(f"DROP TABLE {days.lakehouse.names.table('gold.orders_enriched')}")
    days.lakehouse.publish(build, verdict.fingerprint)
    assert content(days.lakehouse) == untouched(days.day)


@LONG
def test_a_feature_that_others_remove_again(days: Days, untouched: Callable[[int], dict[str, Any]]) -> None:
    """As in github.com/delta-io/delta/issues/2481: all files are written again, and no row differs."""
    for mode in ("name", "none"):
        days.sql(f"ALTER TABLE {{table}} SET TBLPROPERTIES ('delta.columnMapping.mode' = '{mode}')", "gold")
    customers = TABLES["gold"][0]
    head = days.lakehouse.heads("gold")[customers]
    days.next()
    assert days.lakehouse.heads("gold")[customers] == head + 1, "one commit, and nothing undone"
    assert content(days.lakehouse) == untouched(days.day)


@LONG
def test_a_constraint_that_refuses_rows_is_named_without_them(
    days: Days, untouched: Callable[[int], dict[str, Any]]
) -> None:
    days.sql(f"ALTER TABLE {{table}} ADD CONSTRAINT few_orders CHECK (total_orders <= {2 * days.day + 1})", "gold")
    days.next("bronze", "silver")
    build = days.lakehouse.build("gold", *days.interval)
    verdict = days.lakehouse.audit(build)
    with pytest.raises(ConstraintViolated, match=r"customers360 refuses .* few_orders .*drop it") as refused:
        days.lakehouse.publish(build, verdict.fingerprint)
    assert "Lee" not in str(refused.value), "names of customers"
    days.sql("ALTER TABLE {table} DROP CONSTRAINT few_orders", "gold")
    days.lakehouse.publish(build, verdict.fingerprint)
    assert content(days.lakehouse) == untouched(days.day)


@LONG
def test_files_of_gold_are_lost(days: Days, untouched: Callable[[int], dict[str, Any]]) -> None:
    """As by a rule of the storage that removes old objects."""
    days.next("bronze", "silver")
    days.lose("gold.orders_enriched")
    gold = days.next("gold", audited=True)["gold"]
    assert is_full_refresh(gold, "gold", "FAILED_READ_FILE"), gold
    assert content(days.lakehouse) == untouched(days.day)


@LONG
@pytest.mark.parametrize("clusters", [False, True], ids=["in order", "clustered"])
def test_files_of_silver_are_lost(days: Days, untouched: Callable[[int], dict[str, Any]], clusters: bool) -> None:
    """Found by whoever reads them, which is gold here; then silver, and gold, go on by themselves."""
    if clusters:
        days.sql("ALTER TABLE {table} CLUSTER BY ({key})", "silver")
    days.lose("silver.orders")
    with pytest.raises(TableDropped, match=r"gold cannot be built: .*FAILED_READ_FILE.* Run silver again"):
        days.next()
    notes = days.next("silver", "gold", audited=True)
    assert is_full_refresh(notes["silver"], "silver", "gold found that"), notes
    assert is_full_refresh(notes["gold"], "gold", ""), notes
    assert content(days.lakehouse) == untouched(days.day)


@LONG
def test_bronze_comes_back_from_landing(days: Days, untouched: Callable[[int], dict[str, Any]]) -> None:
    """Whatever needs its lost rows says which run brings them back, and that run does."""
    days.lose("bronze.order_items", "bronze.landed_files")
    all_dates = f"START=2018-01-01 END={days.interval[1]}"
    with pytest.raises(GateRejected, match=f"bronze cannot be read any more.*{all_dates}"):
        days.lakehouse.maintain("2018-02-01T00:00:00+00:00")
    with pytest.raises(TableDropped, match=rf"(order_items|landed_files) can no longer be read .*{all_dates}"):
        days.again(days.interval[0])
    newest = days.lakehouse.publications.newest("bronze")
    changes = changed_dates(days.lakehouse.jobs, newest, days.lakehouse.landing, date(2100, 1, 1))
    assert min(changes) == date(2018, 1, 1)
    days.again("2018-01-01")
    notes = days.next("silver", "gold", audited=True)
    assert is_full_refresh(notes["silver"], "silver", ""), notes
    assert content(days.lakehouse) == untouched(days.day)
    assert days.next() == {"bronze": (), "silver": (), "gold": ()}
    assert content(days.lakehouse) == untouched(days.day)


@LONG
def test_a_dropped_table_of_bronze_comes_back_from_landing(
    days: Days, untouched: Callable[[int], dict[str, Any]]
) -> None:
    days.sql("DROP TABLE {table}", "bronze")
    with pytest.raises(TableDropped, match=r"order_items was published at version .* UNDROP TABLE"):
        days.again(days.interval[0])
    with pytest.raises(TableDropped, match=r"silver cannot be built: .*TABLE_OR_VIEW_NOT_FOUND.*START=2018-01-01"):
        days.lakehouse.build("silver", *days.interval)
    days.again("2018-01-01")
    days.next("silver", "gold", audited=True)
    assert content(days.lakehouse) == untouched(days.day)
