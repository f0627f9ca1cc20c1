"""The program that ends what a test run has started, such as a Spark or a scheduler, if the run itself is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from machine.processes import ProcessIdentity

REPO = Path(__file__).resolve().parents[1]


def watch(run: int, folder: Path) -> subprocess.Popen[bytes]:
    """When the process `run` has ended, however that was, end what names a file in its `folder`."""
    command = [sys.executable, "-m", "tests.left_behind", str(run), str(folder)]
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=REPO, start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing)


def _left_behind(folder: str) -> list[psutil.Process]:
    """The processes that name a file in the folder in their command or their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(
                f"{folder}/" in text for text in (*process.cmdline(), *process.environ().values())
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


if __name__ == "__main__":
    run, folder = ProcessIdentity.of(int(sys.argv[1])), sys.argv[2]
    while run.is_alive():
        time.sleep(1)
    while left := _left_behind(folder):  # a supervisor may have started some again
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=10)
