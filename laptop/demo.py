"""`make demo`: from a source file to audited tables, through the real scheduler, and a summary at the end."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

from laptop.airflow_client import AirflowClient
from laptop.fill_landing import feed, replay
from laptop.landing_interval import landed_interval
from laptop.laptop_state import LaptopState
from laptop.run import run_interval
from laptop.services import addresses, down, is_up, up
from laptop.sources import source_from_environment
from laptop.spark_client import spark_session
from laptop.summary import show
from machine.command_line import UserError, is_set, run_command

SEED, FEED_START, FEED_DAYS = "7", "2018-01-01", "60"
# All that a run reads or writes, without the environments, jars, secrets and logs.
DATA_PARTS = ("volumes", "warehouse", "metastore_db", "workspace", "airflow")


def demo(state: LaptopState, data: Path | None, keep: bool) -> bool:
    """Run the demo; True if all of it succeeded."""
    begun = time.monotonic()
    was_up = is_up(state)
    stays = keep or was_up
    try:
        _empty_earlier_demo(state, data)
        _land(state, data)
        start, end = landed_interval(state.landing)
        _step("Everything is up already" if was_up else "Starting the local workspace with Spark, and Airflow")
        up(state)
        print(addresses(state), flush=True)
        _step("Running the three layers")
        result = run_interval(state, start, end, "make demo")
        if not result.succeeded:
            print(f"The run failed after {result.seconds:.0f} s; the logs are in {state.logs}.", file=sys.stderr)
            return False
        with spark_session(state) as spark:
            show(state, AirflowClient(state), result, spark, time.monotonic() - begun, stays)
        return True
    finally:
        if not stays:
            _step("Stopping what was started (KEEP=1 would leave it running)")
            down(state)


def source_identity(data: Path | None) -> str:
    """Identify the source by its content, or by the seed of the generated feed."""
    if data is None:
        return f"synthetic feed, seed {SEED}, {FEED_DAYS} days from {FEED_START}"
    with data.open("rb") as file:
        return f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}"


def _empty_earlier_demo(state: LaptopState, data: Path | None) -> None:
    """Empty the lakehouse of an earlier demo with another source. Raises UserError where other data have landed."""
    record = state.root / "demo.json"
    known = json.loads(record.read_text(encoding="utf-8"))["source"] if record.exists() else None
    wanted = source_identity(data)
    landed = state.landing.is_dir() and any(state.landing.iterdir())
    if landed and known is None:
        raise UserError(
            f"{state.landing} holds files that are not a demo's, and the demo would mix its own with them. "
            "Run it in a separate state folder (LAKEHOUSE_STATE=/path/to/folder make demo), run your own files "
            "with `make run`, or remove all state with `make clean`."
        )
    if known is not None and known != wanted:
        _step("Emptying the lakehouse of the earlier demo, which had another source")
        reset(state)
    record.write_text(json.dumps({"source": wanted}), encoding="utf-8")


def reset(state: LaptopState) -> None:
    """Remove all data and runs of a state folder."""
    down(state)
    for part in DATA_PARTS:
        shutil.rmtree(state.root / part, ignore_errors=True)


def _land(state: LaptopState, data: Path | None) -> None:
    state.landing.mkdir(parents=True, exist_ok=True)
    if data is None:
        _step(f"Generating a small seeded feed of {FEED_DAYS} days")
        feed(state, state.landing, FEED_START, FEED_DAYS, {"SEED": SEED})
    else:
        _step(f"Replaying {data.name} into daily folders")
        replay(state, data, state.landing)


def _step(text: str) -> None:
    print(f"\n==> {text}", flush=True)


def main() -> int:
    keep = is_set("KEEP")
    return 0 if demo(LaptopState.from_environment(), source_from_environment(), keep) else 1


if __name__ == "__main__":
    sys.exit(run_command(main))
