"""What happens to the services while somebody waits for a run."""

from __future__ import annotations

from laptop import service_processes as processes
from laptop import supervisor
from laptop.laptop_state import LaptopState


class ServiceNews:
    """Sentences on what has happened to the services since this object was made."""

    def __init__(self, state: LaptopState) -> None:
        self._state = state
        self._log = processes.log_file(state, supervisor.NAME)
        self._read = self._log.stat().st_size if self._log.exists() else 0
        self._reported: set[str] = set()

    def __call__(self) -> list[str]:
        """Return those that are new since the last call."""
        return [*self._new_lines(), *self._new_troubles()]

    def _new_lines(self) -> list[str]:
        """Return what the supervisor has noticed."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            if file.seek(0, 2) < self._read:  # a new log
                self._read = 0
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return whole.decode("utf-8", "replace").splitlines()

    def _new_troubles(self) -> list[str]:
        """Return what the supervisor cannot say: that it has died itself, and that there is no room for its log."""
        watched = {service.name for service in processes.recorded_services(self._state) if service.is_alive}
        troubles = {supervisor.full_disk(self._state.root)} - {""}
        if supervisor.NAME not in watched:
            troubles.add("the supervisor does not run, so what dies is not started again: `make up` starts it.")
        new = sorted(troubles - self._reported)
        self._reported = troubles
        return new
