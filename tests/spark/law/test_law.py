"""The law (docs/architecture.md): the same files give the same tables, in whatever order and however often they run.

Through build, gate and publish, on real Delta. The tests share a lakehouse, and each leaves it as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from spark_jobs.layers.registry import TABLES
from spark_jobs.runtime.errors import GateRejected, PublicationMissing
from spark_jobs.runtime.table_names import LAYERS
from spark_jobs.storage import local_relation
from spark_jobs.storage.publications import Publication
from spark_jobs.storage.published_changes import PublishedChanges
from tests.spark.publishing.lakehouse import Lakehouse, order_item

Tables = dict[str, list[tuple[Any, ...]]]
THIRD_DAY = (
    order_item(21, customer=1, day=3),
    # A canceled order of the first day is delivered again, with another segment of its customer.
    order_item(8, day=1, status="CANCELED", customer=4, segment="Corporate"),
    "this is no order item",
)


def first_delivery(lakehouse: Lakehouse) -> None:
    lakehouse.land(
        "2018-01-01",
        *(order_item(n, customer=n % 3 + 1, product=n % 2 + 5, day=1) for n in range(1, 8)),
        order_item(8, day=1, status="CANCELED", customer=4),
    )
    # A customer moves to another segment, a price changes, and an item of the first day is delivered again.
    lakehouse.land(
        "2018-01-02",
        order_item(11, customer=1, segment="Corporate", day=2),
        order_item(12, customer=2, product=6, price=120, day=2),
        order_item(3, customer=1, product=6, status="CLOSED", total="80.00", day=1),
    )
    lakehouse.land("2018-01-03", *THIRD_DAY)


def corrected_delivery(lakehouse: Lakehouse) -> None:
    """The second day comes again with the redelivered item withdrawn and another price."""
    lakehouse.land(
        "2018-01-02",
        order_item(11, customer=1, segment="Home Office", day=2),
        order_item(12, customer=3, product=6, price=130, day=2),
    )


@pytest.fixture(scope="module")
def one_run(new_lakehouse: Callable[[], Lakehouse]) -> Lakehouse:
    """All of it in one interval, with the gates."""
    lakehouse = new_lakehouse()
    first_delivery(lakehouse)
    corrected_delivery(lakehouse)
    lakehouse.run("2018-01-01", "2018-01-04")
    return lakehouse


@pytest.fixture(scope="module")
def tables(one_run: Lakehouse) -> Tables:
    """What it published."""
    return one_run.everything()


def test_one_interval_publishes_every_line_once(one_run: Lakehouse, tables: Tables) -> None:
    assert len(tables["bronze.order_items"]) == 12
    assert [row[2:4] for row in tables["bronze.quarantine"]] == [
        ("***", ["wrong number of fields: found 1 instead of 53"])
    ]
    assert [(str(row[0]), row[3]) for row in tables["bronze.metrics"] if row[1:3] == ("orders", "")] == [
        ("2018-01-01", 8),
        ("2018-01-02", 2),
        ("2018-01-03", 2),
    ], "the corrected second day has been measured again"
    assert len(tables["silver.orders"]) == 11
    versions = one_run.published("silver.dim_customers").where("customer_id = 1").orderBy("valid_from").collect()
    assert [row["customer_segment"] for row in versions] == ["Consumer", "Home Office", "Consumer"]
    assert one_run.staging() == []


def test_days_in_another_order_with_reruns_and_a_correction_give_the_same_tables(
    tables: Tables, new_lakehouse: Callable[[], Lakehouse], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the tables themselves, as where rows are many; in all other tests the few rows are local relations."""
    monkeypatch.setenv(local_relation.ROWS_VARIABLE, "0")
    lakehouse = new_lakehouse()
    first_delivery(lakehouse)
    lakehouse.run("2018-01-03", "2018-01-04", audited=False)
    lakehouse.run("2018-01-01", "2018-01-03", layers=("bronze", "silver"), audited=False)
    corrected_delivery(lakehouse)
    lakehouse.run("2018-01-02", "2018-01-03")
    lakehouse.run("2018-01-02", "2018-01-03", layers=("bronze",), audited=False)
    assert lakehouse.everything() == tables


