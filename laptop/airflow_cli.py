"""`make airflow ARGS="..."`: Airflow's own command line, with the Airflow of this state folder."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

from laptop.laptop_state import LaptopState
from laptop.service_processes import clean_environment
from laptop.services import require_up, service_environment
from machine.command_line import UserError, run_command
from machine.state_folder import REPO


def main() -> int:
    state = LaptopState.from_environment()
    arguments = shlex.split(os.environ.get("ARGS", ""))
    if not arguments:
        raise UserError('give a command of Airflow, such as: make airflow ARGS="dags list"')
    require_up(state)
    command = [str(state.venv("airflow") / "bin" / "airflow"), *arguments]
    environment = clean_environment() | service_environment(state)
    return subprocess.run(command, cwd=REPO, env=environment).returncode


if __name__ == "__main__":
    sys.exit(run_command(main))
