"""The Files API, called by databricks-sdk, and paths that lead out of the volumes."""

from __future__ import annotations

import io
import socket

import pytest
import requests
from databricks.sdk.errors import DatabricksError, NotFound

from tests.workspace.conftest import Workspace

ROOT = "/Volumes/spark_catalog/ops/files"


def test_files_and_directories(workspace: Workspace) -> None:
    files = workspace.client().files
    files.create_directory(f"{ROOT}/listing")
    files.upload(f"{ROOT}/listing/1.json", io.BytesIO(b'{"success": true}'))
    with pytest.raises(DatabricksError, match="exists already"):
        files.upload(f"{ROOT}/listing/1.json", io.BytesIO(b"no"), overwrite=False)
    files.upload(f"{ROOT}/listing/1.json", io.BytesIO(b'{"success": false}'), overwrite=True)
    contents = files.download(f"{ROOT}/listing/1.json").contents
    assert contents
    assert contents.read() == b'{"success": false}'
    assert files.get_metadata(f"{ROOT}/listing/1.json").content_length == 18
    files.get_directory_metadata(f"{ROOT}/listing")
    assert (workspace.state / "volumes/spark_catalog/ops/files/listing/1.json").stat().st_mode & 0o077 == 0
    for n in range(2, 6):
        files.upload(f"{ROOT}/listing/{n}.json", io.BytesIO(b"{}"))
    listed = list(files.list_directory_contents(f"{ROOT}/listing", page_size=2))
    assert [entry.name for entry in listed] == [f"{n}.json" for n in range(1, 6)]
    assert listed[0].path == f"{ROOT}/listing/1.json"
    with pytest.raises(DatabricksError, match="not empty"):
        files.delete_directory(f"{ROOT}/listing")
    for entry in listed:
        assert entry.path
        files.delete(entry.path)
    files.delete_directory(f"{ROOT}/listing")
    with pytest.raises(NotFound) as caught:
        files.download(f"{ROOT}/listing/1.json")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_range_of_a_file(workspace: Workspace) -> None:
    workspace.client().files.upload(f"{ROOT}/r.txt", io.BytesIO(b"0123456789"), overwrite=True)
    headers = {"Authorization": f"Bearer {workspace.token}", "Range": "bytes=2-4"}
    answer = requests.get(f"{workspace.host}/api/2.0/fs/files{ROOT}/r.txt", headers=headers, timeout=5)
    assert (answer.status_code, answer.content) == (206, b"234")


@pytest.mark.parametrize(
    "path",
    [
        f"{ROOT}/../../../../secrets/workspace_token",
        f"{ROOT}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secrets/workspace_token",
        f"{ROOT}/link/workspace_token",
        "/Volumes/../secrets/workspace_token",
        "/Volumes/spark_catalog/ops",
        "/etc/passwd",
        f"{ROOT}/%00",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("prefix", ["/api/2.0/fs/files", "/explore/data/volumes"])
def test_no_way_out_of_the_volumes(workspace: Workspace, method: str, path: str, prefix: str) -> None:
    volume = workspace.state / "volumes/spark_catalog/ops/files"
    volume.mkdir(parents=True, exist_ok=True)
    if not (volume / "link").exists():
        (volume / "link").symlink_to(workspace.state / "secrets")
    # Through a socket, because HTTP clients normalise the path.
    with socket.create_connection(("127.0.0.1", workspace.port), timeout=5) as connection:
        request = f"{method} {prefix}{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n"
        request += f"Authorization: Bearer {workspace.token}\r\n"
        if prefix.startswith("/explore"):
            request += f"Cookie: lakehouse_workspace={cookie_of(workspace)}\r\n"
        connection.sendall((request + "\r\n").encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert int(answer.split()[1]) in (400, 403, 404, 405)
    assert workspace.token.encode() not in answer
    assert (workspace.state / "secrets/workspace_token").read_text().strip()


def cookie_of(workspace: Workspace) -> str:
    answer = requests.post(f"{workspace.host}/login", data={"token": workspace.token}, allow_redirects=False, timeout=5)
    return str(answer.cookies["lakehouse_workspace"])