@pytest.mark.parametrize("local_rows", ["0", str(local_relation.MOST_ROWS)])
def test_day_after_day_gives_the_same_tables(
    tables: Tables, new_lakehouse: Callable[[], Lakehouse], monkeypatch: pytest.MonkeyPatch, local_rows: str
) -> None:
    """Each day is an incremental build on the one before."""
    monkeypatch.setenv(local_relation.ROWS_VARIABLE, local_rows)
    lakehouse = new_lakehouse()
    first_delivery(lakehouse)
    corrected_delivery(lakehouse)
    for day in (1, 2, 3):
        lakehouse.run(f"2018-01-0{day}", f"2018-01-0{day + 1}", audited=day == 3)
    assert lakehouse.everything() == tables
    (row,) = lakehouse.published("gold.customers360").where("customer_id = 4").collect()
    assert row["customer_segment"] == "Corporate"
    for table, columns in ((name, spec.statistics_columns) for name, spec in TABLES.items()):
        assert all(set(file) == set(columns) for file in lakehouse.statistics(table)), table
    days = sorted((file["landing_date"] for file in lakehouse.statistics("bronze.order_items")), key=str)
    assert days == [(f"2018-01-0{day}", f"2018-01-0{day}") for day in (1, 2, 3)], "a day has its own file"


def test_an_unchanged_upstream_layer_is_an_empty_change(one_run: Lakehouse) -> None:
    before = {layer: one_run.heads(layer) for layer in LAYERS}
    for layer in ("silver", "gold"):
        build = one_run.build(layer, "2018-01-01", "2018-01-04")
        assert build.is_empty
        verdict = one_run.audit(build)
        assert verdict.success, verdict.lines()
        one_run.publish(build, verdict.fingerprint)
    assert {layer: one_run.heads(layer) for layer in LAYERS} == before


def test_maintenance_changes_no_row_and_later_builds_are_incremental(one_run: Lakehouse, tables: Tables) -> None:
    one_run.run("2018-01-02", "2018-01-03", layers=("bronze",), audited=False)  # leaves a second file to compact
    old = one_run.build("bronze", "2018-01-01", "2018-01-02")
    published = newest_seq(one_run, "silver")
    one_run.maintain("2100-01-01T00:00:00+00:00")
    assert one_run.staging() == [], f"the staging of build {old.build_id} is old by then"
    newest = one_run.publications.newest("bronze")
    assert newest is not None
    assert newest.interval is None, "a publication of the same data in new files"
    for layer in LAYERS:
        publication = one_run.publications.newest(layer)
        assert publication is not None
        assert one_run.heads(layer) == publication.tables
    assert one_run.everything() == tables
    changes = PublishedChanges(one_run.spark, one_run.names, TABLES["silver.orders"])
    assert changes.between(published, newest_seq(one_run, "silver")).isEmpty()
    one_run.run("2018-01-01", "2018-01-02", audited=False)
    assert one_run.everything() == tables


