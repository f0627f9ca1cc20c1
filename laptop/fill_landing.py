"""Fill the landing folder with daily order files.

`make replay DATA=... [LANDING=...]` splits one big file by order date, as if it had been delivered day by day.
`make feed START=2018-01-01 DAYS=30 [SCALE=1] [SEED=7] [LANDING=...]` lands invented orders.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from laptop.laptop_state import LaptopState
from laptop.service_processes import clean_environment
from laptop.sources import source_from_environment
from machine.command_line import UserError, run_command
from machine.state_folder import REPO

# Given or not; the feed's own command line has the defaults and refuses what it does not know.
FEED_OPTIONS = ("SCALE", "SEED", "LATE", "REPEATED", "CORRUPT", "MALFORMED", "MISSING", "INCIDENTS", "PROCESSES")

REPLAY_OPTIONS = {"encoding": "source_encoding", "date-order": "date_order", "null-words": "null_words"}
"""Option of the replay -> variable of the bundle, so that a file is split into days as the jobs read it."""


def replay(state: LaptopState, data: Path, landing: Path) -> None:
    """Replay a file into a landing folder, in a separate process. Raises UserError if it failed."""
    given = {option: _text(f"BUNDLE_VAR_{name}") for option, name in REPLAY_OPTIONS.items()}
    options = [f"--{option}={value}" for option, value in given.items() if value]
    _run_module(state, "feeds.daily_replay", landing, [f"--data={data}", *options])


def feed(state: LaptopState, landing: Path, start: str, days: str, options: Mapping[str, str]) -> None:
    """Generate a feed in a separate process. Raises UserError if it failed."""
    # In one word each, so that a value like -1 reaches the command as a value.
    given = [f"--{name.lower()}={value}" for name, value in options.items() if value]
    _run_module(state, "feeds.synthetic", landing, [f"--start={start}", f"--days={days}", *given])


def _run_module(state: LaptopState, module: str, landing: Path, arguments: list[str]) -> None:
    landing.mkdir(parents=True, exist_ok=True)
    environment = clean_environment() | state.environment() | {"PYTHONPATH": str(REPO)}
    command = [str(state.python("workspace")), "-m", module, f"--landing={landing}", *arguments]
    if subprocess.run(command, cwd=REPO, env=environment).returncode:
        raise UserError(f"{module} failed; the lines above say why.")


def main() -> int:
    state = LaptopState.from_environment()
    landing = _folder("LANDING") or state.landing
    match sys.argv[1:]:
        case ["replay"]:
            data = source_from_environment()
            if data is None:
                raise UserError("there is no source; give one: make replay DATA=path/to/file.csv (or .xz, .gz, .zip)")
            replay(state, data, landing)
        case ["feed"]:
            start, days = _text("START"), _text("DAYS")
            if not start or not days:
                raise UserError("give the days, as in make feed START=2018-01-01 DAYS=30")
            options = {name: _text(name) for name in FEED_OPTIONS} | {"TRUTH": str(_folder("TRUTH") or "")}
            feed(state, landing, start, days, options)
        case _:
            raise UserError("give one of: replay, feed.")
    if landing == state.landing:
        # From now on the landing holds a person's own files, which no demo may clear away.
        (state.root / "demo.json").unlink(missing_ok=True)
    return 0


def _text(name: str) -> str:
    return os.environ.get(name, "").strip()


def _folder(name: str) -> Path | None:
    return Path(_text(name)).expanduser().absolute() if _text(name) else None


if __name__ == "__main__":
    sys.exit(run_command(main))
