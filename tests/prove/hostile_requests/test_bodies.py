"""Bodies that are too large are refused before they are read; broken ones are refused, and leave nothing behind."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import requests

from local_workspace.request_body import FILE_LIMIT, FORM_LIMIT, JSON_LIMIT, MIB
from tests.prove.hostile_requests.conftest import log_of, send_raw
from tests.prove.hostile_requests.openapi import VOLUME
from tests.workspace.conftest import Workspace, task, wait_until

JSON_ROUTES = ("/api/2.2/jobs/create", "/api/2.2/jobs/run-now", "/api/2.0/workspace/import", "/api/2.2/jobs/runs/get")


def head(workspace: Workspace, method: str, path: str, *more: str) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Authorization: Bearer {workspace.token}",
    ]
    return "\r\n".join([*lines, *more, "", ""]).encode()


def memory(workspace: Workspace) -> int:
    assert workspace.process
    return int(psutil.Process(workspace.process.pid).memory_info().rss)


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        *(("POST", path, JSON_LIMIT) for path in JSON_ROUTES[:3]),
        ("GET", JSON_ROUTES[3], JSON_LIMIT),
        ("GET", f"/api/2.0/fs/directories{VOLUME}", JSON_LIMIT),
        ("POST", "/login", FORM_LIMIT),
        ("PUT", f"/api/2.0/fs/files{VOLUME}/big.csv", FILE_LIMIT),
        ("POST", "/api/2.0/workspace-files/import-file/Shared/big.whl", FILE_LIMIT),
    ],
)
def test_what_is_announced_as_too_large_is_refused_unread(
    workspace: Workspace, owner: requests.Session, method: str, path: str, most: int
) -> None:
    owner.put(f"{workspace.host}/api/2.0/fs/directories{VOLUME}", timeout=5)
    for announced in (most + 1, 2**62):
        status, answer = send_raw(workspace, head(workspace, method, path, f"Content-Length: {announced}"))
        assert status == 413
        assert f"larger than {most:,} bytes".encode() in answer


@pytest.mark.parametrize("path", [*JSON_ROUTES[:3], "/login"])
def test_what_turns_out_too_large_is_refused_on_the_way(workspace: Workspace, path: str) -> None:
    """In chunks, so that nothing is announced: sent for as long as the server takes it, up to 200 MiB."""
    before, sent, chunk = memory(workspace), 0, b"%x\r\n" % MIB + b"a" * MIB + b"\r\n"
    answer = b""
    with socket.create_connection(("127.0.0.1", workspace.port), timeout=10) as connection:
        connection.sendall(head(workspace, "POST", path, "Transfer-Encoding: chunked"))
        try:
            while sent < 200:
                connection.sendall(chunk)
                sent += 1
            answer = connection.recv(65536)
        except OSError:  # it has hung up on us
            answer = b""
    most = JSON_LIMIT if path.startswith("/api/") else FORM_LIMIT
    assert sent <= most / MIB + 10, "the server continued to read"
    assert answer == b"" or int(answer.split()[1]) == 413
    assert memory(workspace) - before < 100 * MIB


def test_large_files_go_through_to_disk_and_not_through_memory(workspace: Workspace, owner: requests.Session) -> None:
    before, size = memory(workspace), 300
    highest = before

    def pieces() -> Iterator[bytes]:
        nonlocal highest
        for _ in range(size):
            highest = max(highest, memory(workspace))
            yield b"x" * MIB

    for url in (f"/api/2.0/fs/files{VOLUME}/large.bin", "/api/2.0/workspace-files/import-file/Shared/large.bin"):
        answer = owner.request(
            "PUT" if "fs" in url else "POST", workspace.host + url + "?overwrite=true", data=pieces(), timeout=60
        )
        assert answer.status_code in (200, 204)
    stored = [
        workspace.state / "volumes/spark_catalog/ops/files/large.bin",
        workspace.state / "workspace/files/Shared/large.bin",
    ]
    for path in stored:
        assert path.stat().st_size == size * MIB
        path.unlink()
    assert highest - before < 100 * MIB


@pytest.mark.parametrize(
    "path", [f"/api/2.0/fs/files{VOLUME}/cut/x.csv", "/api/2.0/workspace-files/import-file/Shared/x"]
)
def test_an_upload_that_breaks_off_leaves_nothing(workspace: Workspace, path: str) -> None:
    folders = [workspace.state / "volumes", workspace.state / "workspace/files"]

    def files() -> list[str]:
        return sorted(str(found) for folder in folders for found in folder.rglob("*") if found.is_file())

    before = files()
    with socket.create_connection(("127.0.0.1", workspace.port), timeout=10) as connection:
        method = "PUT" if "fs" in path else "POST"
        connection.sendall(head(workspace, method, path, f"Content-Length: {MIB}") + b"x" * 1000)
        wait_until(lambda: len(files()) > len(before), 5)  # the draft
    wait_until(lambda: files() == before, 5)


BROKEN: dict[str, bytes] = {
    "deep": b"[" * 200_000,
    "deep and whole": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "half a character": b'{"job_id": 1, "x": "\\ud800"}',
    "half a character as a name": b'{"\\udfff": 1}',
    "no UTF-8": b'{"job_id": "\xff"}',
    "no JSON": b"'; drop table jobs; --",
    "a list": b"[1]",
    "a huge number": b'{"job_id": ' + b"9" * 5000 + b"}",
    "a large number": b'{"job_id": 9223372036854775808, "run_id": 1e400}',
    "not a number": b'{"job_id": NaN, "run_id": NaN}',
    "twice": b'{"job_id": 1, "job_id": {"a": 1}}',
    "NUL": b'{"job_id": 1, "path": "/a\\u0000b"}\x00',
    "gzip": b"\x1f\x8b\x08\x00",
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_broken_bodies_are_refused(workspace: Workspace, kind: str) -> None:
    body = BROKEN[kind]
    for path in (
        *("/api/2.2/jobs/create", "/api/2.2/jobs/run-now", "/api/2.2/jobs/reset", "/api/2.2/jobs/runs/cancel"),
        *("/api/2.0/workspace/import", "/api/2.0/workspace/mkdirs"),
    ):
        status, answer = send_raw(workspace, head(workspace, "POST", path, f"Content-Length: {len(body)}") + body)
        assert status == 400, (path, answer)
        assert b'"error_code"' in answer
    assert "Traceback" not in log_of(workspace)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/2.2/jobs/update", {"new_settings": {"tasks": [{"task_key": []}]}}),
        ("/api/2.2/jobs/update", {"new_settings": {"environments": [{"environment_key": {}}]}}),
        ("/api/2.2/jobs/list", {"name": {"a": 1}}),
        ("/api/2.2/jobs/list", {"page_token": 5}),
        ("/api/2.2/jobs/runs/list", {"page_token": ["MTA="]}),
        ("/api/2.0/workspace/delete", {"path": True}),
        ("/api/2.0/workspace/import", {"path": "/Shared/a", "content": 1}),
        ("/api/2.0/workspace/import", {"path": "/Shared/a", "content": "é"}),
        ("/api/2.0/workspace/list", {"path": "/" + "x" * 300}),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(
    workspace: Workspace, owner: requests.Session, path: str, body: dict[str, Any]
) -> None:
    if path.endswith("update"):
        body = body | {"job_id": workspace.create(task("ok"), name="to update")}
    answer = owner.request("GET" if path.endswith("list") else "POST", workspace.host + path, json=body, timeout=5)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("wanted", ["//[", "/a//[", "//[::1"])
def test_a_log_in_to_a_broken_address_leads_to_the_front_page(workspace: Workspace, wanted: str) -> None:
    form = requests.get(f"{workspace.host}/login", params={"next": wanted}, timeout=5)
    assert form.status_code == 200
    data = {"token": workspace.token, "next": wanted}
    answer = requests.post(f"{workspace.host}/login", data=data, allow_redirects=False, timeout=5)
    assert answer.status_code == 303
    assert answer.headers["location"] in ("/", "/a//[")


BAD_HTTP: dict[str, Callable[[Workspace], bytes]] = {
    "two lengths": lambda h: (
        head(h, "POST", "/api/2.2/jobs/create", "Content-Length: 2", "Content-Length: 4") + b"{}{}"
    ),
    "length and chunks": lambda h: (
        head(h, "POST", "/api/2.2/jobs/create", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
    ),
    "a negative length": lambda h: head(h, "POST", "/api/2.2/jobs/create", "Content-Length: -1"),
    "a header without end": lambda h: head(h, "GET", "/health", "X: " + "y" * 200_000),
    "a path without end": lambda h: head(h, "GET", "/api/" + "y" * 200_000),
    "no HTTP": lambda h: b"\x16\x03\x01\x00\xff" * 20 + b"\r\n\r\n",
}


@pytest.mark.parametrize("kind", sorted(BAD_HTTP))
def test_bad_http_is_refused_and_others_are_served_on(workspace: Workspace, kind: str) -> None:
    try:
        status, _ = send_raw(workspace, BAD_HTTP[kind](workspace))
    except (OSError, IndexError):  # it has hung up without a word
        status = 400
    assert 400 <= status < 500
    assert requests.get(f"{workspace.host}/health", timeout=5).status_code == 200


def test_a_client_that_says_nothing_holds_up_nobody(workspace: Workspace, owner: requests.Session) -> None:
    silent = [socket.create_connection(("127.0.0.1", workspace.port), timeout=10) for _ in range(200)]
    try:
        for number, connection in enumerate(silent):
            connection.sendall(head(workspace, "POST", "/api/2.2/jobs/create", "Content-Length: 100")[: 20 + number])
        begun = time.monotonic()
        assert owner.get(f"{workspace.host}/api/2.2/jobs/list", timeout=5).status_code == 200
        assert time.monotonic() - begun < 2
    finally:
        for connection in silent:
            connection.close()
