"""A command that is ended from outside stops what it has started."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.conftest import REPO

COMMAND = """
import time
from machine.command_line import run_command

def main():
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("what was started is stopped", flush=True)

raise SystemExit(run_command(main))
"""


def test_a_command_that_is_ended_stops_what_it_started() -> None:
    command = subprocess.Popen([sys.executable, "-c", COMMAND], cwd=REPO, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    assert command.stdout.readline() == "begun\n"
    command.send_signal(signal.SIGTERM)
    output, _ = command.communicate(timeout=10)
    assert output == "what was started is stopped\n"
    assert command.returncode == 143
