"""The process of one task: it calls a wheel's entry point as Databricks' wheel runner does.

Run as a file, with nothing but the standard library, so that a task starts at once. Arguments: package name, entry
point, then the task's parameters. How it ended is left in `outcome.json` in the working folder: ok, error, trace, and
entered_ms, when the entry point was called (milliseconds since 1970).
"""

import contextlib
import importlib
import importlib.metadata
import json
import os
import sys
import time
import traceback
from collections.abc import Callable


def find_entry_point(package: str, name: str) -> Callable[[], object]:
    """The entry point of that name in the package's metadata, else the package's attribute."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for entry_point in importlib.metadata.distribution(package).entry_points:
            if entry_point.name == name:
                found: Callable[[], object] = entry_point.load()
                return found
    module = importlib.import_module(package)
    attribute: Callable[[], object] | None = getattr(module, name, None)
    if attribute is None:
        raise AttributeError(f"package {package} has no entry point {name} in its metadata, and no such attribute")
    return attribute


def run(package: str, name: str, parameters: list[str]) -> dict[str, object]:
    sys.argv = [name, *parameters]
    entered_ms: int | None = None
    try:
        entry_point = find_entry_point(package, name)
        entered_ms = time.time_ns() // 1_000_000
        entry_point()
    except SystemExit as error:
        # Databricks counts every exit as a failure, sys.exit(0) included.
        message = f"SystemExit: {error.code} (an entry point must return; the wheel runner takes any exit as a failure)"
        return {"ok": False, "error": message, "trace": traceback.format_exc(), "entered_ms": entered_ms}
    except BaseException as error:  # noqa: BLE001 - whatever it was, the task has failed
        message = "".join(traceback.format_exception_only(error)).strip()
        # Without the frames of this file: they tell nobody anything.
        steps = error.__traceback__
        while steps is not None and steps.tb_frame.f_code.co_filename == __file__:
            steps = steps.tb_next
        return {
            "ok": False,
            "error": message,
            "trace": "".join(traceback.format_exception(error.with_traceback(steps))),
            "entered_ms": entered_ms,
        }
    return {"ok": True, "entered_ms": entered_ms}


def main() -> None:
    package, name, *parameters = sys.argv[1:]
    outcome = run(package, name, parameters)
    if not outcome["ok"]:
        print(outcome["trace"], file=sys.stderr)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    with open("outcome.json.part", "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs start time
        json.dump(outcome, file)
    os.replace("outcome.json.part", "outcome.json")  # noqa: PTH105
    # Not through the interpreter's shutdown: the task is over when its entry point is. Forgotten threads or exit
    # hooks (Spark's client waits there for a server that may be gone) must not hold it.
    os._exit(0 if outcome["ok"] else 1)


if __name__ == "__main__":
    main()
