"""`make airflow ARGS="..."`: Airflow's own command line, with the Airflow of this state folder.

`dags test` and `tasks test` run tasks in their own process. The scheduler and the triggerer that run would take these
tasks for their own, so they get a copy of Airflow's database, which is removed when they have ended.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

from laptop.airflow_settings import DATABASE, database_url
from laptop.laptop_state import LaptopState
from laptop.service_processes import clean_environment
from laptop.services import require_up, service_environment
from machine.command_line import UserError, run_command
from machine.state_folder import REPO

TESTS = (["dags", "test"], ["tasks", "test"])


def main() -> int:
    state = LaptopState.from_environment()
    arguments = shlex.split(os.environ.get("ARGS", ""))
    if not arguments:
        raise UserError('give a command of Airflow, such as: make airflow ARGS="dags list"')
    require_up(state)
    return run_airflow(state, arguments)


def run_airflow(state: LaptopState, arguments: list[str]) -> int:
    """Run a command of Airflow, with its output on this screen. Return its exit code."""
    command = [str(state.venv("airflow") / "bin" / "airflow"), *arguments]
    environment = clean_environment() | service_environment(state)
    with ExitStack() as stack:
        if arguments[:2] in TESTS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-test-", dir=state.root)))
            environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = database_url(copy_database(state, folder))
            print(
                "This runs on a copy of Airflow's database, so that the services that run do not take its tasks over. "
                "The job runs and the tables are real.",
                file=sys.stderr,
            )
        return subprocess.run(command, cwd=REPO, env=environment).returncode


def copy_database(state: LaptopState, folder: Path) -> Path:
    """Copy the database of the Airflow that runs into `folder`."""
    copy = folder / DATABASE
    with (
        closing(sqlite3.connect(f"file:{state.airflow_home / DATABASE}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy


if __name__ == "__main__":
    sys.exit(run_command(main))
