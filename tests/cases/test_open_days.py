"""Dates that are still being delivered: published again and again, and judged as whole dates when they have ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from pyspark.sql.types import StructType

from spark_jobs.runtime.errors import LakehouseError
from spark_jobs.runtime.table_names import LAYERS
from spark_jobs.storage.delta import create_table
from spark_jobs.storage.publications import PUBLICATIONS
from spark_jobs.storage.verdicts import Verdict
from tests.spark.publishing.lakehouse import Lakehouse, order_item

OPEN = date(2018, 1, 5)
BROKEN = ["no order item"] * 6
"""One more than may be in quarantine of a small date."""


def run(lakehouse: Lakehouse, today: date) -> Verdict:
    """Build bronze for what is to be done, and publish it where its gate allows it."""
    found = lakehouse.look(today)
    assert found.pop("changed") == "true"
    build = lakehouse.build("bronze", found.pop("interval_start"), found.pop("interval_end"), **found)
    verdict = lakehouse.audit(build)
    if verdict.success:
        lakehouse.publish(build, verdict.fingerprint)
    return verdict


def open_dates(lakehouse: Lakehouse) -> list[date]:
    newest = lakehouse.publications.newest("bronze")
    assert newest is not None
    return list(newest.open_dates)


def test_publications_of_an_earlier_version_get_the_column(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()
    name = lakehouse.names.table("ops.publications")
    lakehouse.spark.sql(f"DROP TABLE {name}")
    earlier = StructType([field for field in PUBLICATIONS.schema.fields if field.name != "open_dates"])
    create_table(lakehouse.spark, name, replace(PUBLICATIONS, schema=earlier))
    for day in (OPEN, date(2018, 1, 6)):
        lakehouse.land(str(day), order_item(day.day, day=5))
        run(lakehouse, day)
    assert open_dates(lakehouse) == [date(2018, 1, 6)]


def builds(lakehouse: Lakehouse) -> dict[date, set[str]]:
    """The builds that made the published rows, by landing date."""
    found: dict[date, set[str]] = {}
    for row in lakehouse.published("bronze.order_items").select("landing_date", "build_id").distinct().collect():
        found.setdefault(row["landing_date"], set()).add(row["build_id"])
    return found


def test_an_open_date_is_published_as_it_grows_and_judged_when_it_has_ended(lakehouse: Lakehouse) -> None:
    for day in (1, 3):
        lakehouse.land(f"2018-01-0{day}", *(order_item(10 * day + n, day=day) for n in range(3)))
    pieces: dict[str, list[dict[str, str] | str]] = {"a.csv": [order_item(51, day=5), *BROKEN]}
    lakehouse.deliver(str(OPEN), pieces)

    verdict = run(lakehouse, OPEN)
    assert verdict.success, "the share of a date that has just begun says nothing"
    assert "few_lines_of_an_open_date_are_quarantined" in {warning.rule for warning in verdict.warnings}
    assert any(note.startswith("still being delivered: '2018-01-05'.") for note in verdict.notes)
    assert open_dates(lakehouse) == [OPEN]
    before = builds(lakehouse)

    lakehouse.deliver("2018-01-01", {"orders.csv": [order_item(10, day=1), order_item(99, day=1)]})
    lakehouse.deliver(str(OPEN), pieces | {"b.csv": [order_item(52, day=5)]})
    assert lakehouse.look(OPEN)["dates"] == "2018-01-01,2018-01-05"
    run(lakehouse, OPEN)
    after = builds(lakehouse)
    assert before[date(2018, 1, 3)] == after[date(2018, 1, 3)], "a date between them that has not changed is left"
    assert before[OPEN] != after[OPEN]
    assert lakehouse.published("bronze.order_items").count() == 7
    assert lakehouse.look(OPEN)["changed"] == "false"

    tomorrow = date(2018, 1, 6)
    rejected = run(lakehouse, tomorrow)
    assert [failure.rule for failure in rejected.failures] == ["few_lines_of_a_small_date_are_quarantined"]
    assert open_dates(lakehouse) == [OPEN], "it is published, and not yet judged"

    lakehouse.deliver(str(OPEN), {"a.csv": [order_item(51, day=5)], "b.csv": [order_item(52, day=5)]})
    assert run(lakehouse, tomorrow).success
    assert open_dates(lakehouse) == []
    assert lakehouse.look(tomorrow)["changed"] == "false"


def test_a_date_that_ends_without_a_change_is_judged_once_more(lakehouse: Lakehouse) -> None:
    last = date(2018, 1, 7)
    lakehouse.land(str(last), order_item(71, day=7))
    run(lakehouse, last)
    assert lakehouse.look(last)["changed"] == "false"
    assert run(lakehouse, date(2018, 1, 8)).success
    assert lakehouse.look(date(2018, 1, 8))["changed"] == "false"


def test_a_file_that_vanishes_after_the_look_leaves_what_is_published(lakehouse: Lakehouse) -> None:
    day = date(2018, 1, 9)
    lakehouse.land(str(day), order_item(91, day=9))
    run(lakehouse, date(2018, 1, 10))
    lakehouse.land(str(day), order_item(91, day=9), order_item(92, day=9))
    found = lakehouse.look(date(2018, 1, 10))
    assert found.pop("changed") == "true"
    (lakehouse.landing / f"dt={day}" / "orders.csv").unlink()
    build = lakehouse.build("bronze", found.pop("interval_start"), found.pop("interval_end"), **found)
    verdict = lakehouse.audit(build)
    assert [warning.rule for warning in verdict.warnings] == ["the_landing_date_has_landed"]
    lakehouse.publish(build, verdict.fingerprint)
    assert lakehouse.published("bronze.order_items").where(f"landing_date = DATE'{day}'").count() == 1


@pytest.mark.parametrize("dates", ["2018-01-09", "2018-01-02,tomorrow"])
def test_dates_outside_of_the_interval_are_refused(lakehouse: Lakehouse, dates: str) -> None:
    with pytest.raises(LakehouseError, match="dates"):
        lakehouse.parameters("bronze", "2018-01-01", "2018-01-05", dates=dates)


def test_two_streams_on_one_landing_publish_each_line_once(new_lakehouse: Callable[[], Lakehouse]) -> None:
    """Both see the same news, build at the same time, and publish one after the other, layer by layer."""
    lakehouse, single = new_lakehouse(), new_lakehouse()
    for one in (lakehouse, single):
        one.land("2018-01-04", *(order_item(40 + n, day=4) for n in range(3)))
        one.land(str(OPEN), *(order_item(50 + n, day=5) for n in range(3)))
    after = date(2018, 1, 6)
    looks = [lakehouse.look(after), lakehouse.look(after)]
    assert looks[0] == looks[1]
    found = {name: value for name, value in looks[0].items() if name not in ("changed", "behind")}
    start, end = found.pop("interval_start"), found.pop("interval_end")
    for layer in LAYERS:
        builds = [lakehouse.build(layer, start, end, **found) for _ in looks]
        for verdict, build in [(lakehouse.audit(build), build) for build in builds]:
            lakehouse.publish(build, verdict.fingerprint)
    single.run(start, end)
    assert lakehouse.everything() == single.everything()
    assert lakehouse.look(after)["changed"] == "false"
