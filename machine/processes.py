"""Processes that are known by id and start time, so that a later process with the same id is never taken for them."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

KILL_SECONDS = 30.0
"""For the end of a killed process: some GB of memory take a second to give back, on a busy machine more."""


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
            return _started(self.pid) == self.started and not has_ended(psutil.Process(self.pid))
        except psutil.NoSuchProcess:
            return False


def has_ended(process: psutil.Process) -> bool:
    """Return whether all its threads are gone: until then it keeps its memory and its ports, though its first one may
    be.

    Raises psutil.NoSuchProcess where not even its id is left.
    """
    return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1


def _started(pid: int) -> float:
    """Return when the process was started; on Linux in ticks since boot, which no change of the clock moves."""
    try:
        return float(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return psutil.Process(pid).create_time()


def boot_id() -> str:
    """Identify this start of the machine: process ids and start times in ticks count from it. Linux alone says so."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a whole process group; that it is gone already is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def group_members(group: int) -> list[int]:
    """Return the processes of a group that have not ended."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and not has_ended(process):
                members.append(process.pid)
        except (ProcessLookupError, psutil.Error, PermissionError):
            continue
    return members


def end_group(group: int, grace: float) -> None:
    """Ask a process group to end, and kill it after `grace` seconds; return when it has ended.

    Raises TimeoutError where even a killed process does not end, since it waits for a disk, say.
    """
    signal_group(group, signal.SIGTERM)
    if _members_after(grace, group):
        signal_group(group, signal.SIGKILL)
        if left := _members_after(KILL_SECONDS, group):
            raise TimeoutError(
                f"processes {left} of group {group} did not end within {KILL_SECONDS:.0f} s of being killed."
            )


def _members_after(seconds: float, group: int) -> list[int]:
    deadline = time.monotonic() + seconds
    while (members := group_members(group)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return members
