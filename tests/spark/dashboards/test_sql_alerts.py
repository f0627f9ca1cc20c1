"""Each SQL alert of the bundle runs on the tables that it names, and is triggered where its summary holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import functions as F

from local_workspace.bundle import Bundle
from spark_jobs.storage import delta
from spark_jobs.storage.anomaly_log import anomaly_log
from tests.spark.dashboards.conftest import REPO
from tests.spark.publishing.lakehouse import Lakehouse

OK, TRIGGERED = "OK", "TRIGGERED"
ANOMALY: dict[str, Any] = {
    "layer": "bronze",
    "metric": "orders",
    "dimension": "",
    "value": Decimal(34),
    "lower": Decimal(52),
    "upper": None,
    "expected": Decimal(66),
    "severity": "warning",
    "message": "34 orders, expected 52 or more",
    "build_id": "1_0",
    "job_run_id": "1",
}


def alerts_of(lakehouse: Lakehouse) -> dict[str, dict[str, Any]]:
    bundle = Bundle(REPO / "databricks.yml", "local", [f"schema_prefix={lakehouse.names.schema_prefix}"])
    return {key: alert for key, alert, _ in bundle.resources("alerts")}


def state(lakehouse: Lakehouse, alert: str) -> str:
    """The state of an alert, as its condition has it: an aggregate of one column of its query, beside a number."""
    settings = alerts_of(lakehouse)[alert]
    evaluation, rows = settings["evaluation"], lakehouse.spark.sql(settings["query_text"])
    source, threshold = evaluation["source"], evaluation["threshold"]["value"]["double_value"]
    assert source["name"] in rows.columns
    assert evaluation["comparison_operator"] == "GREATER_THAN"
    aggregate = F.expr(f"{source['aggregation']}(`{source['name']}`)")
    found = rows.agg(F.count("*").alias("rows"), (aggregate > threshold).alias("holds")).collect()[0]
    if not found["rows"]:
        return str(evaluation["empty_result_state"])
    return TRIGGERED if found["holds"] else OK


@pytest.fixture
def written(lakehouse: Lakehouse, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a table in `ops`, whose rows are as before after the test."""
    name = lakehouse.names.table(request.param)
    version = delta.head_version(lakehouse.spark, name)
    assert version is not None
    yield name
    delta.restore(lakehouse.spark, name, version)


def test_each_alert_of_the_bundle_is_tried_here(lakehouse: Lakehouse) -> None:
    assert set(alerts_of(lakehouse)) == {"anomalies", "freshness"}


@pytest.mark.parametrize("written", ["ops.anomalies"], indirect=True)
def test_an_anomaly_of_a_new_landing_date_triggers_its_alert(lakehouse: Lakehouse, written: str) -> None:
    log, today = anomaly_log(lakehouse.jobs), datetime.now(UTC).date()
    assert state(lakehouse, "anomalies") == OK
    log.append([ANOMALY | {"landing_date": today - timedelta(days=9)}])
    assert state(lakehouse, "anomalies") == OK, "of a date that lies back"
    log.append([ANOMALY | {"landing_date": today}])
    assert state(lakehouse, "anomalies") == TRIGGERED


@pytest.mark.parametrize("written", ["ops.publications"], indirect=True)
def test_gold_that_was_not_published_for_too_long_triggers_its_alert(lakehouse: Lakehouse, written: str) -> None:
    assert state(lakehouse, "freshness") == OK
    older = "published_at = published_at - INTERVAL 31 HOURS"
    lakehouse.spark.sql(f"UPDATE {written} SET {older} WHERE layer = 'gold'")
    assert state(lakehouse, "freshness") == TRIGGERED
    lakehouse.spark.sql(f"DELETE FROM {written} WHERE layer = 'gold'")
    assert state(lakehouse, "freshness") == TRIGGERED, "it was never published"
