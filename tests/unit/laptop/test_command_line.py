"""What a command reads of its environment, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from machine.command_line import is_set
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, False),
        *((off, False) for off in ("", " ", "0", "no", "False", "OFF")),
        ("1", True),
        ("On", True),
    ],
)
def test_a_switch_is_read_as_airflow_reads_its_settings(
    text: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LAKEHOUSE_ALLOW_MISSING_DATES is one for both."""
    monkeypatch.delenv("SWITCH", raising=False)
    if text is not None:
        monkeypatch.setenv("SWITCH", text)
    assert is_set("SWITCH") is expected
