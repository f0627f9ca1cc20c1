"""ops.verdicts: what a row holds, and which verdicts allow a publication."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from spark_jobs.quality.verdict import Finding, Statistics, Verdict
from spark_jobs.storage.verdicts import Verdicts
from tests.spark.publishing.lakehouse import Lakehouse

FINGERPRINT = "5" * 64
SUCCESS = Verdict(
    layer="gold",
    build_id="5_0",
    job_run_id="5",
    success=True,
    interval_start="2018-01-01",
    interval_end="2018-01-03",
    fingerprint=FINGERPRINT,
    statistics=Statistics(57, 54, 1, 2),
    suites="a" * 64,
    code_version="0.1.0",
    data_docs="",
    failures=(Finding("a", "e", None, "critical", "lost"), Finding("a", "e", None, "critical", "doubled")),
)


@pytest.fixture(scope="module")
def verdicts(new_lakehouse: Callable[[], Lakehouse]) -> Verdicts:
    """With one verdict, SUCCESS."""
    lakehouse = new_lakehouse()
    verdicts = Verdicts(lakehouse.spark, lakehouse.tables)
    verdicts.append(SUCCESS)
    return verdicts


def test_only_a_success_of_exactly_this_layer_build_and_fingerprint_counts(verdicts: Verdicts) -> None:
    assert verdicts.has_success("gold", "5_0", FINGERPRINT)
    for layer in ("bronze", "silver"):
        assert not verdicts.has_success(layer, "5_0", FINGERPRINT)
    for build in ("4_0", "5_1"):
        assert not verdicts.has_success("gold", build, FINGERPRINT)
    for fingerprint in ("4" * 64, "6" * 64):
        assert not verdicts.has_success("gold", "5_0", fingerprint)


def test_of_several_verdicts_the_newest_counts(verdicts: Verdicts) -> None:
    for success in (False, True, False):
        verdicts.append(replace(SUCCESS, build_id="6_0", success=success))
        assert verdicts.has_success("gold", "6_0", FINGERPRINT) is success


def test_a_row_holds_the_verdict(verdicts: Verdicts) -> None:
    (row,) = verdicts._spark.table(verdicts._name).where("build_id = '5_0'").drop("audited_at").collect()
    assert json.loads(row["verdict"]) == SUCCESS.as_dict()
    assert row["verdict"].startswith('{"build_id": "5_0", "code_version"'), "keys are sorted"
    stored = row.asDict()
    del stored["verdict"]
    assert stored == {
        "layer": "gold",
        "build_id": "5_0",
        "job_run_id": "5",
        "success": True,
        "interval_start": date(2018, 1, 1),
        "interval_end": date(2018, 1, 3),
        "fingerprint": FINGERPRINT,
        "evaluated": 57,
        "failed": 1,
        "warnings": 2,
        "failures": ["lost", "doubled"],
    }
