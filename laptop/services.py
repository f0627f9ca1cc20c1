"""`make up`, `make down` and `make status`: the local workspace with its Spark, and Airflow."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from laptop import service_processes as processes
from laptop import supervisor
from laptop.airflow_client import AirflowClient
from laptop.airflow_settings import DATABASE, POOLS, USER, airflow_environment, api_server_environment, write_files
from laptop.laptop_state import PORT_VARIABLES, LaptopState
from laptop.supervisor import ServiceCommand, Supervisor
from machine.command_line import UserError, run_command
from machine.dag_settings import DAG_SETTINGS
from machine.file_lock import file_lock
from machine.http_client import HttpClient, HttpError
from machine.log_files import last_lines, most_bytes
from machine.ports import HOST, free_port, port_is_free
from machine.state_folder import REPO, StateFolder, private_folder

DAG = "ecommerce_medallion"
AIRFLOW_SERVICES = {
    # The api-server reads task logs from the disk, so the servers for logs, which listen on all addresses, stay off.
    "airflow-api-server": ["api-server"],
    "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
    "airflow-dag-processor": ["dag-processor"],
    "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
}
ALL_SERVICES = [supervisor.NAME, "workspace", *AIRFLOW_SERVICES]
HEALTHY_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
WARM_UP = "warm-up"
"""The process of laptop/warm_up.py: no service, since it ends by itself."""
WARM_UP_SETTING = "LAKEHOUSE_WARM_UP"
START_SECONDS = 180.0
RESTART_SECONDS = 180.0


def is_up(state: LaptopState) -> bool:
    """Return whether every service of this state folder runs."""
    return not not_running(state)


def not_running(state: LaptopState) -> list[str]:
    """Return the names of the services that do not run."""
    alive = {service.name for service in processes.recorded_services(state) if service.is_alive}
    return [name for name in ALL_SERVICES if name not in alive]


def require_up(state: LaptopState) -> None:
    """Return when every service runs, waiting for those that are being started again. Raises UserError."""
    deadline, reported = time.monotonic() + RESTART_SECONDS, False
    while dead := not_running(state):
        if len(dead) == len(ALL_SERVICES):
            raise UserError("Airflow and the local workspace are not running; start them with `make up`.")
        given_up = {service.name for service in processes.recorded_services(state) if service.given_up}
        if supervisor.NAME in dead or given_up or time.monotonic() > deadline:
            raise UserError(
                f"not running: {', '.join(dead)} (`make status` shows more, the logs are in {state.logs}). "
                "`make up` starts what is missing; the others run on."
            )
        if not reported:
            print(f"Waiting for {', '.join(dead)}, which died and is being started again ...", flush=True)
            reported = True
        time.sleep(0.5)


def up(state: LaptopState, repo: Path = REPO) -> bool:
    """Start the services that do not run, wait until all of them work, and deploy the jobs. False if all ran.

    Raises UserError.
    """
    warms_up = warm_up_is_wanted()
    state.ensure_secrets()
    private_folder(state.pids)
    with file_lock(state.pids / "services.lock", timeout=300):
        if outdated := outdated_services(state, repo):
            _stop_supervisor(state)
            for service in outdated:
                processes.stop_alone(state, service)
        if is_up(state):
            deploy(state, repo)
            _ensure_pools(state)
            return False
        all_dead = len(not_running(state)) == len(ALL_SERVICES)
        if all_dead:
            down(state)
        else:
            print(f"Starting what does not run: {', '.join(not_running(state))}.", flush=True)
            _stop_supervisor(state)
        dead = not_running(state)
        _end_rest(state, dead)
        with spark_lock(state):
            check_ports(state, dead)
            try:
                _start(state, repo, dead, warms_up=warms_up)
            except BaseException:
                if all_dead:
                    down(state)
                raise
    return True


def outdated_services(state: LaptopState, repo: Path) -> list[processes.Service]:
    """Return the services of Airflow that run with earlier code than that on disk.

    Their plugins import `include/` once. What the DAG files import of it would not fit to what they read from disk.
    """
    files = (path for folder in ("include", "plugins") for path in (repo / folder).rglob("*.py"))
    changed = max((path.stat().st_mtime for path in files), default=0.0)
    services = processes.recorded_services(state)
    return [one for one in services if one.name in AIRFLOW_SERVICES and one.is_alive and one.since < changed]


def down(state: LaptopState) -> str:
    """Stop every service, and every process that one of them left behind. Return a sentence about what was stopped."""
    services = processes.recorded_services(state)
    running = sum(service.is_alive and service.name in ALL_SERVICES for service in services)
    _stop_supervisor(state)
    services = [service for service in services if service.name != supervisor.NAME]
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
        end = last_lines(done.stdout + done.stderr)
        raise UserError(f"the jobs of databricks.yml could not be deployed to the local workspace:\n{end}")


def check_ports(state: LaptopState, services: Sequence[str] = tuple(ALL_SERVICES)) -> None:
    """Raise UserError where another program listens on a port of a service that is to be started."""
    for name, port, service in (
        ("workspace", state.workspace_port, "workspace"),
        ("spark", state.spark_port, "workspace"),
        ("airflow", state.airflow_port, "airflow-api-server"),
    ):
        if service in services and not port_is_free(port):
            variable = PORT_VARIABLES[name][0]
            raise UserError(
                f"port {port} on {HOST}, which the {name} service needs, is in use by another program. "
                f"Stop that program, or choose another port: {variable}={free_port()} make up"
            )


def spark_lock(state: LaptopState) -> AbstractContextManager[None]:
    """Hold the lock while Spark is started, and in `make query` while its own Spark runs: the metastore takes one
    server."""
    return file_lock(private_folder(state.pids) / "spark.lock", timeout=90)


def warm_up_is_wanted() -> bool:
    """Return whether Spark is warmed up after its start (LAKEHOUSE_WARM_UP). Raises UserError."""
    text = os.environ.get(WARM_UP_SETTING) or "true"
    if text not in ("true", "false"):
        raise UserError(f"{WARM_UP_SETTING}={text}: it must be true or false.")
    return text == "true"


def warm_up_folder(state: StateFolder) -> StateFolder:
    """Return the folder with the volumes and secrets of the warm-up. While it exists, there is something to remove."""
    return StateFolder(state.workspace / "warm-up")


def workspace_client(state: LaptopState) -> HttpClient:
    """Return a client of the local workspace's REST API."""
    return HttpClient("The local workspace", state.workspace_url, state.secret("workspace_token"))


