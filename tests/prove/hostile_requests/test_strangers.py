"""Without the key of this very workspace every route is shut, but for the few that tell and do nothing."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import pytest
import requests

from tests.prove.hostile_requests.conftest import send_raw
from tests.prove.hostile_requests.openapi import VOLUME, WORKING, arguments
from tests.workspace.conftest import Workspace, task

OPEN = {"GET /health", "GET /.well-known/databricks-config", "GET /login", "POST /login", "GET /assets/{name}"}
OPEN |= {"POST /logout"}  # takes away the asker's own cookie
SHUT = sorted(set(arguments(1, 2)) - OPEN)
SECRET = "a-secret-of-this-machine"


@pytest.fixture(scope="module")
def keys(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keys that fit something, but not this workspace."""
    other = Workspace(tmp_path_factory.mktemp("other") / "state")
    other.start()
    other.stop()
    (workspace.state / "secrets" / "email_secret").write_text(SECRET)
    return {
        "none": "",
        "wrong": "0" * len(workspace.token),
        "of another user's workspace": other.token,
        "another secret of this workspace": SECRET,
        "the beginning of the token": workspace.token[:-1],
        "the token and more": workspace.token + "0",
        "the cookie as a token": cookie_of(workspace.token),
    }


def cookie_of(token: str) -> str:
    """What the browser holds after the log-in with a token."""
    return hmac.new(token.encode(), b"run pages", hashlib.sha256).hexdigest()


@pytest.fixture
def untouched(workspace: Workspace) -> Iterator[None]:
    """Nothing came of it: no job, no run, no file."""

    def all_there_is() -> list[object]:
        jobs, runs = (workspace.call("GET", f"/api/2.2/jobs/{kind}") for kind in ("list", "runs/list"))
        return [
            jobs,
            runs,
            *sorted(workspace.state.glob("volumes/**/*")),
            *sorted(workspace.state.glob("workspace/files/**/*")),
        ]

    workspace.call("PUT", f"/api/2.0/fs/directories{VOLUME}/kept")
    before = all_there_is()
    yield
    assert all_there_is() == before


def test_every_route_is_shut_for_strangers(workspace: Workspace, keys: dict[str, str], untouched: None) -> None:
    asked = 0
    for operation in SHUT:
        method, path = operation.split()
        place = path.replace("{version}", "2.2").replace("{path}", f"{VOLUME}/kept").replace("{job_id}", "1")
        for name, key in keys.items():
            headers = {"Authorization": f"Bearer {key}", "Cookie": f"lakehouse_workspace={cookie_of(key)}"}
            if name == "none":
                headers = {}
            if path.startswith("/api/"):
                headers["Cookie"] = f"lakehouse_workspace={cookie_of(workspace.token)}"  # opens pages, and nothing else
            else:
                headers["Authorization"] = f"Bearer {workspace.token}"  # for programs, not for pages
            answer = requests.request(
                method, workspace.host + place, headers=headers, json=WORKING, allow_redirects=False, timeout=5
            )
            asked += 1
            if path.startswith("/api/"):
                assert answer.status_code == (401 if name == "none" else 403), (operation, name)
            else:
                assert answer.headers["location"].startswith("/login?"), (operation, name)
            assert SECRET not in answer.text
            assert workspace.token not in answer.text
    print(f"\ndoors: {asked} requests by strangers to {len(SHUT)} operations, all refused")


@pytest.mark.parametrize(
    "host", ["localhost/x", "localhost?", "localhost#", "a@localhost", "localhost\\x", "[", "", "x"]
)
@pytest.mark.parametrize(
    "path", ["/api/2.2/jobs/list", "/%61pi/2.2/jobs/list", "http://x/api/2.2/jobs/list", "/health"]
)
def test_a_host_name_with_something_behind_it_opens_nothing(workspace: Workspace, host: str, path: str) -> None:
    status, answer = send_raw(workspace, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert status == 403
    assert b"answers to 127.0.0.1 and localhost only" in answer


def test_only_the_owner_can_read_what_is_stored(workspace: Workspace) -> None:
    """Another user of the machine can read nothing on disk either."""
    run = workspace.wait(workspace.run(workspace.create(task("ok"), name="stored")))
    workspace.call("PUT", f"/api/2.0/fs/directories{VOLUME}/new/folder")
    workspace.call("PUT", f"/api/2.0/fs/files{VOLUME}/new/file?overwrite=true")
    (workspace.state / "secrets" / "email_secret").chmod(0o600)  # which these tests have written
    new = workspace.state / "volumes/spark_catalog/ops/files/new"  # elsewhere on the volumes the tests have written
    folders = (workspace.state / "workspace", workspace.state / "secrets", new)
    stored = [*folders, *(path for folder in folders for path in folder.rglob("*"))]
    assert {"folder", "file", "workspace_token", "workspace.sqlite", "log.txt"} <= {path.name for path in stored}
    assert run["state"]["result_state"] == "SUCCESS"
    for path in (workspace.state, *stored):
        assert path.stat().st_mode & 0o077 == 0, path
