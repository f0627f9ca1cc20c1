"""`make setup`: environments, Java, Spark's jars, secrets and the wheel. Each step does nothing if it is done.

Runs under the bare Python of the machine, so standard library only.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import AbstractContextManager

from laptop.java_setup import ensure_java
from laptop.laptop_state import LaptopState
from laptop.sources import source_from_environment
from laptop.spark_jars import ensure_jars
from machine.command_line import run_command
from machine.file_lock import file_lock
from machine.file_system import check_file_system
from machine.state_folder import StateFolder, private_folder
from machine.user import check_user
from tools.build_wheel import ensure_wheel
from tools.environments import check_python, ensure_environment


def set_up(state: LaptopState, environments: list[str]) -> None:
    """Bring everything that a command needs into the state folder."""
    with _setup_lock(state):
        changed = [name for name in environments if ensure_environment(state, name)]
        if "workspace" in environments:
            java = ensure_java(state)
            changed += ["jars"] if ensure_jars(state) else []
            if changed:
                print(f"  Java: {java}", flush=True)
        state.ensure_secrets()
        ensure_wheel(state)


def _setup_lock(state: StateFolder) -> AbstractContextManager[None]:
    check_file_system(state.root)
    private_folder(state.root)
    waiting = "  Another set-up is at work here; waiting for it ..."
    return file_lock(state.root / ".setup-lock", waiting=waiting)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m laptop.setup", description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also the environment for tests and checks")
    parser.add_argument("--only", choices=["tools", "dev"], help="that environment and nothing else")
    parser.add_argument("--quiet", action="store_true", help="print nothing if there was nothing to do")
    options = parser.parse_args()
    check_python()
    check_user()
    source_from_environment()  # before minutes of set-up, not after
    state = LaptopState.from_environment()
    begun = time.monotonic()
    if options.only:
        with _setup_lock(state):
            ensure_environment(state, options.only)
        return 0
    set_up(state, ["airflow", "workspace", *(["dev"] if options.dev else [])])
    if not options.quiet:
        print(f"Set up in {state.root} ({time.monotonic() - begun:.0f} s).")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
