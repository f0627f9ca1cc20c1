"""Names and parameters with shell, SQL and HTML in them arrive letter by letter, and are shown as text."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import requests

from tests.prove.hostile_requests.openapi import VOLUME
from tests.workspace.conftest import Workspace, task

SHELL = (
    "$(touch x)",
    "`touch x`",
    "; touch x",
    "| touch x",
    "&& touch x",
    "> x",
    "\n touch x",
    "$IFS",
    "*",
    "~",
    "-c",
    "",
)
SQL = ("'; drop table jobs; --", '" or 1=1 --', "%", "_", "\\", "' union select settings from jobs --")
HTML = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "javascript:alert(1)",
    "</pre></section><svg/onload=alert(1)>",
    "&lt;script&gt;",
    "{{ 7 * 7 }}{% for x in y %}",
    "]]><!--",
)
REFERENCES = ("{{job.run_id}}", "{{job.parameters.p}}", "{{")
TEXTS = (*SHELL, *SQL, *HTML, *REFERENCES, "Ünïcödé \u202e\u0007", "x" * 100_000)


class Active(HTMLParser):
    """Finds what a browser would run or load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        ours = attrs == [("src", "/assets/live.js"), ("defer", None)]
        if (tag == "script" and not ours) or tag in ("img", "svg", "iframe", "object", "embed", "base"):
            self.found.append(self.get_starttag_text() or tag)
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.found.append(self.get_starttag_text() or tag)


def arguments_of(log: str) -> list[str]:
    """What the entry point `ok` was called with, from its log."""
    import ast

    found = re.search(r"arguments (\[.*\])\n", log, re.S)
    assert found, log[:500]
    arguments = ast.literal_eval(found.group(1))
    assert isinstance(arguments, list)
    return arguments


def test_parameters_reach_the_task_as_they_are(workspace: Workspace, owner: requests.Session) -> None:
    names = [f"p{number}" for number in range(len(TEXTS))]
    parameters = [{"name": name, "default": ""} for name in names]
    job = workspace.create(
        task("ok", *(f"{{{{job.parameters.{name}}}}}" for name in names)), name="values", parameters=parameters
    )
    jobs, uploaded = workspace.call("GET", "/api/2.2/jobs/list"), set(workspace.state.rglob("x"))
    run = workspace.wait(workspace.run(job, job_parameters=dict(zip(names, TEXTS, strict=True))))
    assert run["state"]["result_state"] == "SUCCESS"
    assert {item["name"]: item["value"] for item in run["job_parameters"]} == dict(zip(names, TEXTS, strict=True))
    folder = workspace.task_folder(run["run_id"])
    output = workspace.call("GET", "/api/2.2/jobs/runs/get-output", query={"run_id": run["tasks"][0]["run_id"]})
    arguments = arguments_of(output["logs"])
    assert arguments == list(TEXTS)
    assert {path.name for path in folder.iterdir()} == {"log.txt"}
    assert set(workspace.state.rglob("x")) == uploaded
    assert workspace.call("GET", "/api/2.2/jobs/list") == jobs
    page = owner.get(run["run_page_url"], timeout=5).text
    assert Active(page).found == []
    for text in HTML:
        assert text in unescape(page)
    print(f"\ndoors: {len(TEXTS)} values with shell, SQL or HTML reached a task unchanged, and did nothing")


@pytest.mark.parametrize("value", ["a\x00b", "x" * 200_000])
def test_what_no_process_can_be_given_fails_with_the_reason(workspace: Workspace, value: str) -> None:
    job = workspace.create(task("ok", "{{job.parameters.p}}"), parameters=[{"name": "p", "default": ""}])
    run = workspace.wait(workspace.run(job, job_parameters={"p": value}))
    assert run["state"]["result_state"] == "FAILED"
    task_run = run["tasks"][0]
    assert "could not run the task" in task_run["state"]["state_message"]
    assert len(json.dumps(task_run["state"])) < 1000


