"""Replace secrets in texts that people and programs read."""

import math
import time

from machine.state_folder import StateFolder

HIDDEN = "[REDACTED]"


class Redactor:
    """Replaces every value in the secrets folder, which it reads again every two seconds, since secrets are added."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._values: list[str] = []
        self._read_at = -math.inf

    def refresh(self) -> None:
        """Read the secrets again before the next text, because a task that starts now may read new ones."""
        self._read_at = -math.inf

    def text(self, text: str) -> str:
        if time.monotonic() - self._read_at > 2:
            self._values, self._read_at = self._state.secret_values(), time.monotonic()
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text
