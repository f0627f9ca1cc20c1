"""`ops.verdicts`: what is recorded of a verdict, and when it allows publishing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from spark_jobs.storage.verdicts import Finding, Statistics, Verdict, Verdicts
from tests.spark.publishing.lakehouse import Lakehouse

FINGERPRINT = "5" * 64
ALLOWING = Verdict(
    layer="gold",
    build_id="5_0",
    job_run_id="5",
    success=True,
    interval_start="2018-01-01",
    interval_end="2018-01-03",
    fingerprint=FINGERPRINT,
    statistics=Statistics(57, 54, 1, 2),
    rules="a" * 64,
    code_version="0.1.0",
    data_docs="",
    failures=(Finding("a", "e", "critical", "lost"), Finding("a", "e", "critical", "doubled")),
)


@pytest.fixture(scope="module")
def lakehouse(new_lakehouse: Callable[[], Lakehouse]) -> Lakehouse:
    return new_lakehouse()


@pytest.fixture(scope="module")
def verdicts(lakehouse: Lakehouse) -> Verdicts:
    """With one verdict, ALLOWING."""
    verdicts = Verdicts(lakehouse.jobs)
    verdicts.append(ALLOWING)
    return verdicts


def allowed_by(verdicts: Verdicts, layer: str, build_id: str, fingerprint: str) -> dict[str, Any] | None:
    (row,) = verdicts.newest(layer, build_id, fingerprint).collect()
    return json.loads(row["allowed_by"]) if row["allowed_by"] else None


def test_only_an_allowing_verdict_on_exactly_this_layer_build_and_fingerprint_counts(verdicts: Verdicts) -> None:
    assert allowed_by(verdicts, "gold", "5_0", FINGERPRINT) == ALLOWING.as_dict()
    for layer in ("bronze", "silver"):
        assert not allowed_by(verdicts, layer, "5_0", FINGERPRINT)
    for build in ("4_0", "5_1"):
        assert not allowed_by(verdicts, "gold", build, FINGERPRINT)
    for fingerprint in ("4" * 64, "6" * 64):
        assert not allowed_by(verdicts, "gold", "5_0", fingerprint)


def test_of_several_verdicts_the_newest_counts(verdicts: Verdicts) -> None:
    for success in (False, True, False):
        verdicts.append(replace(ALLOWING, build_id="6_0", success=success))
        assert bool(allowed_by(verdicts, "gold", "6_0", FINGERPRINT)) is success


def test_a_row_says_what_the_verdict_says(lakehouse: Lakehouse, verdicts: Verdicts) -> None:
    rows = lakehouse.spark.table(lakehouse.names.table("ops.verdicts"))
    (row,) = rows.where("build_id = '5_0'").drop("audited_at").collect()
    assert json.loads(row["verdict"]) == ALLOWING.as_dict()
    assert row["verdict"].startswith('{"build_id": "5_0", "code_version"'), "keys are sorted"
    fields = row.asDict()
    del fields["verdict"]
    assert fields == {
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
