"""Publishing bronze: only what was audited, in one commit, whatever dies on the way (design, section 9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from spark_jobs.quality import fingerprint as fingerprints
from spark_jobs.runtime.errors import BuildMissing, GateRejected, NothingLanded
from spark_jobs.storage import commit as commits
from spark_jobs.storage.publications import Publication
from spark_jobs.tables.names import LAYER_TABLES
from spark_jobs.tasks import publish as publishing
from tests.spark.publishing.lakehouse import Lakehouse, order_item

ONE, TWO = ("2018-01-01", "2018-01-02"), ("2018-01-02", "2018-01-03")


@pytest.fixture(scope="module")
def lakehouse(new_lakehouse: Callable[[], Lakehouse]) -> Lakehouse:
    made = new_lakehouse()
    made.land("2018-01-01", *(order_item(n) for n in range(1, 5)))
    made.run(*ONE, layers=("bronze",), audited=False)
    return made


def items(lakehouse: Lakehouse) -> list[int]:
    rows = lakehouse.published("bronze.order_items").select("order_item_id").collect()
    return sorted(row["order_item_id"] for row in rows)


def test_publishing_again_what_is_published_writes_nothing(lakehouse: Lakehouse) -> None:
    build = lakehouse.build("bronze", *ONE)
    verdict = lakehouse.approve(build)
    first = lakehouse.publish(build, verdict.fingerprint)
    heads = lakehouse.heads("bronze")
    assert lakehouse.publish(build, verdict.fingerprint) == first
    assert lakehouse.heads("bronze") == heads
    assert lakehouse.staging() == []


def test_a_publish_that_died_half_way_is_undone_by_the_next(lakehouse: Lakehouse) -> None:
    before = items(lakehouse)
    name = lakehouse.tables.name("bronze.order_items")
    lakehouse.spark.sql(f"DELETE FROM {name}").collect()
    assert items(lakehouse) == before, "readers of the publication do not see it"
    lakehouse.land("2018-01-02", order_item(9, day=2))
    lakehouse.run(*TWO, layers=("bronze",), audited=False)
    assert items(lakehouse) == [*before, 9]
    assert lakehouse.spark.table(name).count() == len(before) + 1


def test_only_a_successful_verdict_for_exactly_this_staging_publishes(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = lakehouse.publications.newest("bronze")
    build = lakehouse.build("bronze", *ONE)
    fingerprint = fingerprints.fingerprint(lakehouse.spark, build)
    with pytest.raises(GateRejected, match="no successful verdict"):
        lakehouse.publish(build, fingerprint)
    assert lakehouse.audit(build).fingerprint == fingerprint

    with monkeypatch.context() as edited:
        edited.setattr(fingerprints, "suites_hash", lambda layer: "another suite")
        with pytest.raises(GateRejected, match="no longer what was audited"):
            lakehouse.publish(build, fingerprint)
    with monkeypatch.context() as edited:
        edited.setattr(fingerprints, "code_version", lambda: "another wheel")
        with pytest.raises(GateRejected, match="no longer what was audited"):
            lakehouse.publish(build, fingerprint)

    staged = build.staged["bronze.lines"].name
    lakehouse.spark.sql(f"UPDATE {staged} SET order_item_total = 0 WHERE order_item_id = 1").collect()
    with pytest.raises(GateRejected, match="no longer what was audited"):
        lakehouse.publish(build, fingerprint)
    lakehouse.spark.sql(f"DROP TABLE {staged}")
    with pytest.raises(BuildMissing, match="is gone"):
        lakehouse.publish(build, fingerprint)
    assert lakehouse.publications.newest("bronze") == newest


def test_a_rejected_build_cannot_be_published(lakehouse: Lakehouse) -> None:
    lakehouse.land("2018-01-05", *(order_item(n, day=5, **{"Order Item Quantity": -1}) for n in range(50, 60)))
    before = lakehouse.heads("bronze")
    build = lakehouse.build("bronze", "2018-01-05", "2018-01-06")
    verdict = lakehouse.audit(build)
    assert not verdict.success
    assert any("2018-01-05" in failure.message for failure in verdict.failures)
    with pytest.raises(GateRejected, match="no successful verdict"):
        lakehouse.publish(build, verdict.fingerprint)
    assert lakehouse.heads("bronze") == before


def test_a_verdict_that_was_changed_to_a_no_counts(lakehouse: Lakehouse) -> None:
    build = lakehouse.build("bronze", *ONE)
    verdict = lakehouse.approve(build)
    no = replace(verdict, success=False)
    publishing.Verdicts(lakehouse.spark, lakehouse.tables).append(no)
    with pytest.raises(GateRejected):
        lakehouse.publish(build, verdict.fingerprint)


def test_overlapping_dates_that_another_run_published_are_built_again(lakehouse: Lakehouse) -> None:
    late = lakehouse.build("bronze", *ONE)
    verdict = lakehouse.approve(late)
    lakehouse.land("2018-01-01", *(order_item(n) for n in range(1, 7)))
    lakehouse.run(*ONE, layers=("bronze",), audited=False)
    publication = lakehouse.publish(late, verdict.fingerprint)
    assert publication.fingerprint != verdict.fingerprint
    assert publication.gate_fingerprint == verdict.fingerprint
    assert {1, 2, 3, 4, 5, 6} <= set(items(lakehouse)), "the newest delivery, not the one of the older build"
    assert lakehouse.publish(late, verdict.fingerprint) == publication


def test_another_date_is_published_as_it_was_built(lakehouse: Lakehouse) -> None:
    lakehouse.land("2018-01-03", order_item(31, day=3))
    build = lakehouse.build("bronze", "2018-01-03", "2018-01-04")
    verdict = lakehouse.approve(build)
    lakehouse.land("2018-01-02", order_item(9, day=2))
    lakehouse.run(*TWO, layers=("bronze",), audited=False)
    assert lakehouse.publish(build, verdict.fingerprint).fingerprint == verdict.fingerprint
    assert {9, 31} <= set(items(lakehouse))


def test_a_commit_of_another_writer_in_between_is_noticed_and_undone(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = items(lakehouse)
    build = lakehouse.build("bronze", *ONE)
    verdict = lakehouse.approve(build)
    replace_dates, intruders = commits._replace_dates, []

    def with_an_intruder(spark, build, table, name):
        committed = replace_dates(spark, build, table, name)
        if table == "bronze.order_items" and not intruders:
            intruders.append(table)
            spark.sql(f"DELETE FROM {name} WHERE order_item_id = 31").collect()
        return committed

    monkeypatch.setattr(commits, "_replace_dates", with_an_intruder)
    lakehouse.publish(build, verdict.fingerprint)
    assert intruders
    assert items(lakehouse) == before


def test_of_two_publishers_at_the_same_number_one_begins_again(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = lakehouse.build("bronze", *TWO)
    verdict = lakehouse.approve(build)
    append, others = publishing.Publications.append, []

    def after_another(self: publishing.Publications, publication: Publication) -> bool:
        if not others:
            others.append(append(self, Publication(**{**vars(publication), "gate_fingerprint": "another's"})))
        return append(self, publication)

    monkeypatch.setattr(publishing.Publications, "append", after_another)
    newest = lakehouse.publications.newest("bronze")
    publication = lakehouse.publish(build, verdict.fingerprint)
    assert newest is not None
    assert others == [True]
    assert publication.seq == newest.seq + 2


def test_a_missing_date_refuses_by_name_or_leaves_the_published_date_alone(lakehouse: Lakehouse) -> None:
    before = items(lakehouse)
    with pytest.raises(NothingLanded, match="2018-01-04"):
        lakehouse.build("bronze", "2018-01-01", "2018-01-05")
    (lakehouse.landing / "dt=2018-01-03").rename(lakehouse.landing / "_not_landed")
    lakehouse.run("2018-01-02", "2018-01-04", layers=("bronze",), audited=False, allow_missing_dates="true")
    assert items(lakehouse) == before
    lakehouse.land("2018-01-03")
    lakehouse.run("2018-01-02", "2018-01-04", layers=("bronze",), audited=False)
    assert items(lakehouse) == [item for item in before if item != 31], "an empty folder withdraws its date"


def test_a_first_publish_that_died_leaves_nothing_behind(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()
    lakehouse.land("2018-01-01", order_item(1))
    heads = commits.restore_heads(lakehouse.spark, lakehouse.tables, "bronze", None)
    build = lakehouse.build("bronze", *ONE)
    commits.commit(lakehouse.spark, lakehouse.tables, build, heads)
    lakehouse.land("2018-01-01")
    lakehouse.land("2018-01-02", order_item(2, day=2))
    lakehouse.run(*TWO, layers=("bronze",), audited=False)
    assert items(lakehouse) == [2]


def test_a_published_table_that_was_dropped_is_named(lakehouse: Lakehouse) -> None:
    newest = replace(
        lakehouse.publications.newest("bronze"), layer="gold", tables=dict.fromkeys(LAYER_TABLES["gold"], 3)
    )
    with pytest.raises(LookupError, match="was published at version 3 and is gone"):
        commits.restore_heads(lakehouse.spark, lakehouse.tables, "gold", newest)
