"""The full data set through the real scheduler, then one more day, measured task by task."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.hardware import hardware
from benchmarks.resources import ResourceMonitor, peaks
from benchmarks.task_times import measure, table, total
from laptop.demo import reset
from laptop.fill_landing import replay
from laptop.landing_interval import landed_interval
from laptop.laptop_state import LaptopState
from laptop.run import run_interval
from laptop.services import down, up
from machine.command_line import UserError


def bench_full_run(main_state: LaptopState, data: Path) -> dict[str, Any]:
    """Run and measure both runs; return the results as they are written. Raises UserError if a run fails."""
    state = main_state.with_own_data(main_state.root / "bench")
    state.ensure_secrets()
    reset(state)
    runs: dict[str, Any] = {}
    console = Console()
    try:
        replay(state, data, state.landing)
        up(state)
        start, end = landed_interval(state.landing)
        for name in ("full run", "one-day run"):
            with ResourceMonitor(state) as monitor:
                result = run_interval(state, start, end, f"make bench, {name}")
            if not result.succeeded:
                raise UserError(f"the {name} failed, so there is nothing to measure; the logs are in {state.logs}.")
            times = measure(state, result)
            days = (end - start).days
            console.print(table(f"{name}: {days:,} landing dates", times))
            console.print(peaks(monitor))
            console.print(f"Spark has written {monitor.spark_bytes_written / 1e6:,.0f} MB.")
            runs[name] = {
                "landing_dates": days,
                "seconds": total(times).total,
                "tasks": [asdict(time) for time in times],
                "peak_memory_mb": dict(sorted(monitor.peak_memory_mb.items())),
                "spark_bytes_written": monitor.spark_bytes_written,
            }
            if name == "full run":
                start, end = end, end + timedelta(days=1)
                deliver_again(state.landing, start.date())
    finally:
        down(state)
    reset(state)
    return {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": hardware(), "runs": runs}


def deliver_again(landing: Path, day: date) -> None:
    """Land a new day: the files of the day before it, delivered once more."""
    source, target = landing / f"dt={day - timedelta(days=1)}", landing / f"dt={day}"
    hidden = landing / f".dt={day}"
    shutil.copytree(source, hidden)
    hidden.rename(target)
