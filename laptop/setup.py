"""`make setup`: environments, Java, Spark's jars, secrets and the wheel. Each step does nothing if it is done.

Runs under the bare Python of the machine, so standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from laptop.environments import check_python, ensure_environment
from laptop.jars import ensure_jars
from laptop.java import ensure_java
from laptop.keys import ensure_secrets, private_folder
from laptop.problems import guarded
from laptop.sources import source_from_environment
from laptop.state import State
from laptop.wheel import ensure_wheel


def set_up(state: State, environments: list[str]) -> None:
    """Bring everything that a command needs into the state folder."""
    with _alone(state):
        changed = [name for name in environments if ensure_environment(state, name)]
        if "workspace" in environments:
            java = ensure_java(state)
            changed += ["jars"] if ensure_jars(state) else []
            if changed:
                print(f"  Java: {java}", flush=True)
        ensure_secrets(state)
        ensure_wheel(state)


@contextmanager
def _alone(state: State) -> Iterator[None]:
    """Let only one set-up of a state folder work at a time; a second one waits."""
    private_folder(state.root)
    with (state.root / ".setup-lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("  Another set-up is at work here; waiting for it ...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m laptop.setup", description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also the environment for tests and checks")
    parser.add_argument("--only", choices=["tools", "dev"], help="that environment and nothing else")
    parser.add_argument("--quiet", action="store_true", help="say nothing if there was nothing to do")
    options = parser.parse_args()
    check_python()
    source_from_environment()  # before minutes of set-up, not after
    state = State.from_environment()
    begun = time.monotonic()
    if options.only:
        with _alone(state):
            ensure_environment(state, options.only)
        return 0
    set_up(state, ["airflow", "workspace", *(["dev"] if options.dev else [])])
    if not options.quiet:
        print(f"Set up in {state.root} ({time.monotonic() - begun:.0f} s).")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
