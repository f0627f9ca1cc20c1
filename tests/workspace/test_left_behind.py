"""A test run that is killed leaves no Spark and no scheduler behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.left_behind import watch


def test_what_a_killed_run_has_started_ends(tmp_path: Path) -> None:
    """Known by a file in the run's folder, in the command or in the environment; that of other runs goes on."""
    mine, other = tmp_path / "pytest-1", tmp_path / "pytest-12"
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    by_command = subprocess.Popen([*sleep, f"--conf={mine}/spark"], start_new_session=True)
    by_environment = subprocess.Popen(sleep, env={**os.environ, "LAKEHOUSE_STATE": f"{mine}/state"})
    of_others = subprocess.Popen([*sleep, f"{other}/spark"])
    run = subprocess.Popen(sleep)
    watcher = watch(run.pid, mine)
    with pytest.raises(subprocess.TimeoutExpired):
        watcher.wait(timeout=2)
    run.kill()
    run.wait()
    try:
        assert watcher.wait(timeout=30) == 0
        assert (by_command.wait(timeout=1), by_environment.wait(timeout=1)) == (-9, -9)
        assert of_others.poll() is None
    finally:
        for process in (by_command, by_environment, of_others):
            process.kill()
            process.wait()
