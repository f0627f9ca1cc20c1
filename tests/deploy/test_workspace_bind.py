"""The local workspace in a container: it listens on the address that is set, and answers to names below localhost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs requirements-workspace.txt")
import requests

from machine.ports import free_port

REPO = Path(__file__).resolve().parents[2]


def serve(state: Path, port: int, address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "local_workspace", "--state", str(state), "serve", "--no-spark"]
    environment = os.environ | {"LAKEHOUSE_WORKSPACE_BIND": address, "LAKEHOUSE_WORKSPACE_PORT": str(port)}
    return subprocess.Popen(command, cwd=REPO, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a workspace on another loopback address than the usual one."""
    port = free_port()
    process = serve(tmp_path_factory.mktemp("bind") / "state", port, "127.0.0.2")
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[1]
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.2", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_it_listens_on_the_address_that_it_is_given_and_on_no_other(port: int) -> None:
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.2", port)) == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("workspace.localhost:8765", 401),
        ("localhost", 401),
        ("workspace.localhost.example", 403),
        ("notlocalhost", 403),
        ("workspace", 403),
    ],
)
def test_only_names_of_this_machine_are_answered(port: int, host: str, status: int) -> None:
    url = f"http://127.0.0.2:{port}/api/2.2/jobs/list"
    assert requests.get(url, headers={"Host": host}, timeout=5).status_code == status


def test_an_address_of_another_machine_is_refused_with_a_sentence(tmp_path: Path) -> None:
    process = serve(tmp_path / "state", 8765, "192.0.2.1")
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert errors.startswith("error: The workspace cannot listen on 192.0.2.1 (--bind)")
