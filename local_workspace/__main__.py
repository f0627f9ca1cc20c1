"""Run the local workspace, or deploy a bundle to it."""

import argparse
import os
import sys
from datetime import timedelta
from pathlib import Path

from local_workspace.retention import DEFAULT_DAYS
from machine.state_folder import StateFolder


def _port_setting(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise SystemExit(f"error: {name}={text}: it must be a port number")
    return int(text)


def _days_setting(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not int(text):
        raise SystemExit(f"error: {name}={text}: it must be a whole number of days from 1")
    return int(text)


def _flag_setting(name: str, default: str) -> bool:
    text = os.environ.get(name) or default
    if text not in ("true", "false"):
        raise SystemExit(f"error: {name}={text}: it must be true or false")
    return text == "true"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local_workspace", description=__doc__)
    parser.add_argument("--state", type=Path, help="the state folder (default: LAKEHOUSE_STATE, or .state)")
    commands = parser.add_subparsers(dest="command", required=True)

    serve = commands.add_parser("serve", help="run the workspace in the foreground until TERM or Ctrl-C")
    serve.add_argument("--port", type=int, default=_port_setting("LAKEHOUSE_WORKSPACE_PORT", 8765))
    serve.add_argument(
        "--bind",
        default=os.environ.get("LAKEHOUSE_WORKSPACE_BIND", "127.0.0.1"),
        metavar="ADDRESS",
        help="the address to listen on (default: 127.0.0.1); 0.0.0.0 in a container whose port is published",
    )
    serve.add_argument("--spark-port", type=int, default=_port_setting("LAKEHOUSE_SPARK_PORT", 15002))
    serve.add_argument("--spark-memory", default=os.environ.get("LAKEHOUSE_SPARK_MEMORY", "4g"))
    serve.add_argument(
        "--spark-few-rows",
        action=argparse.BooleanOptionalAction,
        default=_flag_setting("LAKEHOUSE_SPARK_FEW_ROWS", "true"),
        help="let Spark interpret the plans of tasks that expect few rows, instead of compiling them",
    )
    serve.add_argument(
        "--run-retention-days",
        type=int,
        default=_days_setting("LAKEHOUSE_RUN_RETENTION_DAYS", DEFAULT_DAYS),
        help="how long finished runs are kept, with their logs",
    )
    serve.add_argument("--no-spark", action="store_true", help="run tasks without a Spark server (tests)")

    deploy = commands.add_parser("deploy", help="create or reset the bundle's jobs in a running workspace")
    deploy.add_argument("--bundle", type=Path, default=Path("databricks.yml"))
    deploy.add_argument("--target", help="a target of the bundle (default: its default target)")
    deploy.add_argument("--var", action="append", default=[], metavar="NAME=VALUE")
    deploy.add_argument("--host", default=f"http://127.0.0.1:{_port_setting('LAKEHOUSE_WORKSPACE_PORT', 8765)}")

    commands.add_parser("end-orphans", help="end a Spark server whose workspace was killed")
    options = parser.parse_args(arguments)
    state = StateFolder(options.state.resolve()) if options.state else StateFolder.from_environment()
    try:
        return _run(options, state)
    except (RuntimeError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace, state: StateFolder) -> int:
    if options.command == "serve":
        from local_workspace.serve import serve_forever

        spark_port = None if options.no_spark else options.spark_port
        serve_forever(
            state,
            options.port,
            spark_port,
            options.spark_memory,
            few_rows=options.spark_few_rows,
            address=options.bind,
            run_retention=timedelta(days=options.run_retention_days),
        )
        return 0
    if options.command == "deploy":
        from local_workspace.deployer import deploy

        token = os.environ.get("DATABRICKS_TOKEN") or state.secret("workspace_token")
        for line in deploy(options.bundle, options.target, options.var, options.host, token):
            print(line)
        return 0
    from local_workspace.spark_server import SparkServer

    if SparkServer(state.root).end_orphan():
        print("Ended a Spark server whose workspace was gone.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
