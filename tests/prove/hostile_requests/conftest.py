"""A separate workspace without Spark, and the ways to send it hostile requests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.workspace.conftest import Workspace, started_workspace


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The workspace that the requests attack."""
    with started_workspace(tmp_path_factory.mktemp("hostile")) as workspace:
        yield workspace


@pytest.fixture(scope="session")
def owner(workspace: Workspace) -> Iterator[requests.Session]:
    """Someone who has both keys: the token in the header, and the browser's cookie."""
    with requests.Session() as session:
        answer = session.post(f"{workspace.host}/login", data={"token": workspace.token}, timeout=5)
        assert answer.status_code == 200
        # As headers, so that no answer (the log-out's) takes them away.
        session.headers["Cookie"] = f"lakehouse_workspace={session.cookies['lakehouse_workspace']}"
        session.cookies.clear()
        session.headers["Authorization"] = f"Bearer {workspace.token}"
        yield session


def send_raw(workspace: Workspace, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are (a polite client would tidy them up), and read to the end: the status, and the answer."""
    with socket.create_connection(("127.0.0.1", workspace.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split(maxsplit=2)[1]), answer


def log_of(workspace: Workspace) -> str:
    """What the server has logged."""
    return Path(workspace.state.parent / "workspace.log").read_text(encoding="utf-8", errors="replace")
