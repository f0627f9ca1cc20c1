"""`make bench SCALES=1,10,50`: the product beside the plain alternatives, as history grows.

At each scale the synthetic feed lands as many days as the real data set has, with its daily volume multiplied by the
scale. The product loads them through Airflow, with its gates, and then several times one more day. Then one Spark
process and DuckDB do the same raw-to-gold work on the same files.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.compare import differences
from benchmarks.hardware import hardware
from benchmarks.resources import ResourceMonitor
from benchmarks.task_times import measure, table, total
from laptop.demo import reset
from laptop.fill_landing import feed
from laptop.follow import RunResult
from laptop.laptop_state import LaptopState
from laptop.run import run_interval
from laptop.service_processes import clean_environment
from laptop.services import down, up
from machine.command_line import UserError
from machine.state_folder import REPO
from spark_jobs.layers.registry import tables_of
from spark_jobs.runtime.table_names import LAYERS

FIRST = datetime(2015, 1, 1, tzinfo=UTC)
INCREMENTS = 3
ITEMS_PER_RUN = 2_000_000
"""The initial load is cut into runs of about this many order items, so that none exceeds its job's time-out."""
ALTERNATIVES = {"one_process": "benchmarks.one_process", "duckdb": "benchmarks.duckdb_alternative"}


@dataclass(frozen=True)
class Landing:
    """What has landed: order items (lines after the headers) and bytes."""

    order_items: int
    bytes: int

    @classmethod
    def measured(cls, folder: Path) -> Landing:
        items = size = 0
        for path in folder.glob("dt=*/*.csv"):
            content = path.read_bytes()
            items += content.count(b"\n") - 1
            size += len(content)
        return cls(items, size)


def table_files(state: LaptopState) -> dict[str, dict[str, float]]:
    """Measure for each published table the files on the disk, old versions included: their number, bytes and median
    size."""
    found = {}
    for name in (spec.name for layer in LAYERS for spec in tables_of(layer)):
        schema, _, short = name.partition(".")
        sizes = [path.stat().st_size for path in (state.root / "warehouse" / f"{schema}.db" / short).rglob("*.parquet")
                 if "_delta_log" not in path.parts]  # fmt: skip
        found[name] = {"files": len(sizes), "bytes": sum(sizes), "median_bytes": statistics.median(sizes or [0])}
    return found


def load(state: LaptopState, start: datetime, end: datetime, note: str) -> dict[str, Any]:
    """Run these landing dates and return what was measured. Raises UserError if the run failed."""
    with ResourceMonitor(state) as monitor:
        result = run_interval(state, start, end, note)
    if not result.succeeded:
        raise UserError(f"{note} failed, so there is nothing to measure; the logs are in {state.logs}.")
    times = measure(state, result)
    Console().print(table(note, times))
    return {
        "landing_dates": (end - start).days,
        "seconds": round(total(times).total, 1),
        "layers": {layer: round(_seconds(result, layer), 1) for layer in LAYERS},
        "tasks": [asdict(time) for time in times],
        "peak_memory_mb": dict(sorted(monitor.peak_memory_mb.items())),
        "spark_bytes_written": monitor.spark_bytes_written,
    }


def _seconds(result: RunResult, layer: str) -> float:
    """Return the seconds from the start of the layer's first task to the end of its last one."""
    tasks = [task for task in result.tasks if task.task_id.startswith(f"{layer}.")]
    begun = min(task.started for task in tasks if task.started)
    return (max(task.ended for task in tasks if task.ended) - begun).total_seconds()


def bench_product(state: LaptopState, scale: str, days: int, seed: str) -> dict[str, Any]:
    """Measure the product at one scale: its initial load, and the days after it."""
    options = {"SCALE": scale, "SEED": seed}
    feed(state, state.landing, f"{FIRST:%Y-%m-%d}", str(days), options)
    landing = Landing.measured(state.landing)
    runs = max(1, round(landing.order_items / ITEMS_PER_RUN))
    bounds = [FIRST + timedelta(days=days * number // runs) for number in range(runs + 1)]
    up(state)
    try:
        initial = [
            load(state, start, end, f"scale {scale}, initial load, {number} of {runs}")
            for number, (start, end) in enumerate(pairwise(bounds), 1)
        ]
        increments = []
        for number in range(INCREMENTS):
            day = FIRST + timedelta(days=days + number)
            feed(state, state.landing, f"{day:%Y-%m-%d}", "1", options)
            note = f"scale {scale}, one more day, {number + 1} of {INCREMENTS}"
            increments.append(load(state, day, day + timedelta(days=1), note))
    finally:
        down(state)
    seconds = sum(run["seconds"] for run in initial)
    written = sum(run["spark_bytes_written"] for run in initial)
    return {
        "order_items": landing.order_items,
        "bytes_landed": landing.bytes,
        "product": {
            "initial_seconds": round(seconds, 1),
            "items_per_second": round(landing.order_items / seconds),
            "bytes_written_per_byte_landed": round(written / landing.bytes, 2),
            "day_seconds": statistics.median(run["seconds"] for run in increments),
            "layers": {layer: round(sum(run["layers"][layer] for run in initial), 1) for layer in LAYERS},
            "initial": initial,
            "increments": increments,
            "files": table_files(state),
        },
    }


def run_alternative(landing: Path, module: str, out: Path) -> dict[str, Any]:
    """Run an alternative over everything that has landed and return its report. Raises UserError if it failed."""
    command = [sys.executable, "-m", module, str(landing), str(out)]
    environment = clean_environment() | LaptopState.from_environment().environment()
    with subprocess.Popen(command, cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            printed, _ = running.communicate()
        except BaseException:
            # Not killed, as subprocess.run would do: its Spark would be left behind.
            running.terminate()
            raise
    if running.returncode:
        raise UserError(f"{module} failed; the lines above say why.")
    return dict(json.loads(printed))


def bench_scales(main_state: LaptopState, scales: list[str], days: int, seed: str) -> Iterator[dict[str, Any]]:
    """Yield the results, each time that there are more. A scale that fails ends the benchmark."""
    found: dict[str, Any] = {}
    results = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": hardware(),
        "landing_dates": days,
        "seed": seed,
        "scales": found,
    }
    for scale in scales:
        state = main_state.with_own_data(main_state.root / "bench")
        state.ensure_secrets()
        reset(state)
        try:
            found[scale] = bench_product(state, scale, days, seed)
            yield results
            outputs = {name: state.root / name for name in ALTERNATIVES}
            for name, module in ALTERNATIVES.items():
                found[scale][name] = run_alternative(state.landing, module, outputs[name])
                yield results
            differing = differences(outputs["duckdb"], outputs["one_process"])
            if any(differing.values()):
                raise UserError(f"the alternatives did not do equal work; rows that differ: {differing}")
        except UserError as error:
            print(f"scale {scale}: {error}", file=sys.stderr)
            found.setdefault(scale, {})["failed"] = str(error)
            yield results
            break
        finally:
            reset(state)
            for name in ALTERNATIVES:
                shutil.rmtree(state.root / name, ignore_errors=True)
