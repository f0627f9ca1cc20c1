"""The supervisor: one process per state folder that starts the services, and starts again those that die.

`make up` starts it, and `make down` ends it first. What it notices goes to `logs/supervisor.log`, of which `make run`
shows what is new. A service that dies again and again is given up, until the next `make up`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from laptop import service_processes as processes
from machine.log_files import earlier_log, limit_log
from machine.processes import ProcessIdentity
from machine.state_folder import StateFolder

NAME = "supervisor"
LOOK_SECONDS = 0.5
STEADY_SECONDS = 60.0
"""A service that has run for so long is healthy: its next death is the first one again."""
MOST_DEATHS = 6
"""In a row. With pauses of 1, 2, 4, 8, 16 s in between, they take more than half a minute."""
CLEANUP_SECONDS = 24 * 3600.0
"""From one clean-up of Airflow to the next."""
CLEANUP_PAUSE_SECONDS = 600.0
"""After a start, so that the first run has the machine for itself."""
HUNG_SECONDS = 60.0
"""A component of Airflow sends a heartbeat every few seconds. One that has sent none for this long works no more,
although its process lives: so a scheduler can end whose disk was full."""
HEALTH_PAUSE_SECONDS = 2.0
LEAST_FREE_BYTES = 32 * 1024**2
"""With less room on the disk, a start would only fail."""


class ServiceCommand(NamedTuple):
    """How a service is started."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    cwd: Path
    port: int | None = None


