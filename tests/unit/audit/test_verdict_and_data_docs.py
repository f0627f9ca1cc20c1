"""Verdicts as JSON and as lines, and Data Docs that need nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

from spark_jobs.quality.checkpoint import AuditResult, Outcome
from spark_jobs.quality.data_docs import render_data_docs
from spark_jobs.quality.rules import read_rules
from spark_jobs.storage.verdicts import Finding, Statistics, Verdict

FOUND = Finding("landed_files", "some_rule", "critical", "m", "2018-01-03", 1, ("s",))
VERDICT = Verdict(
    layer="bronze",
    build_id="123_0",
    job_run_id="123",
    success=False,
    interval_start="2018-01-01",
    interval_end="2018-01-08",
    fingerprint="f" * 64,
    statistics=Statistics(57, 56, 1, 0),
    rules="a" * 64,
    code_version="0.1.0",
    data_docs="data_docs/bronze/123_0/index.html",
    failures=(FOUND,),
    notes=("landing date 2018-01-03 is missing (allowed)",),
    rows={"landed": 1},
    parameters={"max_quarantined_lines": 5},
)


def test_a_verdict_may_be_overruled_only_if_all_that_failed_may_be() -> None:
    soft = replace(FOUND, rule="a_share", may_be_overruled=True)
    other_day = replace(soft, landing_date="2018-01-04")
    assert replace(VERDICT, failures=(soft, other_day)).may_be_overruled
    assert replace(VERDICT, failures=(soft,)).as_dict()["may_be_overruled"] is True
    for verdict in (
        VERDICT,
        replace(VERDICT, failures=()),
        replace(VERDICT, failures=(soft,), success=True),
        replace(VERDICT, failures=(soft, FOUND), statistics=Statistics(57, 55, 2, 0)),
        replace(VERDICT, failures=(soft,), statistics=Statistics(57, 55, 2, 0)),  # a failure without a finding
    ):
        assert not verdict.may_be_overruled


def test_a_verdict_as_json_and_as_lines() -> None:
    content = json.loads(json.dumps(VERDICT.as_dict()))
    assert content["success"] is False
    assert content["statistics"] == {"evaluated": 57, "successful": 56, "failed": 1, "warnings": 0}
    assert content["failures"] == [
        {
            "table": "landed_files",
            "rule": "some_rule",
            "severity": "critical",
            "landing_date": "2018-01-03",
            "message": "m",
            "bad_rows": 1,
            "samples": ["s"],
            "may_be_overruled": False,
            "alert": False,
        }
    ]
    assert content["warnings"] == []
    assert content["notes"] == ["landing date 2018-01-03 is missing (allowed)"]
    assert VERDICT.lines() == [
        "bronze REJECTED: 56 of 57 rules hold, 1 failed, 0 warnings",
        "some_rule: m.",
        "note: landing date 2018-01-03 is missing (allowed)",
    ]
    warned = replace(VERDICT, success=True, failures=(), warnings=(replace(FOUND, message="w"),))
    assert warned.lines()[:2] == ["bronze passed: 56 of 57 rules hold, 1 failed, 0 warnings", "warning: w"]


def test_data_docs_show_every_rule_and_finding_and_load_nothing(tmp_path: Path) -> None:
    file = read_rules("bronze.landed_files")
    outcomes = [Outcome(file, rule, number != 1, 1234) for number, rule in enumerate(file.rules)]
    outcomes[2] = replace(outcomes[2], holds=None)
    found = replace(FOUND, rule=file.rules[1].name, message="landed_files: <script>alert(1)</script> & more")
    warned = replace(found, severity="warning", message="landed_files: mind this")
    audit = AuditResult(
        "bronze", Statistics(8, 6, 1, 1), (found,), (warned,), {"max_quarantined_lines": 5}, tuple(outcomes)
    )
    page = render_data_docs(audit, tmp_path / "docs", "Audit <1>")
    text = page.read_text(encoding="utf-8")
    assert [p.name for p in page.parent.iterdir()] == ["index.html"]
    assert re.findall(r"https?:|//[a-z]|<script|<link|<img|<iframe|\bsrc=|\bhref=|\bon\w+=|url\(|@import", text) == []
    assert "Audit &lt;1&gt;" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text
    words = " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())
    assert "6 of 8 rules hold, 1 failed, 1 warnings." in words
    assert "max_quarantined_lines 5" in words
    assert "mind this" in words
    for rule in file.rules:
        assert rule.says in words
    assert text.count(">holds<") == len(file.rules) - 2
    assert text.count(">broken<") == 1
    assert text.count(">not judged<") == 1
    assert "1,234" in words
    assert text.count("<div") == text.count("</div>")
    assert text.count("<tr") == text.count("</tr>")
