"""`make test`, `make prove` and `make lint`, in the development environment."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from laptop.laptop_state import LaptopState
from laptop.service_processes import clean_environment
from machine.command_line import UserError, run_command
from machine.process_environment import is_proxy
from machine.state_folder import REPO

SIDE_BY_SIDE = ("-n", "3", "--dist", "loadgroup", "--no-loadscope-reorder")
"""The whole suite in three processes, since much of its time is waiting; tests/conftest.py says what stays together."""
SLOWEST = ("--durations=60", "--durations-min=2")
"""What costs most is shown at the end; tests/conftest.py adds the seconds of each group."""
FOR_TESTS = ("SPARK_REMOTE", "DATABRICKS_CLI")


def main() -> int:
    what = sys.argv[1] if len(sys.argv) == 2 else ""
    python = [sys.executable, "-m"]
    commands = {
        "test": [[*python, "pytest", *SLOWEST, *(shlex.split(os.environ.get("ARGS", "")) or SIDE_BY_SIDE)]],
        "prove": [[*python, "pytest", "-s", *(shlex.split(os.environ.get("ARGS", "")) or ["tests/prove"])]],
        "lint": [
            [*python, "ruff", "check", "."],
            [*python, "ruff", "format", "--check", "."],
            [*python, "mypy"],
            [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        ],
    }
    if what not in commands:
        raise UserError(f"give one of: {', '.join(commands)}.")
    environment = clean_environment() | LaptopState.from_environment().environment()
    # These are for the tests, although services never get variables like them.
    environment |= {name: value for name, value in os.environ.items() if name in FOR_TESTS or is_proxy(name)}
    if what == "prove":
        environment["PROVE_MINUTES"] = os.environ.get("MINUTES") or "10"
    failed = [command for command in commands[what] if subprocess.run(command, cwd=REPO, env=environment).returncode]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_command(main))