class Supervisor:
    """Watches the services of one state folder. Their records are found again, so it may be replaced at any moment."""

    def __init__(
        self,
        state: StateFolder,
        commands: Sequence[ServiceCommand],
        most_log_bytes: int,
        most_deaths: int = MOST_DEATHS,
        cleanup: ServiceCommand | None = None,
        unhealthy: Callable[[], Collection[str]] = frozenset,
        hung_seconds: float = HUNG_SECONDS,
    ) -> None:
        """`cleanup` runs once a day, and ends by itself. `unhealthy` returns the services that send no heartbeat."""
        self._state = state
        self._commands = commands
        self._most_log_bytes = most_log_bytes
        self._most_deaths = most_deaths
        self._next_start = {command.name: 0.0 for command in commands}
        self._counted: set[tuple[int, float]] = set()
        self._cleanup = cleanup
        self._cleaning: subprocess.Popen[bytes] | None = None
        self._stamp = state.pids / "cleaned"
        self._begun = time.monotonic()
        self._unhealthy, self._hung_seconds = unhealthy, hung_seconds
        self._without_heartbeat: dict[str, float] = {}
        """Service -> since when, by the monotonic clock."""
        self._stopping = False
        self._disk_was_full = False
        self._spark: ProcessIdentity | None = None

    def run(self) -> None:
        """Watch until this process is asked to end; the services run on."""
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_stopping", True))
        threading.Thread(target=self._ask_for_heartbeats, daemon=True).start()
        while not self._stopping:
            known = {service.name: service for service in processes.recorded_services(self._state)}
            for command in self._commands:
                try:
                    self._look(command, known.get(command.name))
                except OSError as error:  # the disk is full, say: it is looked at again
                    self._postpone(command.name, 1)
                    self._say(f"{command.name} cannot be started: {error}")
            self._look_at_spark()
            self._clean_daily()
            for path in self._state.logs.glob("*.log"):
                with contextlib.suppress(OSError):  # no room for the copy: the log grows until there is some
                    limit_log(path, self._most_log_bytes)
            time.sleep(LOOK_SECONDS)

    def _look(self, command: ServiceCommand, service: processes.Service | None) -> None:
        if service and service.is_alive:
            self._end_if_hung(service)
            return
        if service and service.given_up:
            return
        if service and (service.pid, service.started) not in self._counted:
            self._counted.add((service.pid, service.started))
            self._count_death(command.name, service)
            return
        if time.monotonic() < self._next_start[command.name] or self._disk_is_full():
            return
        if service:
            processes.end_rest(service)  # only now, since it may take seconds, and other deaths wait to be reported
        deaths = service.deaths if service else 0
        started = processes.start(self._state, *command, deaths=deaths)
        if deaths:
            self._say(f"{command.name} runs again, as process {started.pid}.")

    def _ask_for_heartbeats(self) -> None:
        """Ask again and again, in a thread of its own, since an answer may take seconds."""
        while True:
            found, now = set(self._unhealthy()), time.monotonic()
            self._without_heartbeat = {name: self._without_heartbeat.get(name, now) for name in found}
            time.sleep(HEALTH_PAUSE_SECONDS)

    def _end_if_hung(self, service: processes.Service) -> None:
        """End the process of a service that works no more. As a dead one it is then started again."""
        since = self._without_heartbeat.get(service.name, math.inf)
        seconds = min(time.monotonic() - since, time.time() - service.since)
        if seconds > self._hung_seconds:
            self._say(f"{service.name} lives, but has sent no heartbeat for {seconds:.0f} s; its process is ended.")
            self._without_heartbeat.pop(service.name, None)
            processes.end_rest(service)

    def _count_death(self, name: str, service: processes.Service) -> None:
        ending, log = _ending(service.pid), processes.log_file(self._state, name)
        deaths = 1 if time.time() - service.since > STEADY_SECONDS else service.deaths + 1
        given_up = deaths >= self._most_deaths
        self._postpone(name, deaths)
        if given_up:
            self._say(f"{name} {ending}, the {deaths}th time in a row, and is given up: see {log}, then `make up`.")
        else:
            self._say(f"{name} {ending}, and is being started again; its log is kept as {earlier_log(log, 1)}.")
        processes.record(self._state, replace(service, deaths=deaths, given_up=given_up))

    def _postpone(self, name: str, deaths: int) -> None:
        self._next_start[name] = time.monotonic() + 2 ** (deaths - 1)

    def _disk_is_full(self) -> bool:
        message = full_disk(self._state.root)
        if message and not self._disk_was_full:
            self._say(f"{message} Dead services are started again when there is room.")
        self._disk_was_full = bool(message)
        return self._disk_was_full

    def _look_at_spark(self) -> None:
        """Say that Spark has died: the workspace itself starts it again."""
        try:
            record = json.loads((self._state.pids / "spark.json").read_text(encoding="utf-8"))
            spark = ProcessIdentity(record["pid"], record["started"])
        except (OSError, ValueError, KeyError):
            spark = None
        if self._spark and not self._spark.is_alive():
            self._say(f"Spark (process {self._spark.pid}) has ended; the workspace starts it again.")
            self._spark = None
        if spark and spark != self._spark and spark.is_alive():
            self._spark = spark

    def _clean_daily(self) -> None:
        with contextlib.suppress(OSError):  # the disk is full: later
            if not self._stamp.exists():
                self._stamp.touch()
            is_due = time.time() - self._stamp.stat().st_mtime > CLEANUP_SECONDS
            if self._cleanup and is_due and time.monotonic() - self._begun > CLEANUP_PAUSE_SECONDS:
                self._stamp.touch()
                self._cleaning = processes.run_beside(self._state, self._cleanup.name, *self._cleanup[1:4])
            if self._cleaning and (code := self._cleaning.poll()) is not None:
                self._cleaning = None
                if code:
                    self._say(f"the daily clean-up of Airflow failed; see {self._state.logs}/airflow-cleanup.log.")

    def _say(self, message: str) -> None:
        # On a full disk the line stays in the buffer, and is written when there is room.
        with contextlib.suppress(OSError):
            print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {message}", flush=True)


def full_disk(root: Path) -> str:
    """Return a sentence on the disk of the state folder where it is full; "" where it is not."""
    free = shutil.disk_usage(root).free
    if free >= LEAST_FREE_BYTES:
        return ""
    return f"the disk of {root} is full ({free / 1024**2:.0f} MB free): make room on it."


def _ending(pid: int) -> str:
    """Say how a dead process ended, as far as that can be known: only of a child."""
    try:
        _, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return "has died"
    code = os.waitstatus_to_exitcode(status)
    return f"was killed (signal {-code})" if code < 0 else f"ended with exit code {code}"
