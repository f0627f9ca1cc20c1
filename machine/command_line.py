"""How a command ends: with an exit code, and with one sentence for its user instead of a traceback."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable


class UserError(RuntimeError):
    """An error that the user of a command can mend: its text says what is wrong, where, and what to do."""


def _exit_when_terminated(*_: object) -> None:
    sys.exit(143)


def run_command(main: Callable[[], int]) -> int:
    """Run a command's `main`; return its exit code, 1 after a UserError, 130 after Ctrl-C.

    SIGTERM raises SystemExit in `main`, so that it stops what it has started.
    """
    signal.signal(signal.SIGTERM, _exit_when_terminated)
    try:
        return main()
    except UserError as error:
        sys.stdout.flush()
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) is gone: leave nothing for Python to flush into it.
        sys.stdout = None
        return 0
