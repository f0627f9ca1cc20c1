"""`make replay DATA=... [LANDING=...]`: one big file into daily folders, as if delivered day by day."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from laptop import processes
from laptop.problems import Problem, guarded
from laptop.sources import source_from_environment
from laptop.state import REPO, State


def replay(state: State, data: Path, landing: Path) -> None:
    """Replay a file into a landing folder, in a process of its own; raises Problem if it failed."""
    landing.mkdir(parents=True, exist_ok=True)
    run_module(state, "feeds.replay", ["--data", str(data), "--landing", str(landing)])


def run_module(state: State, module: str, arguments: list[str]) -> None:
    """Run a command of the project in the workspace environment, its output on ours."""
    environment = processes.clean_environment() | state.environment() | {"PYTHONPATH": str(REPO)}
    command = [str(state.python("workspace")), "-m", module, *arguments]
    if subprocess.run(command, cwd=REPO, env=environment).returncode:
        raise Problem(f"{module} failed; the lines above say why.")


def main() -> int:
    data = source_from_environment()
    if data is None:
        raise Problem("there is no source; say make replay DATA=path/to/file.csv (or .xz, .gz, .zip)")
    state = State.from_environment()
    text = os.environ.get("LANDING", "").strip()
    landing = Path(text).expanduser().absolute() if text else state.landing
    replay(state, data, landing)
    if landing == state.landing:
        # From now on the landing holds a person's own files, which no demo may clear away.
        (state.root / "demo.json").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
