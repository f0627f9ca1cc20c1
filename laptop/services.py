"""`make up`, `make down` and `make status`: the local workspace with its Spark, and Airflow."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from laptop import processes
from laptop.airflow_client import AirflowClient
from laptop.airflow_settings import POOL, POOL_SLOTS, USER, airflow_environment, write_files
from laptop.keys import ensure_secrets, private_folder
from laptop.problems import Problem, guarded
from laptop.state import PORT_VARIABLES, REPO, State
from machine.ports import HOST, free_port, port_is_free

DAG = "ecommerce_medallion"
AIRFLOW_PARTS = {
    # The api-server reads task logs from the disk, so the servers for logs (which listen everywhere) stay off.
    "airflow-api-server": ["api-server"],
    "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
    "airflow-dag-processor": ["dag-processor"],
    "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
}
ALL_PARTS = ["workspace", *AIRFLOW_PARTS]
HEALTHY_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
START_SECONDS = 180.0
# On one machine somebody waits, and the data set has ended: what differs from the DAGs' own defaults, unless it is set.
DAG_SETTINGS = {
    "LAKEHOUSE_SCHEDULE_END": "2018-02-01",
    "LAKEHOUSE_LANDING_RETRIES": "1",
    "LAKEHOUSE_LANDING_RETRY_DELAY": "10",
    "LAKEHOUSE_RETRY_DELAY": "5",
    "LAKEHOUSE_POLL_SECONDS": "0.3",
}


def is_up(state: State) -> bool:
    """Whether every service of this state folder runs."""
    alive = {service.name for service in processes.known(state) if service.alive}
    return alive >= set(ALL_PARTS)


def up(state: State, repo: Path = REPO) -> bool:
    """Start what does not run, and wait until all of it works; False if it was all up already."""
    ensure_secrets(state)
    with _alone(state, "services"):
        if is_up(state):
            deploy(state, repo)
            return False
        down(state)
        with spark_alone(state):
            check_ports(state)
            try:
                _start(state, repo)
            except BaseException:
                down(state)
                raise
    return True


def down(state: State) -> str:
    """Stop every service, and every process that one of them left behind; what there was to stop."""
    services = processes.known(state)
    running = sum(service.alive for service in services)
    airflow = [service for service in services if service.name != "workspace"]
    # Airflow first: nothing is to start a job in a workspace that is going away.
    processes.stop(state, airflow)
    processes.stop(state, [service for service in services if service.name == "workspace"])
    leftovers = processes.end_leftovers(state) + _end_orphaned_spark(state)
    said = [f"Stopped {running} services."] if running else []
    said += [f"Ended {leftovers} processes that a crash had left behind."] if leftovers else []
    return " ".join(said) or "Nothing was running."


def deploy(state: State, repo: Path = REPO) -> None:
    """Bring the bundle's jobs into the workspace, through its API."""
    command = [str(state.python("workspace")), "-m", "local_workspace", "--state", str(state.root), "deploy"]
    command += ["--bundle", str(repo / "databricks.yml"), "--target", "local", "--host", state.workspace_url]
    command += ["--var", f"volumes_root={state.volumes}"]
    environment = processes.clean_environment() | state.environment()
    done = subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise Problem(f"the jobs of databricks.yml could not be deployed to the local workspace:\n{said}")


def check_ports(state: State) -> None:
    """Refuse to start where another program listens."""
    for name, port in (
        ("workspace", state.workspace_port),
        ("spark", state.spark_port),
        ("airflow", state.airflow_port),
    ):
        if not port_is_free(port):
            variable = PORT_VARIABLES[name][0]
            raise Problem(
                f"port {port} on {HOST} is in use by another program, and the {name} service wants it. "
                f"Stop that program, or choose another port: {variable}={free_port()} make up"
            )


@contextmanager
def spark_alone(state: State, wait: float = 90.0) -> Iterator[None]:
    """Hold the right to start Spark: the metastore takes one server at a time, and `make query` may have one."""
    with _alone(state, "spark", wait):
        yield


@contextmanager
def _alone(state: State, what: str, wait: float = 300.0) -> Iterator[None]:
    private_folder(state.pids)
    with (state.pids / f"{what}.lock").open("w") as lock:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Problem(
                        f"another command is using {what} of {state.root}; try again when it is done."
                    ) from None
                time.sleep(0.2)
        yield


