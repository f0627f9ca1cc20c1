"""Errors for people: one plain sentence on standard error, and an exit code, never a traceback."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable


class Problem(Exception):
    """Something a person can do something about; its text says what, where and what to do."""


def _end(*_: object) -> None:
    sys.exit(143)


def guarded(main: Callable[[], int]) -> int:
    """Run a command's `main` and turn a Problem or Ctrl-C into a sentence and an exit code.

    Whoever ends the command otherwise (SIGTERM) lets it stop what it started too.
    """
    signal.signal(signal.SIGTERM, _end)
    try:
        return main()
    except Problem as problem:
        sys.stdout.flush()
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough; leave nothing for Python to flush into it.
        sys.stdout = None
        return 0
