"""The benchmark of anomalies measures what bronze measures, and its page shows what it found."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from benchmarks.anomaly_rates import bench_anomalies, measured_files, summary
from feeds.synthetic.feed import generate
from feeds.synthetic.feed_settings import FeedSettings
from spark_jobs.quality.anomalies import Measured
from tests.conftest import REPO
from tests.spark.publishing.conftest import email_key, new_lakehouse
from tests.spark.publishing.lakehouse import Lakehouse

__all__ = ["email_key", "new_lakehouse"]


def test_its_metrics_are_those_of_bronze(new_lakehouse: Callable[[], Lakehouse], tmp_path: Path) -> None:
    lakehouse = new_lakehouse()
    generate(lakehouse.landing, date(2018, 1, 1), 4, FeedSettings.parse("3", "0.3", missing="0.1"))
    lakehouse.run("2018-01-01", "2018-01-05", layers=("bronze",))
    columns = ("landing_date", "metric", "dimension", "value")
    published = Measured.of(tuple(row) for row in lakehouse.published("bronze.metrics").select(*columns).collect())
    counted = measured_files(lakehouse.landing, tmp_path)
    assert (counted.dates, counted.series) == (published.dates, published.series)
    np.testing.assert_allclose(counted.values, published.values, rtol=0, atol=0.011)


def test_it_counts_false_alarms_and_what_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    results = bench_anomalies(days=90, seeds={"2": (1, 1)})
    found = results["scales"]["2"]["found"]
    assert found["doubled_prices"] == 1
    assert found["fewer_orders"] > 0.8
    assert found["missing_values"] > 0.8
    assert set(results["scales"]["2"]["false_alarms"]) >= {"orders", "orders (Europe)", "null_share (department_name)"}
    assert "| doubled prices | 100.0 % |" in capsys.readouterr().out


def test_the_page_shows_what_was_measured() -> None:
    page = (REPO / "docs" / "anomalies.md").read_text(encoding="utf-8")
    results = json.loads((REPO / "docs" / "benchmark-anomalies.json").read_text(encoding="utf-8"))
    assert "\n".join(summary(results)) in page
