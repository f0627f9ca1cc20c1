"""One Spark for all processes of a test run: a second one would load, and warm up, the same code once more."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from local_workspace.spark_server import FEW_ROWS_SETTINGS, SparkServer
from machine.java import find_java_home
from machine.ports import free_port
from machine.processes import end_group

# Tables that nobody looks for after a restart need no metastore.
NO_METASTORE = {"spark.sql.catalogImplementation": "in-memory"}
PROJECT_STATE = Path(os.environ.get("LAKEHOUSE_STATE", Path(__file__).resolve().parents[1] / ".state"))


def few_rows_server(state: Path, project_state: Path = PROJECT_STATE) -> SparkServer:
    """A Spark Connect server, not started yet, for tables of few rows that nobody looks for after its end."""
    return SparkServer(
        state,
        free_port(),
        jars=project_state / "jars",
        java_home=find_java_home(project_state),
        more_settings=FEW_ROWS_SETTINGS | NO_METASTORE,
    )


@contextmanager
def shared_spark(folder: Path) -> Iterator[str]:
    """The connection string of a Spark Connect server with Delta; `folder` is the same for all who share it.

    The first to come starts the server, and the last to go stops it.
    """
    state = folder / "spark-state"
    users = folder / "spark-users.json"
    with _alone(folder):
        found = _read(users) or _started(state)
        users.write_text(json.dumps(found | {"users": found["users"] + 1}))
    try:
        yield SparkServer(state, found["port"]).remote
    finally:
        with _alone(folder):
            found = _read(users)
            if found["users"] > 1:
                users.write_text(json.dumps(found | {"users": found["users"] - 1}))
            else:
                users.unlink()
                end_group(found["pid"], grace=8)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "spark-users.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(users: Path) -> dict[str, int]:
    return dict(json.loads(users.read_text())) if users.exists() else {}


def _started(state: Path) -> dict[str, int]:
    server = few_rows_server(state)
    # Under any locale of the machine, names of files are what they are.
    with patch.dict(os.environ, LANG="C", LC_ALL="C"):
        server.start()
    if server.pid is None:
        raise RuntimeError(f"Spark was started and has no process; its log is {server.log_file}")
    return {"port": server.port, "pid": server.pid, "users": 0}
