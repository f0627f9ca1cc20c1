"""What the API refuses, and in which shape: missing tokens, unknown endpoints, invalid jobs and requests."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from databricks.sdk.errors import BadRequest, DatabricksError, ResourceDoesNotExist

from tests.workspace.conftest import Workspace, task


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Basic abc"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": "Bearer w\xf6rong"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/api/2.2/jobs/list", "/api/2.0/fs/files/Volumes/a/b/c/d", "/api/nothing"])
def test_every_endpoint_needs_the_token(workspace: Workspace, path: str, headers: Any, status: int) -> None:
    answer = requests.get(workspace.host + path, headers=headers, timeout=5)
    assert answer.status_code == status
    assert answer.json()["error_code"] == str(status)


def test_a_foreign_host_name_is_refused(workspace: Workspace) -> None:
    headers = {"Authorization": f"Bearer {workspace.token}", "Host": "evil.example"}
    assert requests.get(workspace.host + "/api/2.2/jobs/list", headers=headers, timeout=5).status_code == 403


def test_it_listens_on_localhost_only(workspace: Workspace) -> None:
    import psutil

    assert workspace.process
    listening = [c for c in psutil.Process(workspace.process.pid).net_connections() if c.status == "LISTEN"]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}


def test_unknown_jobs_runs_and_endpoints(workspace: Workspace) -> None:
    client = workspace.client()
    for call in (lambda: client.jobs.get(1), lambda: client.jobs.get_run(1)):
        with pytest.raises(ResourceDoesNotExist, match="1 does not exist"):
            call()
    with pytest.raises(BadRequest, match="Job 1 does not exist"):
        client.jobs.run_now(1)
    for path in ("/api/2.2/jobs/runs/submit", "/api/2.0/jobs/list", "/api/2.1/clusters/list"):
        with pytest.raises(DatabricksError, match="not supported") as caught:
            workspace.call("POST", path, {})
        assert caught.value.error_code == "ENDPOINT_NOT_FOUND"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": []}, "no tasks"),
        ({"schedule": {"quartz_cron_expression": "0 0 * * * ?"}}, "support schedule: nothing starts by itself"),
        ({"max_concurrent_runs": "two"}, "max_concurrent_runs"),
        ({"tasks": [{**task("ok"), "notebook_task": {}}]}, "notebook_task"),
        ({"tasks": [{**task("ok"), "max_retries": 2}]}, "max_retries"),
        ({"tasks": [{**task("ok"), "run_if": "ALL_DONE"}]}, "run_if"),
        ({"tasks": [task("ok"), task("ok")]}, "more than once"),
        ({"tasks": [task("ok", after=("other",))]}, "no task of this job"),
        ({"tasks": [task("ok", key="a", after=("b",)), task("ok", key="b", after=("a",))]}, "circle"),
        ({"tasks": [{**task("ok"), "environment_key": "other"}]}, "'other' is not among"),
        ({"tasks": [task("ok", "{{job.parameters.day}}")]}, "declares no such parameter"),
        ({"tasks": [task("ok", "{{tasks.x.values.y}}")]}, "does not depend on task 'x'"),
        ({"wheel": "/Workspace/Shared/gone.whl"}, "does not exist in this workspace"),
        ({"wheel": "../dist/x.whl"}, "must be uploaded"),
        ({"wheel": "pandas==2"}, "nothing is installed"),
        ({"wheel": "/Workspace/../../../etc/x.whl"}, "without '.' and '..'"),
        ({"email_notifications": {"on_failure": ["a@example.com"]}}, "nothing is sent"),
    ],
)
def test_invalid_jobs_are_refused(workspace: Workspace, change: dict[str, Any], message: str) -> None:
    tasks = change.pop("tasks", [task("ok")])
    with pytest.raises(BadRequest, match=message) as caught:
        workspace.create(*tasks, **change)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_invalid_requests_are_refused(workspace: Workspace) -> None:
    job = workspace.create(task("ok"))
    for body, message in (
        ({"job_id": "x"}, "valid integer"),
        ({}, "job_id is missing"),
        ({"job_id": job, "notebook_params": {}}, "notebook_params"),
        ({"job_id": job, "job_parameters": {"a": [1]}}, "job_parameters.a must be a valid string"),
        ({"job_id": job, "only": ["main"]}, "the argument only"),
    ):
        with pytest.raises(BadRequest, match=message):
            workspace.call("POST", "/api/2.2/jobs/run-now", body)
    with pytest.raises(BadRequest, match="page_token"):
        workspace.call("GET", "/api/2.2/jobs/list", query={"page_token": "%%"})
    answer = requests.post(
        workspace.host + "/api/2.2/jobs/run-now",
        data=b"{oops",
        headers={"Authorization": f"Bearer {workspace.token}"},
        timeout=5,
    )
    assert (answer.status_code, answer.json()["error_code"]) == (400, "MALFORMED_REQUEST")


def test_lists_have_pages(workspace: Workspace) -> None:
    ids = {workspace.create(task("ok"), name=f"job {n}") for n in range(5)}
    assert {job.job_id for job in workspace.client().jobs.list(limit=2)} == ids
    page = workspace.call("GET", "/api/2.1/jobs/list", query={"limit": 2})
    assert (len(page["jobs"]), page["has_more"], "tasks" in page["jobs"][0]["settings"]) == (2, True, False)


def test_update_changes_part_of_a_job(workspace: Workspace) -> None:
    job = workspace.create(task("ok"), queue={"enabled": True}, tags={"a": "b"})
    body = {"job_id": job, "new_settings": {"max_concurrent_runs": 3}, "fields_to_remove": ["tags"]}
    workspace.call("POST", "/api/2.2/jobs/update", body)
    settings = workspace.client().jobs.get(job).settings
    assert settings is not None
    assert (settings.max_concurrent_runs, settings.tags, settings.name) == (3, None, "job")
