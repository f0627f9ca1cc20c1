"""A lock that processes share through a file. It ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine.command_line import UserError

_POLL_SECONDS = 0.2


@contextmanager
def file_lock(path: Path, *, timeout: float = math.inf, waiting: str = "") -> Iterator[None]:
    """Hold the lock while the block runs. Print the text `waiting`, if any, when another process has it.

    Raises UserError after `timeout` seconds.
    """
    with path.open("w") as file:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"another command holds the lock {path}; try again when that command has ended."
                    ) from None
            if waiting:
                print(waiting, flush=True)
                waiting = ""
            time.sleep(_POLL_SECONDS)
        yield
