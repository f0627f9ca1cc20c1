"""Verdicts as JSON, the suites' hash, and Data Docs that need nothing else (design, section 2)."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from spark_jobs.quality import suites
from spark_jobs.quality.checkpoint import run_checkpoint
from spark_jobs.quality.data_docs import render_data_docs
from spark_jobs.quality.suites import read_checkpoint, read_suite, suites_hash
from spark_jobs.storage.verdicts import Finding, Statistics, Verdict

VERDICT = Verdict(
    layer="bronze",
    build_id="123_0",
    job_run_id="123",
    success=False,
    interval_start="2018-01-01",
    interval_end="2018-01-08",
    fingerprint="f" * 64,
    statistics=Statistics(57, 56, 1, 0),
    suites="a" * 64,
    code_version="0.1.0",
    data_docs="data_docs/bronze/123_0/index.html",
    failures=(Finding("conservation", "expect_x", "difference", "critical", "m", "2018-01-03", 1, ("s",)),),
    notes=("landing date 2018-01-03 is missing (allowed)",),
    rows={"landed": 1},
    parameters={"max_quarantined_lines": 5},
)


def test_a_verdict_comes_back_from_its_json() -> None:
    assert Verdict.from_dict(json.loads(json.dumps(VERDICT.as_dict()))) == VERDICT
    assert VERDICT.as_dict()["failures"][0] == {
        "asset": "conservation",
        "expectation": "expect_x",
        "column": "difference",
        "severity": "critical",
        "landing_date": "2018-01-03",
        "message": "m",
        "unexpected_count": 1,
        "samples": ["s"],
    }
    warned = replace(VERDICT, success=True, warnings=(replace(VERDICT.failures[0], message="w"),))
    assert Verdict.from_dict(json.loads(json.dumps(warned.as_dict()))) == warned
    assert VERDICT.lines() == [
        "bronze REJECTED: 56 of 57 expectations met, 1 failed, 0 warnings",
        "failed: m",
        "note: landing date 2018-01-03 is missing (allowed)",
    ]
    assert warned.lines()[0].startswith("bronze passed: ")
    assert warned.lines()[2] == "warning: w"


@pytest.mark.parametrize("change", [{"success": "true"}, {"statistics": None}, {"unheard": 1}])
def test_what_is_no_verdict_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((TypeError, KeyError)):
        Verdict.from_dict({**VERDICT.as_dict(), **change})


@pytest.mark.parametrize("layer", ["bronze", "silver", "gold"])
def test_every_suite_of_the_project_is_complete(layer: str) -> None:
    for names in read_checkpoint(layer).suites.values():
        for name in names:
            suite = read_suite(name)
            assert suite.parameters() <= set(read_checkpoint(layer).parameters)


def test_the_schema_suite_is_bronze_s_schema() -> None:
    from spark_jobs.layers.bronze.bronze_tables import ORDER_ITEMS

    (fields,) = [e for e in read_suite("bronze_schema").expectations if "value_set" in e["kwargs"]]
    assert fields["kwargs"]["value_set"] == [f"{f.name} {f.dataType.simpleString()}" for f in ORDER_ITEMS.fields]
    assert len(ORDER_ITEMS.fields) == 61


def test_the_hash_changes_with_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "suites").mkdir()
    checkpoint = tmp_path / "checkpoints" / "gold.json"
    checkpoint.write_text(json.dumps({"validations": [{"asset": "a", "suites": ["s"]}]}))
    monkeypatch.setattr(suites, "files", lambda _: tmp_path)
    seen = {suites_hash("gold")}
    (tmp_path / "suites" / "s.json").write_text("{}")
    seen.add(suites_hash("gold"))
    (tmp_path / "suites" / "s.json").write_text("{ }")
    seen.add(suites_hash("gold"))
    checkpoint.write_text("{}")
    seen.add(suites_hash("gold"))
    assert len(seen) == 4


def test_data_docs_load_nothing(tmp_path: Path) -> None:
    dates = pd.DataFrame(
        {
            "landing_date": ["2018-01-03"],
            "landed": [100],
            "valid": [90],
            "quarantined": [10],
            "quarantined_share": [0.1],
            "inside_interval": [True],
            "landed_without_rows": [False],
        },
        dtype=object,
    )
    page = render_data_docs(
        run_checkpoint("bronze", {"landing_dates": dates}), tmp_path / "docs", "Audit <1>", {"a": "<b>"}
    )
    text = page.read_text(encoding="utf-8")
    assert [p.name for p in page.parent.iterdir()] == ["index.html"]
    assert re.findall(r"https?:|//[a-z]|<script|<link|<img|<iframe|\bsrc=|\bhref=|\bon\w+=|url\(|@import", text) == []
    assert "Audit &lt;1&gt;" in text
    assert "<b>" not in text
    assert text.count("<div") == text.count("</div>")
    # The rendering of Great Expectations itself, and the finding.
    assert "values must be greater than or equal to" in re.sub(r"<[^>]+>|\s+", " ", text).replace("  ", " ")
    assert "2018-01-03: 1 row(s), e.g. quarantined_share 0.1" in text
