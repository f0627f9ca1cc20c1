"""The changes of published tables, by publication, where the change data feed or old publications are missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spark_jobs.layers.registry import TABLES
from spark_jobs.storage.published_changes import PublishedChanges
from tests.prove.histories.copies import StreamedCopies
from tests.spark.publishing.lakehouse import Lakehouse, order_item

TABLE = "silver.dim_customers"
KEY = TABLES[TABLE].key


def publish_day(lakehouse: Lakehouse, day: int) -> None:
    """A day on which a customer moves, one is new, and one orders as before."""
    lines = [order_item(10 * day + n, customer=customer, day=day) for n, customer in enumerate((7, 10 * day))]
    moved = order_item(10 * day + 9, customer=1, segment=("Corporate", "Consumer")[day % 2], day=day)
    lakehouse.land(f"2018-01-{day:02}", *lines, moved)
    lakehouse.run(f"2018-01-{day:02}", f"2018-01-{day + 1:02}", ("bronze", "silver"), audited=False)


@pytest.fixture(scope="module")
def published(new_lakehouse: Callable[[], Lakehouse]) -> Lakehouse:
    """Four publications of silver; before the third one somebody switches the feed off, and its publish on again."""
    lakehouse = new_lakehouse()
    for day in range(1, 5):
        if day == 3:
            off = "SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'false')"
            lakehouse.spark.sql(f"ALTER TABLE {lakehouse.names.table(TABLE)} {off}")
        publish_day(lakehouse, day)
    return lakehouse


@pytest.mark.parametrize(("after", "until"), [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)])
def test_the_changes_turn_a_copy_into_the_published_rows(published: Lakehouse, after: int, until: int) -> None:
    changes = PublishedChanges(published.spark, published.names, TABLES[TABLE])
    copy = {row[KEY]: tuple(row) for row in changes.rows(after).collect()}
    rows = sorted(changes.between(after, until).collect(), key=lambda row: row["_publication"])
    assert rows
    for row in rows:
        *values, kind, _ = row
        assert (row[KEY] in copy) is (kind != "insert")
        assert kind != "delete", "no version is withdrawn here"
        assert copy.get(row[KEY]) != tuple(values), "a change changes something"
        copy[row[KEY]] = tuple(values)
    assert copy == {row[KEY]: tuple(row) for row in changes.rows(until).collect()}


def test_a_copy_that_is_begun_after_old_publications_were_removed(published: Lakehouse, tmp_path: Path) -> None:
    publications = published.names.table("ops.publications")
    published.spark.sql(f"DELETE FROM {publications} WHERE layer = 'silver' AND seq < 3")
    copies = StreamedCopies(published, tmp_path, [TABLE])
    try:
        copies.check()
        publish_day(published, 5)
        copies.check()
    finally:
        copies.stop()
