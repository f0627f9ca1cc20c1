"""A workspace of this folder's own, without Spark, and the ways to knock at it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.workspace.conftest import Workspace, make_wheel


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The workspace whose doors are tried."""
    folder = tmp_path_factory.mktemp("doors")
    workspace = Workspace(folder / "state")
    workspace.start()
    workspace.upload(make_wheel(folder / "dist"))
    yield workspace
    workspace.stop()


@pytest.fixture(scope="session")
def owner(house: Workspace) -> Iterator[requests.Session]:
    """Someone who has both keys: the token in the header, and the browser's cookie."""
    with requests.Session() as session:
        answer = session.post(f"{house.host}/login", data={"token": house.token}, timeout=5)
        assert answer.status_code == 200
        # As headers, so that no answer (the log-out's) takes them away.
        session.headers["Cookie"] = f"lakehouse_workspace={session.cookies['lakehouse_workspace']}"
        session.cookies.clear()
        session.headers["Authorization"] = f"Bearer {house.token}"
        yield session


def knock(workspace: Workspace, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are (a polite client would tidy them up), and read to the end: the status, and the answer."""
    with socket.create_connection(("127.0.0.1", workspace.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split(maxsplit=2)[1]), answer


def log_of(workspace: Workspace) -> str:
    """What the server has logged."""
    return Path(workspace.state.parent / "workspace.log").read_text(encoding="utf-8", errors="replace")
