"""Log files of programs that run for long: a new start keeps the earlier log, and none grows without end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

from machine.command_line import UserError

KEPT = 5
"""Earlier logs of one program: `name.1.log` is the newest."""


def most_bytes() -> int:
    """Return the size over which a log is put away (LAKEHOUSE_LOG_MEGABYTES). Raises UserError."""
    text = os.environ.get("LAKEHOUSE_LOG_MEGABYTES") or "10"
    if not text.isascii() or not text.isdigit() or not int(text):
        raise UserError(f"LAKEHOUSE_LOG_MEGABYTES={text} is not a size; give a whole number of megabytes from 1.")
    return int(text) * 1024**2


def begin_log(path: Path) -> BinaryIO:
    """Open a new log, readable by its owner alone; that of an earlier start is kept under a number."""
    if path.exists() and path.stat().st_size:
        _make_room(path)
        path.replace(earlier_log(path, 1))
    # Appended to, so that the file can be emptied while a program writes to it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "wb")


def limit_log(path: Path, limit: int) -> None:
    """Put a log of over `limit` bytes away, while a program writes to it."""
    if not path.exists() or path.stat().st_size <= limit:
        return
    _make_room(path)
    # A copy, since the program has this very file open; what it writes in between is lost.
    shutil.copy(path, earlier_log(path, 1))
    os.truncate(path, 0)


def earlier_log(path: Path, number: int) -> Path:
    """Return the file with the log of an earlier start."""
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def last_lines(text: str, number: int = 12) -> str:
    """Return the end of a log, or of what a program has printed."""
    return "\n".join(text.strip().splitlines()[-number:])


def log_end(path: Path) -> str:
    """Return the end of a log; "" where there is none."""
    try:
        return last_lines(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""


def _make_room(path: Path) -> None:
    earlier_log(path, KEPT).unlink(missing_ok=True)
    for number in range(KEPT - 1, 0, -1):
        if (older := earlier_log(path, number)).exists():
            older.replace(earlier_log(path, number + 1))
