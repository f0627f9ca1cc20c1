"""The law (docs/architecture.md): the same files give the same tables, in whatever order and however often they run.

Through build, gate and publish, on real Delta. The tests share a lakehouse, and each leaves it as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from spark_jobs.layers.registry import TABLES
from spark_jobs.runtime.errors import GateRejected
from spark_jobs.runtime.table_names import LAYERS
from spark_jobs.storage import local_relation
from spark_jobs.storage.publications import Publication
from tests.spark.publishing.lakehouse import Lakehouse, order_item

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
def at_once(new_lakehouse: Callable[[], Lakehouse]) -> Lakehouse:
    """All of it in one interval, with the gates."""
    lakehouse = new_lakehouse()
    first_delivery(lakehouse)
    corrected_delivery(lakehouse)
    lakehouse.run("2018-01-01", "2018-01-04")
    return lakehouse


def test_one_interval_publishes_every_line_once(at_once: Lakehouse) -> None:
    tables = at_once.everything()
    assert len(tables["bronze.order_items"]) == 12
    assert [row[2:4] for row in tables["bronze.quarantine"]] == [
        ("***", ["wrong number of fields: found 1 instead of 53"])
    ]
    assert len(tables["silver.orders"]) == 11
    versions = at_once.published("silver.dim_customers").where("customer_id = 1").orderBy("valid_from").collect()
    assert [row["customer_segment"] for row in versions] == ["Consumer", "Home Office", "Consumer"]
    assert at_once.staging() == []


def test_days_in_another_order_with_reruns_and_a_correction_give_the_same_tables(
    at_once: Lakehouse, new_lakehouse: Callable[[], Lakehouse], monkeypatch: pytest.MonkeyPatch
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
    assert lakehouse.everything() == at_once.everything()


def test_day_after_day_gives_the_same_tables(at_once: Lakehouse, new_lakehouse: Callable[[], Lakehouse]) -> None:
    """Each day is an incremental build on the one before."""
    lakehouse = new_lakehouse()
    first_delivery(lakehouse)
    corrected_delivery(lakehouse)
    for day in (1, 2, 3):
        lakehouse.run(f"2018-01-0{day}", f"2018-01-0{day + 1}", audited=day == 3)
    assert lakehouse.everything() == at_once.everything()
    (row,) = lakehouse.published("gold.customers360").where("customer_id = 4").collect()
    assert row["customer_segment"] == "Corporate"
    for table, columns in ((name, spec.statistics_columns) for name, spec in TABLES.items()):
        assert all(set(file) == set(columns) for file in lakehouse.statistics(table)), table
    days = sorted((file["landing_date"] for file in lakehouse.statistics("bronze.order_items")), key=str)
    assert days == [(f"2018-01-0{day}", f"2018-01-0{day}") for day in (1, 2, 3)], "a day has its own file"


def test_an_unchanged_upstream_layer_is_an_empty_change(at_once: Lakehouse) -> None:
    before = {layer: at_once.heads(layer) for layer in LAYERS}
    for layer in ("silver", "gold"):
        build = at_once.build(layer, "2018-01-01", "2018-01-04")
        assert build.is_empty
        verdict = at_once.audit(build)
        assert verdict.success, verdict.lines()
        at_once.publish(build, verdict.fingerprint)
    assert {layer: at_once.heads(layer) for layer in LAYERS} == before


def test_maintenance_changes_no_row_and_later_builds_are_incremental(at_once: Lakehouse) -> None:
    at_once.run("2018-01-02", "2018-01-03", layers=("bronze",), audited=False)  # leaves a second file to compact
    before = at_once.everything()
    old = at_once.build("bronze", "2018-01-01", "2018-01-02")
    at_once.maintain("2100-01-01T00:00:00+00:00")
    assert at_once.staging() == [], f"the staging of build {old.build_id} is old by then"
    newest = at_once.publications.newest("bronze")
    assert newest is not None
    assert newest.interval is None, "a publication of the same data in new files"
    for layer in LAYERS:
        publication = at_once.publications.newest(layer)
        assert publication is not None
        assert at_once.heads(layer) == publication.tables
    assert at_once.everything() == before
    at_once.run("2018-01-01", "2018-01-02", audited=False)
    assert at_once.everything() == before


def test_a_silver_build_that_another_run_overtook_is_built_again(at_once: Lakehouse) -> None:
    before = at_once.published("silver.orders").collect()
    late = at_once.build("silver", "2018-01-01", "2018-01-02")
    verdict = at_once.approve(late)
    corrected = order_item(31, customer=9, product=9, day=3)
    at_once.land("2018-01-03", *THIRD_DAY, corrected)
    at_once.run("2018-01-03", "2018-01-04", layers=("bronze", "silver"), audited=False)
    publication = at_once.publish(late, verdict.fingerprint)
    assert publication.fingerprint != verdict.fingerprint
    assert at_once.published("silver.orders").where("order_item_id = 31").count() == 1
    at_once.land("2018-01-03", *THIRD_DAY)
    at_once.run("2018-01-03", "2018-01-04", layers=("bronze", "silver"), audited=False)
    after = at_once.published("silver.orders").collect()
    assert sorted(after, key=repr) == sorted(before, key=repr), "what was withdrawn leaves no trace"


def publish_changed(lakehouse: Lakehouse, publication: Publication, tables: dict[str, int]) -> Publication:
    """Publishes a layer once more, with these tables."""
    newest = lakehouse.publications.newest(publication.layer)
    assert newest is not None
    changed = replace(publication, seq=newest.seq + 1, previous_seq=newest.seq, tables=tables)
    assert lakehouse.publications.append(changed)
    return changed


def without(table: str, publication: Publication) -> dict[str, int]:
    return {name: version for name, version in publication.tables.items() if name != table}


def test_a_layer_with_a_new_table_is_built_whole(at_once: Lakehouse) -> None:
    before, table = at_once.everything("gold"), "gold.product_totals"
    gold = at_once.publications.newest("gold")
    assert gold is not None
    publish_changed(at_once, gold, without(table, gold))
    at_once.spark.sql(f"DROP TABLE {at_once.names.table(table)}")
    build = at_once.build("gold", "2018-01-01", "2018-01-04")
    assert build.full_refresh
    at_once.publish(build, at_once.approve(build).fingerprint)
    assert at_once.everything("gold") == before


def test_maintenance_names_broken_rules_and_leaves_those_layers_as_they_are(
    at_once: Lakehouse, caplog: pytest.LogCaptureFixture
) -> None:
    """Silver breaks a rule, and gold lacks a table that is new."""
    caplog.set_level(logging.INFO, "spark_jobs")
    silver, gold = at_once.publications.newest("silver"), at_once.publications.newest("gold")
    assert silver is not None
    assert gold is not None
    name, table = at_once.names.table("silver.orders"), "gold.product_totals"
    at_once.spark.sql(f"UPDATE {name} SET line_total = line_total + 0.01 WHERE order_item_id = 1").collect()
    broken = publish_changed(at_once, silver, at_once.heads("silver"))
    incomplete = publish_changed(at_once, gold, without(table, gold))
    with pytest.raises(GateRejected, match=rf"publication {broken.seq} of orders: "):
        at_once.maintain("2000-01-01T00:00:00+00:00")
    reported = caplog.text
    assert f"gold: left until it is built again, since it got {table}" in reported
    assert at_once.publications.newest("silver") == broken, "nothing of the rejected layer was touched"
    assert at_once.publications.newest("gold") == incomplete
    for mended in (silver, gold):
        publish_changed(at_once, mended, mended.tables)