@pytest.mark.parametrize("name", [*SHELL[:4], *SQL, *HTML, "x" * 5000])
def test_job_names_are_looked_up_and_shown_as_they_are(
    workspace: Workspace, owner: requests.Session, name: str
) -> None:
    before = workspace.call("GET", "/api/2.2/jobs/list", query={"limit": 100})["jobs"]
    job = workspace.create(task("fail"), name=name, tags={name[:100]: name}, description=name)
    found = workspace.call("GET", "/api/2.2/jobs/list", query={"name": name})["jobs"]
    assert [item["job_id"] for item in found] == [job]
    run = workspace.run(job, idempotency_token=name[:64])
    assert workspace.run(job, idempotency_token=name[:64]) == run
    url = workspace.wait(run)["run_page_url"]
    for page in (workspace.host, f"{workspace.host}/jobs/{job}", url):
        answer = owner.get(page, timeout=5)
        assert answer.status_code == 200
        assert Active(answer.text).found == []
        assert name in unescape(answer.text)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
    workspace.call("POST", "/api/2.2/jobs/delete", {"job_id": job})
    assert workspace.call("GET", "/api/2.2/jobs/list", query={"limit": 100})["jobs"] == before


@pytest.mark.parametrize("root", ["a\x00b", "/" + "x" * 5000, "<b>", "/etc", "{}/../../secrets", "{}/loop-of-results"])
def test_a_run_page_stands_whatever_the_results_folder_is_called(
    workspace: Workspace, owner: requests.Session, root: str
) -> None:
    volume = workspace.state / "volumes/spark_catalog/ops/files"
    volume.mkdir(parents=True, exist_ok=True)
    loop = volume / "loop-of-results"
    if not loop.is_symlink():
        loop.symlink_to(loop)
    job = workspace.create(task("ok"), parameters=[{"name": "ops_root", "default": root.format(volume)}])
    run = workspace.wait(workspace.run(job))
    answer = owner.get(run["run_page_url"], timeout=5)
    assert answer.status_code == 200
    assert 'class="results"' not in answer.text


@pytest.mark.parametrize(
    "name", ["<script>alert(1)<script>.json", "a\"onmouseover='x'.html", "%3Cscript%3E.csv", "a?b#c.txt"]
)
def test_file_names_with_html_are_shown_as_text_and_lead_to_the_file(
    workspace: Workspace, owner: requests.Session, name: str
) -> None:
    folder = workspace.state / "volumes/spark_catalog/ops/files/named"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("<script>alert('content')</script>")
    address = f"{workspace.host}/explore/data/volumes{VOLUME.removeprefix('/Volumes')}/named"
    page = owner.get(address, timeout=5)
    assert Active(page.text).found == []
    assert name in unescape(page.text)
    (link,) = [unescape(link) for link in re.findall(r'href="([^"]*)"', page.text) if link.count("/") == 8]
    answer = owner.get(workspace.host + link, timeout=5)
    assert answer.text == "<script>alert('content')</script>"
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'none'" in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    (folder / name).unlink()


def test_data_docs_show_html_in_data_as_text(workspace: Workspace, owner: requests.Session, tmp_path: Path) -> None:
    """The page that an audit makes of nasty samples, as the workspace serves it."""
    from spark_jobs.quality.checkpoint import AuditResult, Outcome
    from spark_jobs.quality.data_docs import render_data_docs
    from spark_jobs.quality.rules import read_rules
    from spark_jobs.storage.verdicts import Finding, Statistics

    file = read_rules("bronze.landed_files")
    rule = file.rules[0]
    found = tuple(
        Finding(file.short_name, rule.name, "critical", f"{file.short_name}: {text}", text, 1, (text,)) for text in HTML
    )
    audit = AuditResult(
        "bronze", Statistics(1, 0, 1, 0), found, (), dict.fromkeys(HTML, HTML[1]), (Outcome(file, rule, False, 1),)
    )
    page = render_data_docs(audit, tmp_path / "docs", HTML[0])
    target = workspace.state / "volumes/spark_catalog/ops/files/data_docs/index.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(page.read_bytes())
    link = f"{workspace.host}/explore/data/volumes{VOLUME.removeprefix('/Volumes')}/data_docs/index.html"
    answer = owner.get(link, timeout=5)
    assert Active(answer.text).found == []
    assert unescape(answer.text).count("<script>alert(1)</script>") >= 3
    assert "script-src 'none'" in answer.headers["Content-Security-Policy"]
