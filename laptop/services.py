"""`make up`, `make down` and `make status`: the local workspace with its Spark, and Airflow."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from laptop import service_processes as processes
from laptop.airflow_client import AirflowClient
from laptop.airflow_settings import POOL, POOL_SLOTS, USER, airflow_environment, write_files
from laptop.laptop_state import PORT_VARIABLES, LaptopState
from machine.command_line import UserError, run_command
from machine.dag_settings import DAG_SETTINGS
from machine.file_lock import file_lock
from machine.http_client import HttpClient, HttpError
from machine.ports import HOST, free_port, port_is_free
from machine.state_folder import REPO, private_folder

DAG = "ecommerce_medallion"
AIRFLOW_SERVICES = {
    # The api-server reads task logs from the disk, so the servers for logs, which listen on all addresses, stay off.
    "airflow-api-server": ["api-server"],
    "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
    "airflow-dag-processor": ["dag-processor"],
    "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
}
ALL_SERVICES = ["workspace", *AIRFLOW_SERVICES]
HEALTHY_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
START_SECONDS = 180.0


def is_up(state: LaptopState) -> bool:
    """Return whether every service of this state folder runs."""
    alive = {service.name for service in processes.recorded_services(state) if service.is_alive}
    return alive >= set(ALL_SERVICES)


def require_up(state: LaptopState) -> None:
    """Raise UserError unless every service runs."""
    if not is_up(state):
        raise UserError("Airflow and the local workspace are not running; start them with `make up`.")


def up(state: LaptopState, repo: Path = REPO) -> bool:
    """Start the services, wait until all of them work, and deploy the jobs. False if they were up already.

    Raises UserError.
    """
    state.ensure_secrets()
    private_folder(state.pids)
    with file_lock(state.pids / "services.lock", timeout=300):
        if is_up(state):
            deploy(state, repo)
            return False
        down(state)
        with spark_lock(state):
            check_ports(state)
            try:
                _start(state, repo)
            except BaseException:
                down(state)
                raise
    return True


def down(state: LaptopState) -> str:
    """Stop every service, and every process that one of them left behind. Return a sentence about what was stopped."""
    services = processes.recorded_services(state)
    running = sum(service.is_alive for service in services)
    airflow = [service for service in services if service.name != "workspace"]
    # Airflow first, so that it starts no job in a workspace that is stopping.
    processes.stop(state, airflow)
    processes.stop(state, [service for service in services if service.name == "workspace"])
    leftovers = processes.end_leftovers(state) + _end_orphaned_spark(state)
    sentences = [f"Stopped {running} services."] if running else []
    sentences += [f"Ended {leftovers} processes that a crash had left behind."] if leftovers else []
    return " ".join(sentences) or "Nothing was running."


def deploy(state: LaptopState, repo: Path = REPO) -> None:
    """Bring the bundle's jobs into the workspace, through its API. Raises UserError."""
    command = [str(state.python("workspace")), "-m", "local_workspace", "--state", str(state.root), "deploy"]
    command += ["--bundle", str(repo / "databricks.yml"), "--target", "local", "--host", state.workspace_url]
    command += ["--var", f"volumes_root={state.volumes}"]
    environment = processes.clean_environment() | state.environment()
    done = subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True)
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise UserError(f"the jobs of databricks.yml could not be deployed to the local workspace:\n{end}")


def check_ports(state: LaptopState) -> None:
    """Raise UserError where another program listens on a port of a service."""
    for name, port in (
        ("workspace", state.workspace_port),
        ("spark", state.spark_port),
        ("airflow", state.airflow_port),
    ):
        if not port_is_free(port):
            variable = PORT_VARIABLES[name][0]
            raise UserError(
                f"port {port} on {HOST}, which the {name} service needs, is in use by another program. "
                f"Stop that program, or choose another port: {variable}={free_port()} make up"
            )


def spark_lock(state: LaptopState) -> AbstractContextManager[None]:
    """Hold the lock while Spark is started, and in `make query` while its own Spark runs: the metastore takes one
    server."""
    return file_lock(private_folder(state.pids) / "spark.lock", timeout=90)


def workspace_client(state: LaptopState) -> HttpClient:
    """Return a client of the local workspace's REST API."""
    return HttpClient("The local workspace", state.workspace_url, state.secret("workspace_token"))


