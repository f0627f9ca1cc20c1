"""`make airflow ARGS="..."`: Airflow's own command line, on the Airflow of this state folder."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

from laptop import processes
from laptop.problems import Problem, guarded
from laptop.services import is_up, service_environment
from laptop.state import REPO, State


def main() -> int:
    state = State.from_environment()
    arguments = shlex.split(os.environ.get("ARGS", ""))
    if not arguments:
        raise Problem('say what Airflow is to do, such as: make airflow ARGS="dags list"')
    if not is_up(state):
        raise Problem("Airflow and the local workspace are not running; start them with `make up`.")
    command = [str(state.venv("airflow") / "bin" / "airflow"), *arguments]
    environment = processes.clean_environment() | service_environment(state)
    return subprocess.run(command, cwd=REPO, env=environment).returncode


if __name__ == "__main__":
    sys.exit(guarded(main))
