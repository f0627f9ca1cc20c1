"""What a command reads of its environment, and how it ends: with one sentence for its user instead of a traceback."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable

from machine.process_environment import local_environment

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
"""The error numbers of a full disk, or of a used-up share of it."""


class UserError(RuntimeError):
    """An error that the user of a command can mend: its text says what is wrong, where, and what to do."""


def _exit_when_terminated(*_: object) -> None:
    sys.exit(143)


def run_command(main: Callable[[], int]) -> int:
    """Run a command's `main`; return its exit code, 1 after a UserError or on a full disk, 130 after Ctrl-C.

    SIGTERM raises SystemExit in `main`, so that it stops what it has started. Under every locale the output is UTF-8.
    """
    signal.signal(signal.SIGTERM, _exit_when_terminated)
    os.environ.update(local_environment(os.environ))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        return main()
    except UserError as error:
        sys.stdout.flush()
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output (head, less) is gone: leave nothing for Python to flush into it.
        sys.stdout = None
        return 0
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        where = f" of {error.filename}" if error.filename else ""
        print(f"Error: the disk{where} is full; make room, and try again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def is_set(name: str) -> bool:
    """Return whether an environment variable switches something on; empty, 0, no, false and off do not."""
    return os.environ.get(name, "").strip().lower() not in ("", "0", "no", "false", "off")
