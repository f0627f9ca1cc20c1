"""The Spark server of the workspace, without the workspace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from laptop.class_archive import archive_classes
from local_workspace.spark_server import SparkServer, SparkServerError, installed_spark
from machine.java import class_archive, find_java_home
from machine.ports import free_port
from machine.state_folder import StateFolder
from tests.shared_spark import PROJECT_STATE, few_rows_server

# Each is ready before the port opens, and connects at once when it does.
CLIENT = """
import socket, sys, time
from pyspark.sql import SparkSession

number, port, remote = sys.argv[1:]
print("ready", flush=True)
while True:
    try:
        socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
        break
    except OSError:
        time.sleep(0.002)
spark = SparkSession.builder.remote(remote).create()
spark.sql(f"CREATE SCHEMA made_by_{number}")
print("made", flush=True)
sys.stdin.readline()
print(sorted(row[0] for row in spark.sql("SHOW SCHEMAS LIKE 'made_by_*'").collect()), flush=True)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SparkServer]:
    server = few_rows_server(tmp_path / "state")
    yield server
    server.stop()


def test_clients_that_connect_at_once_share_one_catalog(server: SparkServer) -> None:
    numbers = ("0", "1", "2")
    with ExitStack() as processes:
        clients = [
            processes.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", CLIENT, number, str(server.port), server.remote],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )
            for number in numbers
        ]  # fmt: skip
        for client in clients:
            processes.callback(client.kill)

        def next_lines() -> list[str]:
            return [client.stdout.readline().strip() for client in clients]  # type: ignore[union-attr]

        assert next_lines() == ["ready"] * 3
        # As in github.com/src-d/jgit-spark-connector/issues/309.
        left_by_a_killed_one = server.state.spark / "scratch" / "blockmgr-1"
        left_by_a_killed_one.mkdir(parents=True)
        server.start()
        assert not left_by_a_killed_one.exists()
        assert next_lines() == ["made"] * 3
        for client in clients:
            client.stdin.write("look\n")  # type: ignore[union-attr]
            client.stdin.flush()  # type: ignore[union-attr]
        assert next_lines() == [str([f"made_by_{number}" for number in numbers])] * 3


def test_spark_starts_from_the_archive_of_its_classes_and_without_a_damaged_one(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "a state")
    state.jars.mkdir(parents=True)
    for jar in (PROJECT_STATE / "jars").glob("*.jar"):
        (state.jars / jar.name).symlink_to(jar.resolve())
    if (PROJECT_STATE / "java").exists():
        state.java.symlink_to(PROJECT_STATE / "java")
    archive = class_archive(state.jars, find_java_home(state.root), installed_spark())
    archive_classes(state, archive)
    assert [path.name for path in state.jars.glob("*.jsa")] == [archive.name]
    assert [path.name for path in state.root.iterdir() if path.name not in ("jars", "java")] == []
    server = SparkServer(state.root, free_port(), driver_memory="1g")
    try:
        server.start()
        assert str(archive) in Path(f"/proc/{server.pid}/maps").read_text()
        server.stop()
        archive.chmod(0o600)
        os.truncate(archive, 100_000)
        with pytest.raises(SparkServerError, match="Spark ended while it started"):
            server.start()
        assert not archive.exists()
        server.start()
    finally:
        server.stop()