def _start(state: State, repo: Path) -> None:
    write_files(state)
    for folder in (state.landing, state.ops):
        folder.mkdir(parents=True, exist_ok=True)
    workspace = [str(state.python("workspace")), "-m", "local_workspace", "--state", str(state.root), "serve"]
    workspace += ["--port", str(state.workspace_port), "--spark-port", str(state.spark_port)]
    quiet = {"PYTHONPATH": str(repo), "GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "TZ": "UTC"}
    processes.start(state, "workspace", workspace, state.environment() | quiet, repo, state.workspace_port)
    airflow = str(state.venv("airflow") / "bin" / "airflow")
    environment = service_environment(state, repo)
    _migrate(state, airflow, environment, repo)
    for name, arguments in AIRFLOW_PARTS.items():
        port = state.airflow_port if name == "airflow-api-server" else None
        processes.start(state, name, [airflow, *arguments], environment, repo, port)
    _wait_for_workspace(state)
    deploy(state, repo)
    _wait_for_airflow(state)
    client = AirflowClient(state)
    client.ensure_pool(POOL, POOL_SLOTS)
    client.wait_for_dag(DAG)


def service_environment(state: State, repo: Path = REPO) -> dict[str, str]:
    """What every part of Airflow gets: its own settings, those of the DAGs, and where this state folder is."""
    settings = {name: os.environ.get(name, value) for name, value in DAG_SETTINGS.items()}
    return state.environment() | airflow_environment(state, repo) | settings


def _migrate(state: State, airflow: str, environment: dict[str, str], repo: Path) -> None:
    """Make or upgrade Airflow's database."""
    whole = processes.clean_environment() | environment
    done = subprocess.run([airflow, "db", "migrate"], cwd=repo, env=whole, capture_output=True, text=True)
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise Problem(f"Airflow's database could not be made in {state.airflow_home}:\n{end}")
    database = state.airflow_home / "airflow.db"
    database.chmod(0o600)
    # Readers and a writer do not block each other so; the mode is kept in the file.
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def _wait_for_workspace(state: State) -> None:
    request = urllib.request.Request(f"{state.workspace_url}/api/2.2/jobs/list?limit=1")
    request.add_header("Authorization", f"Bearer {state.secret('workspace_token')}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ready() -> bool:
        try:
            with opener.open(request, timeout=10):
                return True
        except OSError:
            return False

    _wait(state, ["workspace"], ready, "the local workspace")


def _wait_for_airflow(state: State) -> None:
    client = AirflowClient(state)

    def ready() -> bool:
        health = client.health()
        return all(health.get(part) == "healthy" for part in HEALTHY_PARTS)

    _wait(state, list(AIRFLOW_PARTS), ready, "Airflow")


def _wait(state: State, names: list[str], ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        for service in processes.known(state):
            if service.name in names and not service.alive:
                tail = processes.log_tail(state, service.name)
                raise Problem(f"{service.name} ended while it started. The end of its log:\n{tail}")
        if time.monotonic() > deadline:
            raise Problem(f"{what} is not ready after {START_SECONDS:.0f} s; its log is in {state.logs}.")
        time.sleep(0.3)


def _end_orphaned_spark(state: State) -> int:
    """A Spark server whose workspace was killed is known by its own file, not by our mark."""
    from local_workspace.spark_server import SparkServer

    return int(SparkServer(state.root, state.spark_port).end_orphan())


def addresses(state: State) -> str:
    """What a person needs to look around; the only place where the login is shown."""
    return "\n".join(
        [
            f"Airflow          {state.airflow_url}   login: {USER} / {state.secret('airflow_password')}",
            f"Local workspace  {state.workspace_url}   token: the file {state.secrets / 'workspace_token'}",
            f"Spark Connect    sc://localhost:{state.spark_port}   token: the file {state.secrets / 'spark_token'}",
        ]
    )


def status(state: State) -> str:
    """Which services run: process, port, and since when (UTC)."""
    known = {service.name: service for service in processes.known(state)}
    lines = []
    for name in ALL_PARTS:
        service = known.get(name)
        if service is None:
            lines.append(f"{name:24}not running")
        elif not service.alive:
            lines.append(f"{name:24}has died (process {service.pid}); see {state.logs / name}.log")
        else:
            since = datetime.fromtimestamp(service.since, UTC).strftime("%Y-%m-%d %H:%M:%S")
            port = f"port {service.port}" if service.port else ""
            lines.append(f"{name:24}running, process {service.pid:<8}{port:12}since {since} UTC")
    return "\n".join(lines)


def main() -> int:
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    state = State.from_environment()
    if command == "up":
        begun = time.monotonic()
        started = up(state)
        print(
            f"Up after {time.monotonic() - begun:.0f} s."
            if started
            else "It was up already; the jobs are deployed anew."
        )
        print(addresses(state))
    elif command == "down":
        print(down(state))
    elif command == "status":
        print(status(state))
        return 0 if is_up(state) else 3
    else:
        raise Problem("say one of: up, down, status.")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
