"""A Spark Connect session: on the server that runs, or on one of its own that ends with it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from laptop import processes
from laptop.problems import Problem
from laptop.services import spark_alone
from laptop.state import State
from machine.ports import free_port

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def spark_session(state: State) -> Iterator[SparkSession]:
    """A session on this state folder's tables, whether or not the services are up."""
    if any(service.name == "workspace" and service.alive for service in processes.known(state)):
        with _session(f"{state.spark_remote()};user_id=laptop;session_id={uuid.uuid4()}") as spark:
            yield spark
        return
    from local_workspace.spark_server import SparkServer, SparkServerError

    with spark_alone(state):
        server = SparkServer(state.root, free_port())
        try:
            server.start()
        except SparkServerError as error:
            raise Problem(str(error)) from None
        try:
            with _session(server.remote_url(str(uuid.uuid4()))) as spark:
                yield spark
        finally:
            server.stop()


@contextmanager
def _session(remote: str) -> Iterator[SparkSession]:
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    try:
        # A new one, always: getOrCreate would give this process's session on another server.
        spark = SparkSession.builder.remote(remote).create()
    except Exception as error:  # noqa: BLE001 - grpc's and Spark's errors have no common type
        raise Problem(f"Spark cannot be reached ({first_line(error)}); `make status` says what runs.") from None
    try:
        # By default the client tries for ten minutes to reach a server that is gone.
        spark.client.set_retry_policies([DefaultPolicy(max_retries=4, max_backoff=2000)])
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        yield spark
    finally:
        spark.stop()


def first_line(error: Exception) -> str:
    """What an error of Spark's says before it shows its plans and stack traces."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
