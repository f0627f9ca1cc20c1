"""Processes that are known by id and start time, so that a reused id is never taken for them."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class ProcessIdentity:
    """A process id means nothing without the moment at which that process was started."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity":
        return cls(pid, _started(pid))

    def is_alive(self) -> bool:
        try:
            return _started(self.pid) == self.started and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def _started(pid: int) -> float:
    """When the process was started; on Linux in ticks since boot, which no change of the clock moves."""
    try:
        return float(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return psutil.Process(pid).create_time()


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a whole process group; that it is gone already is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def group_members(group: int) -> list[int]:
    """The living processes of a group (without zombies)."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
        except (ProcessLookupError, psutil.Error, PermissionError):
            continue
    return members


def end_group(group: int, grace: float) -> None:
    """Ask a process group to end, and after the grace make it."""
    signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while group_members(group):
        if time.monotonic() > deadline:
            signal_group(group, signal.SIGKILL)
            return
        time.sleep(0.05)