def _start(state: LaptopState, repo: Path) -> None:
    write_files(state)
    for folder in (state.landing, state.ops, state.staging):
        folder.mkdir(parents=True, exist_ok=True)
    workspace = [str(state.python("workspace")), "-m", "local_workspace", "--state", str(state.root), "serve"]
    workspace += ["--port", str(state.workspace_port), "--spark-port", str(state.spark_port)]
    quiet = {"PYTHONPATH": str(repo), "GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "TZ": "UTC"}
    processes.start(state, "workspace", workspace, state.environment() | quiet, repo, state.workspace_port)
    airflow = str(state.venv("airflow") / "bin" / "airflow")
    environment = service_environment(state, repo)
    _migrate(state, airflow, environment, repo)
    for name, arguments in AIRFLOW_SERVICES.items():
        port = state.airflow_port if name == "airflow-api-server" else None
        processes.start(state, name, [airflow, *arguments], environment, repo, port)
    _wait_for_workspace(state)
    deploy(state, repo)
    _wait_for_airflow(state)
    client = AirflowClient(state)
    client.ensure_pool(POOL, POOL_SLOTS)
    client.wait_for_dag(DAG)


def service_environment(state: LaptopState, repo: Path = REPO) -> dict[str, str]:
    """Return the environment of every part of Airflow: its own settings, those of the DAGs, and where this state folder
    is."""
    settings = {name: os.environ.get(name, value) for name, value in DAG_SETTINGS.items()}
    return state.environment() | airflow_environment(state, repo) | settings


def _migrate(state: LaptopState, airflow: str, environment: dict[str, str], repo: Path) -> None:
    """Make or upgrade Airflow's database. Raises UserError."""
    whole = processes.clean_environment() | environment
    done = subprocess.run([airflow, "db", "migrate"], cwd=repo, env=whole, capture_output=True, text=True)
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise UserError(f"Airflow's database could not be made in {state.airflow_home}:\n{end}")
    database = state.airflow_home / "airflow.db"
    database.chmod(0o600)
    # So readers and a writer do not block each other; the file keeps the mode.
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def _wait_for_workspace(state: LaptopState) -> None:
    client = workspace_client(state)

    def is_ready() -> bool:
        try:
            client.call("GET", "/api/2.2/jobs/list?limit=1", timeout=10)
        except HttpError:
            return False
        return True

    _wait(state, ["workspace"], is_ready, "the local workspace")


def _wait_for_airflow(state: LaptopState) -> None:
    client = AirflowClient(state)

    def is_ready() -> bool:
        health = client.health()
        return all(health.get(component) == "healthy" for component in HEALTHY_COMPONENTS)

    _wait(state, list(AIRFLOW_SERVICES), is_ready, "Airflow")


def _wait(state: LaptopState, services: list[str], is_ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        for service in processes.recorded_services(state):
            if service.name in services and not service.is_alive:
                tail = processes.log_tail(state, service.name)
                raise UserError(f"{service.name} ended while it started. The end of its log:\n{tail}")
        if time.monotonic() > deadline:
            raise UserError(f"{what} is not ready after {START_SECONDS:.0f} s; its log is in {state.logs}.")
        time.sleep(0.3)


def _end_orphaned_spark(state: LaptopState) -> int:
    """End a Spark server whose workspace was killed, which has a record of its own; the number of servers."""
    from local_workspace.spark_server import SparkServer

    return int(SparkServer(state.root, state.spark_port).end_orphan())


def addresses(state: LaptopState) -> str:
    """Return the addresses at which a person can look around. The login is shown here and nowhere else."""
    return "\n".join(
        [
            f"Airflow          {state.airflow_url}   login: {USER} / {state.secret('airflow_password')}",
            f"Local workspace  {state.workspace_url}   token: the file {state.secrets / 'workspace_token'}",
            f"Spark Connect    sc://localhost:{state.spark_port}   token: the file {state.secrets / 'spark_token'}",
        ]
    )


def status(state: LaptopState) -> str:
    """Return one line for each service: its process, its port, and since when it runs (UTC)."""
    known = {service.name: service for service in processes.recorded_services(state)}
    lines = []
    for name in ALL_SERVICES:
        service = known.get(name)
        if service is None:
            lines.append(f"{name:24}not running")
        elif not service.is_alive:
            lines.append(f"{name:24}has died (process {service.pid}); see {state.logs / name}.log")
        else:
            since = datetime.fromtimestamp(service.since, UTC).strftime("%Y-%m-%d %H:%M:%S")
            port = f"port {service.port}" if service.port else ""
            lines.append(f"{name:24}running, process {service.pid:<8}{port:12}since {since} UTC")
    return "\n".join(lines)


def main() -> int:
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    state = LaptopState.from_environment()
    if command == "up":
        begun = time.monotonic()
        started = up(state)
        print(
            f"Up after {time.monotonic() - begun:.0f} s."
            if started
            else "It was up already; the jobs were deployed again."
        )
        print(addresses(state))
    elif command == "down":
        print(down(state))
    elif command == "status":
        print(status(state))
        return 0 if is_up(state) else 3
    else:
        raise UserError("give one of: up, down, status.")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
