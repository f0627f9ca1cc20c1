"""The pages: login, escaping, logs, and Data Docs that load nothing from other origins."""

from __future__ import annotations

import json
from html import escape

import pytest
import requests

from tests.workspace.conftest import Workspace, task


@pytest.fixture
def browser(workspace: Workspace) -> requests.Session:
    session = requests.Session()
    answer = session.post(f"{workspace.host}/login", data={"token": workspace.token, "next": "/"}, timeout=5)
    assert answer.status_code == 200
    return session


def test_the_login(workspace: Workspace) -> None:
    answer = requests.get(f"{workspace.host}/jobs/1?x=1", allow_redirects=False, timeout=5)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fjobs%2F1%3Fx%3D1")
    assert requests.post(f"{workspace.host}/login", data={"token": "wrong"}, timeout=5).status_code == 403
    answer = requests.post(
        f"{workspace.host}/login", data={"token": workspace.token, "next": "/jobs/1"}, allow_redirects=False, timeout=5
    )
    assert answer.headers["location"] == "/jobs/1"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert workspace.token not in cookie
    # The cookie opens pages only, so that another site cannot start runs with it.
    api = requests.get(f"{workspace.host}/api/2.2/jobs/list", cookies=answer.cookies, timeout=5)
    assert api.status_code == 401


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nb", "javascript:x"]
)
def test_the_login_leads_to_no_other_site(workspace: Workspace, wanted: str) -> None:
    data = {"token": workspace.token, "next": wanted}
    answer = requests.post(f"{workspace.host}/login", data=data, allow_redirects=False, timeout=5)
    assert answer.headers["location"] == "/"


def test_names_and_values_with_html_are_harmless(workspace: Workspace, browser: requests.Session) -> None:
    nasty = "<script>alert(1)</script>"
    job = workspace.create(
        task("fail"), task("ok", nasty, key="other"), name=nasty, parameters=[{"name": "p", "default": ""}]
    )
    run = workspace.wait(workspace.run(job, job_parameters={"p": nasty, "undeclared": nasty}))
    assert run["run_page_url"] == f"{workspace.host}/jobs/{job}/runs/{run['run_id']}"
    for page in (workspace.host, f"{workspace.host}/jobs/{job}", run["run_page_url"]):
        answer = browser.get(page, timeout=5)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert(1)" in answer.text
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "the order files are gone: &lt;b&gt;bad" in answer.text
    assert "http" not in answer.text.replace(workspace.host, "")  # no other origin


def test_a_page_that_does_not_exist(workspace: Workspace, browser: requests.Session) -> None:
    for path in ("/jobs/1", "/jobs/x", "/jobs/1/runs/2", "/explore/data/volumes/no/such/volume", "/jobs/" + "9" * 30):
        answer = browser.get(workspace.host + path, timeout=5)
        assert (answer.status_code in (400, 404), "Not found" in answer.text) == (True, True), path


def test_results_on_the_ops_volume_are_linked_and_shown(workspace: Workspace, browser: requests.Session) -> None:
    ops = workspace.state / "volumes/spark_catalog/ops/files"
    job = workspace.create(task("ok"), parameters=[{"name": "ops_root", "default": str(ops)}])
    run = workspace.wait(workspace.run(job))
    docs = ops / f"data_docs/bronze/{run['run_id']}_0"
    docs.mkdir(parents=True)
    (docs / "index.html").write_text("<style>p{color:red}</style><p>Data Docs</p>")
    verdict = ops / "verdicts/bronze"
    verdict.mkdir(parents=True, exist_ok=True)
    file = verdict / f"{run['run_id']}.json"
    reasons = ["few_lines: 20 of 24.", "- wrong encoding: 20 lines, first dt=2018-01-02/orders.csv line 2 (<x>)."]
    file.write_text(json.dumps({"success": False, "explanation": reasons}))
    text = browser.get(run["run_page_url"], timeout=5).text
    assert "The gate forbids publishing" in text
    assert all(f"<p>{escape(reason)}</p>" in text for reason in reasons)
    file.write_text('{"success": true}')
    text = browser.get(run["run_page_url"], timeout=5).text
    assert "The gate forbids publishing" not in text
    link = f"/explore/data/volumes/spark_catalog/ops/files/data_docs/bronze/{run['run_id']}_0/index.html"
    assert f'href="{link}">Data Docs' in text
    assert f"verdicts/bronze/{run['run_id']}.json" in text
    page = browser.get(workspace.host + link, timeout=5)
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert (
        "bronze"
        in browser.get(f"{workspace.host}/explore/data/volumes/spark_catalog/ops/files/verdicts", timeout=5).text
    )