def service_commands(state: LaptopState, repo: Path) -> list[ServiceCommand]:
    """Say how each service but the supervisor is started, in the order of their start."""
    workspace = [str(state.python("workspace")), "-m", "local_workspace", "--state", str(state.root), "serve"]
    workspace += ["--port", str(state.workspace_port), "--spark-port", str(state.spark_port)]
    airflow = str(state.venv("airflow") / "bin" / "airflow")
    environment = service_environment(state, repo)
    own = {"airflow-api-server": api_server_environment(state)}
    ports = {"airflow-api-server": state.airflow_port}
    return [
        ServiceCommand("workspace", workspace, _own_environment(state, repo), repo, state.workspace_port),
        *(
            ServiceCommand(name, [airflow, *arguments], environment | own.get(name, {}), repo, ports.get(name))
            for name, arguments in AIRFLOW_SERVICES.items()
        ),
    ]


def cleanup_command(state: LaptopState, repo: Path) -> ServiceCommand:
    """Say how old runs and logs of Airflow are removed."""
    command = [str(state.python("airflow")), "-m", "machine.airflow_cleanup", str(state.airflow_home / "logs")]
    return ServiceCommand("airflow-cleanup", command, service_environment(state, repo), repo)


def _own_environment(state: LaptopState, repo: Path) -> dict[str, str]:
    quiet = {"PYTHONPATH": str(repo), "GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "TZ": "UTC"}
    return state.environment() | quiet


def _stop_supervisor(state: LaptopState) -> None:
    _stop_alone(state, supervisor.NAME)


def _stop_alone(state: LaptopState, name: str) -> None:
    for service in processes.recorded_services(state):
        if service.name == name:
            processes.stop_alone(state, service)


def _end_rest(state: LaptopState, dead: list[str]) -> None:
    """End what dead services have left, and forget their deaths: the next supervisor counts from none."""
    for service in processes.recorded_services(state):
        if service.name in dead:
            processes.end_rest(service)
            processes.forget(state, service)
        elif service.deaths:
            processes.record(state, replace(service, deaths=0))
    if "workspace" in dead:
        _end_orphaned_spark(state)


def _start(state: LaptopState, repo: Path, dead: list[str], *, warms_up: bool) -> None:
    """Start the services that do not run, and a supervisor with the settings of this command."""
    write_files(state)
    for folder in (state.landing, state.ops, state.staging):
        folder.mkdir(parents=True, exist_ok=True)
    workspace, *airflow = service_commands(state, repo)
    if workspace.name in dead:  # at once, since Spark takes long to start
        processes.start(state, *workspace)
        _stop_alone(state, WARM_UP)
        if warms_up or warm_up_folder(state).root.exists():
            command = [str(state.python("workspace")), "-m", "laptop.warm_up"]
            processes.start(state, WARM_UP, command, _own_environment(state, repo), repo)
    _migrate(state, airflow[0].command[0], airflow[0].environment, repo)
    command = [str(state.python("workspace")), "-m", "laptop.services", "supervise"]
    processes.start(state, supervisor.NAME, command, _own_environment(state, repo), repo)
    _wait_for_workspace(state, may_die=False)
    deploy(state, repo)
    _wait_for_airflow(state, may_die=False)
    _ensure_pools(state)
    AirflowClient(state).wait_for_dag(DAG)


def _ensure_pools(state: LaptopState) -> None:
    client = AirflowClient(state)
    for pool, slots in POOLS.items():
        client.ensure_pool(pool, slots)


def service_environment(state: LaptopState, repo: Path = REPO) -> dict[str, str]:
    """Return the environment of every part of Airflow: its own settings, those of the DAGs, and where this state folder
    is."""
    of_this_state = {
        "LAKEHOUSE_MAINTENANCE_START": f"{_set_up_on(state):%Y-%m-%d}",
        "LAKEHOUSE_DASHBOARD_URL": state.dashboard_url,
    }
    defaults = DAG_SETTINGS | of_this_state
    settings = {name: os.environ.get(name, value) for name, value in defaults.items()}
    return state.environment() | airflow_environment(state, repo) | settings


def _set_up_on(state: LaptopState) -> date:
    """Return the day on which the state folder was set up: its secrets are made once."""
    return datetime.fromtimestamp((state.secrets / "airflow_fernet_key").stat().st_mtime, UTC).date()


def _migrate(state: LaptopState, airflow: str, environment: Mapping[str, str], repo: Path) -> None:
    """Make or upgrade Airflow's database. Raises UserError."""
    whole = {**processes.clean_environment(), **environment}
    done = subprocess.run([airflow, "db", "migrate"], cwd=repo, env=whole, capture_output=True, text=True)
    if done.returncode:
        end = last_lines(done.stdout + done.stderr)
        raise UserError(f"Airflow's database could not be made in {state.airflow_home}:\n{end}")
    database = state.airflow_home / DATABASE
    database.chmod(0o600)
    # So readers and a writer do not block each other; the file keeps the mode.
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def wait_until_ready(state: LaptopState, *, may_die: bool = True) -> None:
    """Return when all services answer; `may_die` allows that one dies once more meanwhile. Raises UserError."""
    _wait_for_workspace(state, may_die=may_die)
    _wait_for_airflow(state, may_die=may_die)


def _wait_for_workspace(state: LaptopState, *, may_die: bool) -> None:
    client = workspace_client(state)

    def is_ready() -> bool:
        try:
            client.call("GET", "/api/2.2/jobs/list?limit=1", timeout=10)
        except HttpError:
            return False
        return True

    _wait(state, ["workspace"], is_ready, "the local workspace", may_die=may_die)


def _wait_for_airflow(state: LaptopState, *, may_die: bool) -> None:
    client = AirflowClient(state)

    def is_ready() -> bool:
        health = client.health()
        return all(health.get(component) == "healthy" for component in HEALTHY_COMPONENTS)

    _wait(state, list(AIRFLOW_SERVICES), is_ready, "Airflow", may_die=may_die)


def _unhealthy(client: AirflowClient) -> set[str]:
    """Return the services of Airflow whose components send no heartbeat; none where the API server does not answer."""
    found = {f"airflow-{name.replace('_', '-')}" for name, status in client.health().items() if status == "unhealthy"}
    return found & AIRFLOW_SERVICES.keys()


def _wait(state: LaptopState, services: list[str], is_ready: Callable[[], bool], what: str, *, may_die: bool) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        for service in processes.recorded_services(state):
            if service.name not in [supervisor.NAME, *services]:
                continue
            if service.given_up or (not may_die and (service.deaths or not service.is_alive)):
                tail = processes.log_tail(state, service.name, earlier=service.is_alive)
                raise UserError(f"{service.name} ended while it started. The end of its log:\n{tail}")
        if time.monotonic() > deadline:
            raise UserError(f"{what} is not ready after {START_SECONDS:.0f} s; its log is in {state.logs}.")
        time.sleep(0.3)


def _end_orphaned_spark(state: LaptopState) -> int:
    """End a Spark server whose workspace was killed, which has a separate record; return the number of servers."""
    from local_workspace.spark_server import SparkServer

    return int(SparkServer(state.root, state.spark_port).end_orphan())


def addresses(state: LaptopState) -> str:
    """Return the addresses at which a person can look around. The login is shown here and nowhere else."""
    return "\n".join(
        [
            f"Airflow          {state.airflow_url}   login: {USER} / {state.secret('airflow_password')}",
            f"Local workspace  {state.workspace_url}   token: the file {state.secrets / 'workspace_token'}",
            f"Dashboard        {state.dashboard_url}   the same token",
            f"Spark Connect    sc://localhost:{state.spark_port}   token: the file {state.secrets / 'spark_token'}",
        ]
    )


def status(state: LaptopState) -> str:
    """Return one line for each service: its process, its port, and since when it runs (UTC)."""
    known = {service.name: service for service in processes.recorded_services(state)}
    supervised = supervisor.NAME in known and known[supervisor.NAME].is_alive
    lines = []
    for name in ALL_SERVICES:
        service = known.get(name)
        if service is None:
            lines.append(f"{name:24}not running")
        elif not service.is_alive:
            then = "is being started again" if supervised and not service.given_up else "`make up` starts it again"
            lines.append(f"{name:24}has died (process {service.pid}) and {then}; see {state.logs / name}.log")
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
    elif command == "supervise":  # for `up`
        cleanup = cleanup_command(state, REPO)
        unhealthy = partial(_unhealthy, AirflowClient(state))
        Supervisor(state, service_commands(state, REPO), most_bytes(), cleanup=cleanup, unhealthy=unhealthy).run()
    elif command == "status":
        print(status(state))
        return 0 if is_up(state) else 3
    else:
        raise UserError("give one of: up, down, status.")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
