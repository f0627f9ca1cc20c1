"""`make lock`: compile requirements*.txt from pyproject.toml's groups, with hashes, for every supported Python.

requirements-dev.txt holds everything; the other files are compiled under it, so that all of them agree.
"""

from __future__ import annotations

import os
import subprocess
import sys

from laptop.environments import uv_environment
from laptop.problems import Problem, guarded
from laptop.state import REPO, State

COMPILE = ["pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
COMPILE += ["--no-header", "--no-emit-index-url", "--no-emit-find-links", "--no-config"]


def main() -> int:
    state = State.from_environment()
    uv = str(state.venv("tools") / "bin" / "uv")
    extra = ["--upgrade"] if os.environ.get("ARGS") == "--upgrade" else []
    tools = ["laptop/requirements-tools.in", "-o", "laptop/requirements-tools.txt"]
    group = ["--group", "pyproject.toml:{}", "-o"]
    dev = [part.format("dev") for part in group] + ["requirements-dev.txt"]
    constrained = ["-c", "requirements-dev.txt"]
    airflow = [part.format("airflow") for part in group] + ["requirements.txt", *constrained]
    workspace = [part.format("workspace") for part in group] + ["requirements-workspace.txt", *constrained]
    postgres = [part.format("postgres") for part in group] + ["requirements-postgres.txt", *constrained]
    for arguments in (tools, dev, airflow, workspace, postgres):
        target = arguments[arguments.index("-o") + 1]
        print(f"  {target}", flush=True)
        command = [uv, *COMPILE, *extra, *arguments]
        done = subprocess.run(command, cwd=REPO, env=uv_environment(state), capture_output=True, text=True)
        if done.returncode:
            raise Problem(f"{target} could not be compiled:\n{done.stderr.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
