"""A Spark Connect session: on the server that runs, or on one that is started for it and ends with it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from laptop import supervisor
from laptop.laptop_state import LaptopState
from laptop.service_processes import recorded_services
from laptop.services import spark_lock
from machine.command_line import UserError
from machine.ports import free_port, port_is_free

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

START_SECONDS = 60.0
"""Longer than Spark takes to start."""


@contextmanager
def spark_session(state: LaptopState) -> Iterator[SparkSession]:
    """Yield a session on this state folder's tables, whether or not the services are up. Raises UserError."""
    # Where a supervisor runs, it starts a dead workspace again, and with it Spark.
    if any(service.name in ("workspace", supervisor.NAME) and service.is_alive for service in recorded_services(state)):
        wait_for_port(state.spark_port)
        with connected(f"{state.spark_remote()};user_id=laptop;session_id={uuid.uuid4()}") as spark:
            yield spark
        return
    from local_workspace.spark_server import SparkServer

    with spark_lock(state):
        server = SparkServer(state.root, free_port())
        server.start()
        try:
            with connected(server.remote_url(str(uuid.uuid4()))) as spark:
                yield spark
        finally:
            server.stop()


def wait_for_port(port: int) -> None:
    """Return when a server listens there; one that died takes some seconds to start again. Raises UserError."""
    deadline = time.monotonic() + START_SECONDS
    while port_is_free(port):
        if time.monotonic() > deadline:
            raise UserError(f"Spark does not listen on port {port}; `make status` says what runs.")
        time.sleep(0.2)


@contextmanager
def connected(remote: str) -> Iterator[SparkSession]:
    """Yield a session on the server of a connection string. Raises UserError where it cannot be reached."""
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    try:
        # Not getOrCreate: it could return this process's session on another server.
        spark = SparkSession.builder.remote(remote).create()
        # By default the client tries for ten minutes to reach a server that is gone.
        spark.client.set_retry_policies([DefaultPolicy(max_retries=4, max_backoff=2000)])
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    except Exception as error:  # noqa: BLE001 - grpc's and Spark's errors have no common type
        raise UserError(f"Spark cannot be reached ({first_line(error)}); `make status` says what runs.") from None
    try:
        yield spark
    finally:
        spark.stop()


def first_line(error: Exception) -> str:
    """Return the message of an error of Spark's, without the plans and stack traces that follow it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
