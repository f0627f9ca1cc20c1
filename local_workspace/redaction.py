"""Blank out secrets in what people and programs get to read."""

import time

from machine.state_folder import StateFolder

HIDDEN = "[REDACTED]"


class Redactor:
    """Knows every value in the secrets folder; looks again now and then, since secrets are added while it runs."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._values: list[str] = []
        self._read_at = -1e9

    def refresh(self) -> None:
        """Look for new secrets before the next text: a task is about to start, and may read them."""
        self._read_at = -1e9

    def text(self, text: str) -> str:
        if time.monotonic() - self._read_at > 2:
            self._values, self._read_at = self._state.secret_values(), time.monotonic()
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text
