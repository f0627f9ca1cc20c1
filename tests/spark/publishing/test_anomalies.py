"""Anomalies of what lands, through build, audit and publish."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from spark_jobs.quality.anomalies import LEAST_DATES
from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.storage.verdicts import Verdict
from tests.spark.publishing.lakehouse import Lakehouse, order_item

START = date(2018, 1, 1)
ORDERS = 20


def day(number: int) -> str:
    return str(START + timedelta(days=number))


def land(lakehouse: Lakehouse, number: int, orders: int) -> None:
    """A day's orders, each of one item."""
    placed, shipped = (START + timedelta(days=n) for n in (number, number + 3))
    values = {
        f"{name} date (DateOrders)": f"{at.month}/{at.day}/{at.year} 10:00"
        for name, at in {"order": placed, "shipping": shipped}.items()
    }
    lakehouse.land(day(number), *(order_item(1000 * number + n, **values) for n in range(orders)))


def judged(lakehouse: Lakehouse, number: int, *, publishes: bool = True, **changes: str) -> Verdict:
    build = lakehouse.build("bronze", day(number), day(number + 1), **changes)
    verdict = lakehouse.audit(build)
    if publishes:
        assert verdict.success, verdict.lines()
        lakehouse.publish(build, verdict.fingerprint)
    return verdict


def logged(lakehouse: Lakehouse) -> list[tuple[Any, ...]]:
    rows = lakehouse.spark.table(lakehouse.names.table("ops.anomalies")).orderBy("found_at", "metric", "dimension")
    return [tuple(row) for row in rows.select("landing_date", "metric", "dimension", "value", "severity").collect()]


@pytest.fixture(scope="module")
def lakehouse(new_lakehouse: Callable[[], Lakehouse]) -> Lakehouse:
    """Of many days with about as many orders each, all published by one run."""
    made = new_lakehouse()
    for number in range(LEAST_DATES):
        land(made, number, ORDERS + number % 3)
    made.run(day(0), day(LEAST_DATES), layers=("bronze",))
    return made


def test_an_anomaly_is_a_warning_and_a_row(lakehouse: Lakehouse) -> None:
    assert logged(lakehouse) == [], "there is the table for who watches it, and nothing in it"
    land(lakehouse, LEAST_DATES, 5)
    verdict = judged(lakehouse, LEAST_DATES)
    messages = [warning.message for warning in verdict.warnings if warning.rule == "metrics_lie_in_their_bands"]
    assert len(messages) == 1, "one finding per landing date"
    assert "2018-02-26: 5 landed lines, expected 1" in messages[0]
    found = logged(lakehouse)
    assert (date(2018, 2, 26), "orders", "", 5, "warning") in found
    assert {row[0] for row in found} == {date(2018, 2, 26)}


def test_a_date_that_lands_again_is_judged_by_the_dates_before_it_alone(lakehouse: Lakehouse) -> None:
    number = LEAST_DATES + 1
    land(lakehouse, number, ORDERS)
    assert not [w for w in judged(lakehouse, number).warnings if w.table == "metrics"]
    land(lakehouse, LEAST_DATES, ORDERS + 1)
    assert not [w for w in judged(lakehouse, LEAST_DATES).warnings if w.table == "metrics"]
    assert (
        lakehouse.published("bronze.metrics")
        .where(f"landing_date = '{day(LEAST_DATES)}' AND metric = 'orders' AND dimension = '' AND value = {ORDERS + 1}")
        .count()
    )


def test_metrics_that_a_setting_names_forbid_publishing(lakehouse: Lakehouse) -> None:
    number = LEAST_DATES + 2
    land(lakehouse, number, 5)
    verdict = judged(lakehouse, number, publishes=False, critical_metrics="orders")
    assert not verdict.success
    assert {failure.rule for failure in verdict.failures} == {"critical_metrics_lie_in_their_bands"}
    assert "5 orders, expected 1" in verdict.failures[0].message
    assert (START + timedelta(days=number), "orders", "", 5, "critical") in logged(lakehouse)


def test_settings_that_nobody_knows_are_refused_before_the_work(lakehouse: Lakehouse) -> None:
    with pytest.raises(ParameterRefused, match="'turnover', which is no metric"):
        lakehouse.build("bronze", day(0), day(1), critical_metrics="turnover")


def test_maintenance_judges_no_published_date_again_and_removes_old_rows(lakehouse: Lakehouse) -> None:
    before = logged(lakehouse)
    lakehouse.maintain(str(date.today() + timedelta(days=1)))  # noqa: DTZ011
    assert logged(lakehouse) == before
    lakehouse.maintain("2200-01-01T00:00:00+00:00")
    assert logged(lakehouse) == []
