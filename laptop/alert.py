"""`make alert`: send a test message to the receivers of alerts, with the Airflow of this state folder."""

from __future__ import annotations

import subprocess
import sys

from laptop.laptop_state import LaptopState
from laptop.service_processes import clean_environment
from laptop.services import service_environment
from machine.command_line import run_command
from machine.state_folder import REPO


def main() -> int:
    state = LaptopState.from_environment()
    command = [str(state.venv("airflow") / "bin" / "python"), "-m", "include.send_test_alert"]
    return subprocess.run(command, cwd=REPO, env=clean_environment() | service_environment(state)).returncode


if __name__ == "__main__":
    sys.exit(run_command(main))
