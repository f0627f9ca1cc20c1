"""How long a wait for a job run continues although its polls fail."""

from __future__ import annotations

import time

from include.failures import RunOutOfSight


class Patience:
    """Tolerate failing polls of one job run until none has succeeded for `seconds`.

    A gateway hiccup and a token in rotation look like refusals, and a healthy job run must not end because of them.
    """

    def __init__(self, run_id: int, seconds: float) -> None:
        self._run_id = run_id
        self._seconds = seconds
        self._failing_since: float | None = None

    def poll_succeeded(self) -> None:
        """Begin to count again."""
        self._failing_since = None

    def poll_failed(self, error: Exception) -> None:
        """Return if the wait continues; raise `RunOutOfSight` if polls have failed for too long."""
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since < self._seconds:
            return
        raise RunOutOfSight(
            f"No poll of job run {self._run_id} has succeeded for {self._seconds:g} s: {error}. "
            "The job run was not cancelled; the next try waits for it."
        ) from error
