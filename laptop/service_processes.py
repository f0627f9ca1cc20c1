"""Services as processes: each in a separate session, known by id and start time, ended with all that they started.

Nothing is ever ended by its name. A service's processes are found by its session, and by an environment variable that
every process inherits from the service that started it, so that those of a crashed service are found as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from local_workspace import task_process
from machine.log_files import begin_log, earlier_log, log_end
from machine.process_environment import is_proxy, local_environment
from machine.processes import ProcessIdentity, boot_id
from machine.state_folder import StateFolder, private_folder, write_private

OWNER_VARIABLE = "LAKEHOUSE_SERVICES_OF"
"""Inherited by every process of a service; its value is the state folder."""
# Variables of the shell that would change how a service behaves.
UNWANTED = ("AIRFLOW", "SPARK_", "PYSPARK_", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS", "DATABRICKS_", "_AIRFLOW")


@dataclass(frozen=True)
class Service:
    """One started service, as its file in `pids/` records it."""

    name: str
    pid: int
    started: float
    """The process's start time, as ProcessIdentity has it."""
    boot: str
    since: float
    """Seconds since the epoch."""
    port: int | None
    deaths: int = 0
    """How often it died in a row before this start."""
    given_up: bool = False
    """Whether the supervisor starts it no more."""

    @property
    def is_of_this_boot(self) -> bool:
        return self.boot == boot_id()

    @property
    def is_alive(self) -> bool:
        return self.is_of_this_boot and ProcessIdentity(self.pid, self.started).is_alive()


def start(
    state: StateFolder,
    name: str,
    command: list[str],
    environment: Mapping[str, str],
    cwd: Path,
    port: int | None = None,
    deaths: int = 0,
) -> Service:
    """Start a service that outlives this process, with its output in `logs/<name>.log`. Raises OSError."""
    private_folder(state.pids)
    process = run_beside(state, name, command, environment, cwd)
    identity = ProcessIdentity.of(process.pid)  # it is our child: until we wait for it, its id stays its own
    service = Service(name, identity.pid, identity.started, boot_id(), time.time(), port, deaths)
    try:
        record(state, service)
    except OSError:  # nobody would know of it
        process.kill()
        raise
    return service


def run_beside(
    state: StateFolder, name: str, command: list[str], environment: Mapping[str, str], cwd: Path
) -> subprocess.Popen[bytes]:
    """Start a process in a separate session, which nothing records, with its output in `logs/<name>.log`."""
    private_folder(state.logs)
    with begin_log(log_file(state, name)) as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**clean_environment(), **environment, OWNER_VARIABLE: str(state.root)},
            start_new_session=True,
        )


def record(state: StateFolder, service: Service) -> None:
    """Write down what is known of a service. Raises OSError."""
    write_private(_record(state, service.name), json.dumps(asdict(service)))


def forget(state: StateFolder, service: Service) -> None:
    """Remove the record of a service."""
    _record(state, service.name).unlink(missing_ok=True)


def log_file(state: StateFolder, name: str) -> Path:
    return state.logs / f"{name}.log"


def clean_environment() -> dict[str, str]:
    """Return this process's environment, fit for a service of this machine."""
    wanted = {name: value for name, value in os.environ.items() if not name.startswith(UNWANTED) and not is_proxy(name)}
    return local_environment(wanted)


def recorded_services(state: StateFolder) -> list[Service]:
    """Return the services that were started and not stopped, dead ones included, in the order of their start."""
    services = []
    for path in state.pids.glob("service-*.json"):
        try:
            services.append(Service(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue  # a file that a crash cut short; the variable still finds its processes
    return sorted(services, key=lambda service: (service.since, service.name))


def log_tail(state: StateFolder, name: str, *, earlier: bool = False) -> str:
    """Return the end of a service's log, or of that of its earlier start."""
    path = log_file(state, name)
    return log_end(earlier_log(path, 1) if earlier else path)


def stop_alone(state: StateFolder, service: Service, grace: float = 10.0) -> None:
    """End the process of a service, and nothing that it started."""
    with contextlib.suppress(psutil.Error):
        if service.is_alive:
            process = psutil.Process(service.pid)
            process.terminate()
            try:
                process.wait(grace)
            except psutil.TimeoutExpired:
                process.kill()
    forget(state, service)


def end_rest(service: Service) -> None:
    """End the processes of a service, or what it has left of them."""
    _end(_family(service))


def stop(state: StateFolder, services: Iterable[Service], grace: float = 10.0) -> None:
    """Ask the services to end, wait for up to `grace` seconds, and end whatever is left of them."""
    services = list(services)
    # Taken now: a child that outlives its parent can no longer be found through it.
    family = {process.pid: process for service in services for process in _family(service)}
    for service in services:
        with contextlib.suppress(psutil.Error):
            if service.is_alive:
                psutil.Process(service.pid).send_signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(service.is_alive for service in services) and time.monotonic() < deadline:
        time.sleep(0.1)
    _end([*family.values(), *(process for service in services for process in _family(service))])
    for service in services:
        forget(state, service)


def end_leftovers(state: StateFolder) -> int:
    """End every process that a service of this state folder started, and forget the services.

    Return the number of processes.
    """
    leftovers = descendants(state)
    _end(leftovers)
    for record in state.pids.glob("service-*.json"):
        record.unlink(missing_ok=True)
    return len(leftovers)


def descendants(state: StateFolder) -> list[psutil.Process]:
    """Return all processes that a service of this state folder started, found by the environment that they
    inherited."""
    inherited = {f"{OWNER_VARIABLE}={state.root}", f"LAKEHOUSE_SECRETS_DIR={state.secrets}"}
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # another user's process, or one that has just ended
        if process.pid not in own and inherited & {f"{name}={value}" for name, value in environment.items()}:
            found.append(process)
    return found


def is_job_task(process: psutil.Process) -> bool:
    """Return whether a job's task runs in it: forked by the workspace, or where there is no forking, a new
    interpreter."""
    command = process.cmdline()
    return process.name() == task_process.NAME or (
        task_process.FORK_SERVER not in command and "task_process.py" in " ".join(command)
    )


def _family(service: Service) -> list[psutil.Process]:
    """Find a service's process, its descendants, and all other processes of its session, which outlives it.

    The environment does not find all of these: some of Airflow's processes overwrite it to show a title.
    """
    if not service.is_of_this_boot:
        return []
    found: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.Error):
        if ProcessIdentity.of(service.pid).started != service.started:
            return []  # another process has the id now, and with it the session
        leader = psutil.Process(service.pid)
        found = {process.pid: process for process in [leader, *leader.children(recursive=True)]}
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            # No process gets an id that a living session still has, so these are the service's own.
            if os.getsid(process.pid) == service.pid:
                found[process.pid] = process
    return list(found.values())


def _end(processes: list[psutil.Process]) -> None:
    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0)):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)  # psutil checks the start time first
        _, processes = psutil.wait_procs(processes, timeout=patience)
        if not processes:
            return


def _record(state: StateFolder, name: str) -> Path:
    return state.pids / f"service-{name}.json"
