"""`make feed START=2018-01-01 DAYS=30 [SCALE=1] [SEED=7] [LANDING=...]`: invented orders into daily folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from laptop.problems import Problem, guarded
from laptop.replay import run_module
from laptop.state import State

# Given or not; the command has the defaults and refuses what it does not know.
OPTIONS = ("SCALE", "SEED", "LATE", "REPEATED", "CORRUPT", "MALFORMED", "PROCESSES")


def feed(state: State, landing: Path, start: str, days: str, options: Mapping[str, str]) -> None:
    """Generate a feed in a process of its own; raises Problem if it failed."""
    landing.mkdir(parents=True, exist_ok=True)
    # In one word each, so that a value like -1 reaches the command as a value.
    given = [f"--{name.lower()}={value}" for name, value in options.items() if value]
    run_module(state, "feeds.synthetic", [f"--landing={landing}", f"--start={start}", f"--days={days}", *given])


def main() -> int:
    def text(name: str) -> str:
        return os.environ.get(name, "").strip()

    def folder(name: str) -> str:
        return str(Path(text(name)).expanduser().absolute()) if text(name) else ""

    if not text("START") or not text("DAYS"):
        raise Problem("say which days, as in make feed START=2018-01-01 DAYS=30")
    state = State.from_environment()
    landing = Path(folder("LANDING")) if text("LANDING") else state.landing
    options = {name: text(name) for name in OPTIONS} | {"TRUTH": folder("TRUTH")}
    feed(state, landing, text("START"), text("DAYS"), options)
    if landing == state.landing:
        # As after a replay: no demo may clear away what a person has landed.
        (state.root / "demo.json").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
