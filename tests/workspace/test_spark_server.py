"""The Spark server of the workspace, without the workspace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from local_workspace.spark_server import SparkServer
from tests.shared_spark import few_rows_server

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
