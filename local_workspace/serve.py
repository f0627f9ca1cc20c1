"""Assemble the workspace and run it."""

import errno
import logging
import os
import signal
import socket
import sys
import threading
from datetime import timedelta
from functools import partial

import uvicorn

from local_workspace.api import build_app
from local_workspace.redaction import Redactor
from local_workspace.retention import DEFAULT_DAYS, keep_removing
from local_workspace.runner import Runner
from local_workspace.spark_server import SETTINGS_BY_ROWS, SparkServer
from local_workspace.spark_supervisor import SparkSupervisor
from local_workspace.store import Store
from local_workspace.task_launcher import IMPORTED_BY_ALL
from machine.command_line import UserError
from machine.state_folder import StateFolder, private_folder


def listening_socket(port: int, address: str) -> socket.socket:
    """Bind before anything else is started: a port that is in use is reported before Spark starts, which takes long."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise UserError(f"The workspace cannot listen on {address} (--bind): {error.strerror}.") from error
        raise UserError(
            f"Port {port} on {address} is in use, so the workspace cannot listen there: stop the program that uses "
            "it (an earlier workspace? `make down`), or choose another port (LAKEHOUSE_WORKSPACE_PORT)."
        ) from error
    return listener


def serve_forever(
    state: StateFolder,
    port: int,
    spark_port: int | None,
    spark_memory: str,
    *,
    few_rows: bool = True,
    address: str = "127.0.0.1",
    run_retention: timedelta = timedelta(days=DEFAULT_DAYS),
) -> None:
    """Serve until TERM or Ctrl-C; without a `spark_port`, without Spark. Raises UserError if it cannot start."""
    os.umask(0o077)  # only its owner may read what the workspace and its tasks write
    for folder in (state.root, state.workspace, state.files, state.volumes, state.runs, state.logs, state.pids):
        private_folder(folder)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    listener = listening_socket(port, address)
    redactor = Redactor(state)
    store = Store(state.database)
    modules = IMPORTED_BY_ALL if spark_port is not None else ()
    runner = Runner(state, store, redactor, modules=modules, spark_settings=SETTINGS_BY_ROWS if few_rows else None)
    if spark_port is not None:
        server = SparkServer(state.root, spark_port, driver_memory=spark_memory)
        runner.spark = SparkSupervisor(server, runner.spark_lost)
    app = build_app(state, store, runner, redactor)
    # h11 limits headers (64 KiB); httptools, which uvicorn prefers where it is installed, does not.
    config = uvicorn.Config(app, http="h11", log_level="warning", access_log=False, timeout_graceful_shutdown=3)
    http = uvicorn.Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after it has ended: without this handler the process would die before it
        # ends Spark and the tasks.
        signal.signal(number, lambda *_: setattr(http, "should_exit", True))
    errors: list[str] = []
    if runner.spark:
        runner.spark.start()
        threading.Thread(target=_stop_without_spark, args=(runner.spark, http, errors), daemon=True).start()
    runner.start()
    if runner.spark:
        prefetch = partial(app.state.prefetch, lambda: not store.unfinished_runs())
        threading.Thread(target=prefetch, name="prefetch", daemon=True).start()
    keep_removing(state, store, runner, run_retention)
    try:
        http.run(sockets=[listener])
    finally:
        runner.stop()
        if runner.spark:
            runner.spark.stop()
        store.close()
    if errors:
        raise UserError(errors[0])


def _stop_without_spark(spark: SparkSupervisor, http: uvicorn.Server, errors: list[str]) -> None:
    """Stop a workspace whose first Spark does not start, and note the reason: without Spark it is useless."""
    while spark.state == "starting":
        if spark.wait_until_ready(0.2):
            return
    if spark.state == "failed":
        errors.append(spark.error)
        http.should_exit = True