def test_a_silver_build_that_another_run_overtook_is_built_again(one_run: Lakehouse) -> None:
    """What the publications changed, and nothing that another writer did, is in the change feed of the table."""
    before = one_run.published("silver.orders").collect()
    late = one_run.build("silver", "2018-01-01", "2018-01-02")
    verdict = one_run.approve(late)
    corrected = order_item(31, customer=9, product=9, day=3)
    one_run.land("2018-01-03", *THIRD_DAY, corrected)
    one_run.run("2018-01-03", "2018-01-04", layers=("bronze", "silver"), audited=False)
    publication = one_run.publish(late, verdict.fingerprint)
    assert publication.fingerprint != verdict.fingerprint
    assert one_run.published("silver.orders").where("order_item_id = 31").count() == 1
    one_run.land("2018-01-03", *THIRD_DAY)
    name = one_run.names.table("silver.orders")
    one_run.spark.sql(f"UPDATE {name} SET line_total = 0 WHERE order_item_id = 1").collect()
    one_run.run("2018-01-03", "2018-01-04", layers=("bronze", "silver"), audited=False)
    after = one_run.published("silver.orders").collect()
    assert sorted(after, key=repr) == sorted(before, key=repr), "what was withdrawn leaves no trace"
    changes = PublishedChanges(one_run.spark, one_run.names, TABLES["silver.orders"])
    first, newest = late.previous.seq, newest_seq(one_run, "silver")
    found = changes.between(first, newest).orderBy("_publication").collect()
    assert [(row["order_item_id"], row["_change_type"]) for row in found] == [(31, "insert"), (31, "delete")]
    assert [row["_publication"] for row in found] == [publication.seq - 1, newest]
    assert {row["customer_id"] for row in found} == {9}, "a deleted row is given as it was"
    with pytest.raises(PublicationMissing, match=f"has not all publications of silver from {newest} to {newest + 1}"):
        changes.between(newest, newest + 1)


def newest_seq(lakehouse: Lakehouse, layer: str) -> int:
    newest = lakehouse.publications.newest(layer)
    assert newest is not None
    return newest.seq


def publish_changed(lakehouse: Lakehouse, publication: Publication, tables: dict[str, int]) -> Publication:
    """Publishes a layer once more, with these tables."""
    newest = lakehouse.publications.newest(publication.layer)
    assert newest is not None
    changed = replace(publication, seq=newest.seq + 1, previous_seq=newest.seq, tables=tables)
    assert lakehouse.publications.append(changed)
    return changed


def without(table: str, publication: Publication) -> dict[str, int]:
    return {name: version for name, version in publication.tables.items() if name != table}


def test_a_layer_with_a_new_table_is_built_whole(one_run: Lakehouse, tables: Tables) -> None:
    table = "gold.product_totals"
    gold = one_run.publications.newest("gold")
    assert gold is not None
    publish_changed(one_run, gold, without(table, gold))
    one_run.spark.sql(f"DROP TABLE {one_run.names.table(table)}")
    build = one_run.build("gold", "2018-01-01", "2018-01-04")
    assert build.full_refresh
    one_run.publish(build, one_run.approve(build).fingerprint)
    assert one_run.everything("gold") == {name: rows for name, rows in tables.items() if name.startswith("gold.")}


def test_maintenance_names_broken_rules_and_leaves_those_layers_as_they_are(
    one_run: Lakehouse, caplog: pytest.LogCaptureFixture
) -> None:
    """Silver breaks a rule, and gold lacks a table that is new."""
    caplog.set_level(logging.INFO, "spark_jobs")
    silver, gold = one_run.publications.newest("silver"), one_run.publications.newest("gold")
    assert silver is not None
    assert gold is not None
    name, table = one_run.names.table("silver.orders"), "gold.product_totals"
    one_run.spark.sql(f"UPDATE {name} SET line_total = line_total + 0.01 WHERE order_item_id = 1").collect()
    broken = publish_changed(one_run, silver, one_run.heads("silver"))
    incomplete = publish_changed(one_run, gold, without(table, gold))
    with pytest.raises(GateRejected, match=rf"publication {broken.seq} of orders: "):
        one_run.maintain("2000-01-01T00:00:00+00:00")
    reported = caplog.text
    assert f"gold: left until it is built again, since it got {table}" in reported
    assert one_run.publications.newest("silver") == broken, "nothing of the rejected layer was touched"
    assert one_run.publications.newest("gold") == incomplete
    for mended in (silver, gold):
        publish_changed(one_run, mended, mended.tables)
