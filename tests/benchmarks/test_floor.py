"""The floor of a day does the product's work: its tables are the published ones, audit columns aside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from benchmarks.floor import Floor
from spark_jobs.layers.bronze.bronze_tables import AUDIT_ONLY
from spark_jobs.layers.registry import TABLES
from tests.spark.publishing.conftest import email_key, new_lakehouse
from tests.spark.publishing.lakehouse import Lakehouse, order_item

__all__ = ["email_key", "new_lakehouse"]


def test_a_day_by_the_floor_is_a_day_by_the_jobs(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()
    lakehouse.land("2018-01-01", order_item(1), order_item(2, customer=2), order_item(3, product=6, status="CANCELED"))
    lakehouse.run("2018-01-01", "2018-01-02", audited=False)
    floor = Floor(lakehouse.jobs, lakehouse.landing)
    try:
        # An item that is delivered again, a customer and a product that change, new ones, and a line to quarantine.
        lakehouse.land(
            "2018-01-02",
            order_item(2, customer=2, day=2, status="PENDING"),
            order_item(4, day=2, price=90, segment="Corporate"),
            order_item(5, day=2, customer=3, product=7),
            "a,b",
        )
        lakehouse.run("2018-01-02", "2018-01-03", audited=False)
        floor.run(date(2018, 1, 2))
        for table in TABLES:
            ours, theirs = (
                sorted((tuple(row) for row in rows.drop(*AUDIT_ONLY).collect()), key=repr)
                for rows in (floor.rows(table), lakehouse.published(table))
            )
            assert ours == theirs, table
        lakehouse.land("2018-01-03", *(["a,b"] * 9))
        with pytest.raises(ValueError, match="quarantin"):
            floor.run(date(2018, 1, 3))
    finally:
        floor.drop()
