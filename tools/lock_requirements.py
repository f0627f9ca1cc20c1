"""`make lock`: compile requirements*.txt from pyproject.toml's groups, with hashes, for every supported Python.

requirements-dev.txt holds everything; the other files are compiled under it, so that all of them agree.
"""

from __future__ import annotations

import os
import subprocess
import sys

from machine.command_line import UserError, run_command
from machine.state_folder import REPO, StateFolder
from tools.environments import uv_environment

COMPILE = ["pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
COMPILE += ["--no-header", "--no-emit-index-url", "--no-emit-find-links", "--no-config"]
# Each file with what it is compiled from, in this order.
TARGETS = {
    "tools/requirements-tools.txt": ["tools/requirements-tools.in"],
    "requirements-dev.txt": ["--group", "pyproject.toml:dev"],
    "requirements.txt": ["--group", "pyproject.toml:airflow", "-c", "requirements-dev.txt"],
    "requirements-workspace.txt": ["--group", "pyproject.toml:workspace", "-c", "requirements-dev.txt"],
    "requirements-postgres.txt": ["--group", "pyproject.toml:postgres", "-c", "requirements-dev.txt"],
}


def main() -> int:
    state = StateFolder.from_environment()
    uv = str(state.venv("tools") / "bin" / "uv")
    upgrade = ["--upgrade"] if os.environ.get("ARGS") == "--upgrade" else []
    for target, sources in TARGETS.items():
        print(f"  {target}", flush=True)
        command = [uv, *COMPILE, *upgrade, *sources, "-o", target]
        done = subprocess.run(command, cwd=REPO, env=uv_environment(state), capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"{target} could not be compiled:\n{done.stderr.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
