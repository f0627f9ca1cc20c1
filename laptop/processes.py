"""Services as processes: each in a session of its own, known by id and start time, ended with all that they started.

Nothing is ever ended by its name. A service's processes are found by its session, and by a mark that every
process it starts inherits through its environment, so that those of a crashed service are found as well.
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

from laptop.keys import private_folder, write_private
from laptop.state import State
from local_workspace import task_process
from machine.processes import has_ended

MARK = "LAKEHOUSE_SERVICES_OF"
# Variables of the shell that would change how a service behaves.
UNWANTED = ("AIRFLOW", "SPARK_", "PYSPARK_", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS", "DATABRICKS_", "_AIRFLOW")


@dataclass(frozen=True)
class Service:
    """One started service, as its file in `pids/` remembers it."""

    name: str
    pid: int
    birth: str
    """What tells the process from a later one with the same id."""
    since: float
    port: int | None

    @property
    def alive(self) -> bool:
        if birth_of(self.pid) != self.birth:
            return False
        try:
            return not has_ended(psutil.Process(self.pid))
        except psutil.Error:
            return False


def birth_of(pid: int) -> str | None:
    """When a process was started, in a form that no change of the clock moves; None if there is none."""
    try:
        # On Linux: this boot, and the clock ticks from it to the start of the process.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()} {fields[19]}"
    except (OSError, IndexError):
        pass
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def start(
    state: State,
    name: str,
    command: list[str],
    environment: Mapping[str, str],
    cwd: Path,
    port: int | None = None,
) -> Service:
    """Start a service that outlives us, with its output in `logs/<name>.log`."""
    private_folder(state.logs)
    private_folder(state.pids)
    log = state.logs / f"{name}.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**clean_environment(), **environment, MARK: str(state.root)},
            start_new_session=True,
        )
    service = Service(name, process.pid, birth_of(process.pid) or "", time.time(), port)
    write_private(_note(state, name), json.dumps(asdict(service)))
    return service


def clean_environment() -> dict[str, str]:
    """This process's environment without what would change how a service behaves."""
    return {name: value for name, value in os.environ.items() if not name.startswith(UNWANTED)}


def known(state: State) -> list[Service]:
    """The services that were started and not stopped, dead ones included, in the order of their start."""
    services = []
    for path in state.pids.glob("service-*.json"):
        try:
            services.append(Service(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue  # a file that a crash cut short; the mark still finds its processes
    return sorted(services, key=lambda service: (service.since, service.name))


def log_tail(state: State, name: str, lines: int = 12) -> str:
    """The end of a service's log."""
    path = state.logs / f"{name}.log"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "\n".join(text.strip().splitlines()[-lines:])


def stop(state: State, services: Iterable[Service], grace: float = 10.0) -> None:
    """Ask the services to end, wait, and end by force whatever is left of them."""
    services = list(services)
    # Taken now: a child that outlives its parent can no longer be found through it.
    family = {process.pid: process for service in services for process in _family(service)}
    for service in services:
        with contextlib.suppress(psutil.Error):
            if service.alive:
                psutil.Process(service.pid).send_signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(service.alive for service in services) and time.monotonic() < deadline:
        time.sleep(0.1)
    _end([*family.values(), *(process for service in services for process in _family(service))])
    for service in services:
        _note(state, service.name).unlink(missing_ok=True)


def end_leftovers(state: State) -> int:
    """End every process that carries this state folder's mark, and forget the services; the number of processes."""
    leftovers = marked(state)
    _end(leftovers)
    for note in state.pids.glob("service-*.json"):
        note.unlink(missing_ok=True)
    return len(leftovers)


def marked(state: State) -> list[psutil.Process]:
    """All processes that a service of this state folder started, found by the environment that they inherited."""
    marks = {f"{MARK}={state.root}", f"LAKEHOUSE_SECRETS_DIR={state.secrets}"}
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # another user's process, or one that has just ended
        if process.pid not in own and marks & {f"{name}={value}" for name, value in environment.items()}:
            found.append(process)
    return found


def is_job_task(process: psutil.Process) -> bool:
    """Whether a job's task runs in it: forked by the workspace, or where there is no forking, a new interpreter."""
    command = process.cmdline()
    return process.name() == task_process.NAME or (
        task_process.FORK_SERVER not in command and "task_process.py" in " ".join(command)
    )


def _family(service: Service) -> list[psutil.Process]:
    """A service's process, its descendants, and all other processes of its session, which outlives it.

    The mark does not do for these: some of Airflow's processes overwrite their environment to show a title.
    """
    birth = birth_of(service.pid)
    if birth not in (None, service.birth) or not _of_this_boot(service.birth):
        return []  # the id, and with it the session, is somebody else's now
    found: dict[int, psutil.Process] = {}
    if birth is not None:
        with contextlib.suppress(psutil.Error):
            leader = psutil.Process(service.pid)
            found = {process.pid: process for process in [leader, *leader.children(recursive=True)]}
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            # No process gets an id that a living session still has, so these are the service's own.
            if os.getsid(process.pid) == service.pid:
                found[process.pid] = process
    return list(found.values())


def _of_this_boot(birth: str) -> bool:
    own = birth_of(os.getpid()) or ""
    return birth.split(" ")[:-1] == own.split(" ")[:-1]


def _end(processes: list[psutil.Process]) -> None:
    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0)):
        for process in processes:
            _signal(process, number)
        _, processes = psutil.wait_procs(processes, timeout=patience)
        if not processes:
            return


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)  # psutil checks the start time first


def _note(state: State, name: str) -> Path:
    return state.pids / f"service-{name}.json"
