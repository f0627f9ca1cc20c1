"""`make bench SCALES=1,10,50`: the product beside the plain alternatives, as history grows.

At each scale the synthetic feed lands as many days as the real data set has, with so many times its orders. The
product loads them through Airflow, with its gates, and then one day more, several times; then one Spark process and
DuckDB do the same raw-to-gold work on the same files.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks.compare import differences
from laptop import processes
from laptop.bench import machine, measure, table, totals
from laptop.demo import reset
from laptop.feed import feed
from laptop.follow import RunResult
from laptop.keys import ensure_secrets
from laptop.problems import Problem
from laptop.run import run_interval
from laptop.services import down, up
from laptop.state import REPO, State, beside
from machine.ports import free_port
from spark_jobs.layers.registry import tables_of
from spark_jobs.runtime.table_names import LAYERS

FIRST = datetime(2015, 1, 1, tzinfo=UTC)
INCREMENTS = 3
ITEMS_A_RUN = 2_000_000
"""The initial load is cut into runs of about so many order items, so that none meets its job's time-out."""
ALTERNATIVES = {"one_process": "benchmarks.one_process", "duckdb": "benchmarks.duckdb_alternative"}


@dataclass(frozen=True)
class Landing:
    """What has landed: order items (lines after the headers) and bytes."""

    order_items: int
    bytes: int

    @classmethod
    def of(cls, folder: Path) -> Landing:
        items = size = 0
        for path in folder.glob("dt=*/*.csv"):
            content = path.read_bytes()
            items += content.count(b"\n") - 1
            size += len(content)
        return cls(items, size)


class Watch:
    """Peak resident memory of each service, and the bytes that Spark wrote, while its block runs. MB are 10^6 bytes.

    Services are known by the name they were started under; the processes of job tasks count as one, `job task`.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self.peak_memory_mb: dict[str, float] = defaultdict(float)
        self.spark_bytes_written = 0

    def __enter__(self) -> Watch:
        self._spark = psutil.Process(json.loads((self._state.pids / "spark.json").read_text())["pid"])
        self._written = self._spark.io_counters().write_bytes
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.spark_bytes_written = self._spark.io_counters().write_bytes - self._written

    def _look_on(self) -> None:
        while not self._done.wait(1):
            now: dict[str, float] = defaultdict(float)
            for service in processes.known(self._state):
                try:
                    leader = psutil.Process(service.pid)
                    for process in (leader, *leader.children(recursive=True)):
                        name = "spark" if process.pid == self._spark.pid else service.name
                        if processes.is_job_task(process):
                            name = "job task"
                        now[name] += process.memory_info().rss / 1e6
                except psutil.Error:  # it has ended meanwhile
                    continue
            for name, memory in now.items():
                self.peak_memory_mb[name] = max(self.peak_memory_mb[name], round(memory))


def files_of(state: State) -> dict[str, dict[str, float]]:
    """Of each published table the files on the disk, old versions included: how many, their bytes, the median size."""
    found = {}
    for name in (name for layer in LAYERS for name in [spec.name for spec in tables_of(layer)]):
        schema, _, short = name.partition(".")
        sizes = [path.stat().st_size for path in (state.root / "warehouse" / f"{schema}.db" / short).rglob("*.parquet")
                 if "_delta_log" not in path.parts]  # fmt: skip
        found[name] = {"files": len(sizes), "bytes": sum(sizes), "median_bytes": statistics.median(sizes or [0])}
    return found


def loaded(state: State, start: datetime, end: datetime, note: str) -> dict[str, Any]:
    """A run over these landing dates, measured. Raises Problem if it failed."""
    with Watch(state) as watch:
        result = run_interval(state, start, end, note)
    if not result.ok:
        raise Problem(f"{note} failed, so there is nothing to measure; the logs are in {state.logs}.")
    times = measure(state, result)
    Console().print(table(note, times))
    return {
        "landing_dates": (end - start).days,
        "seconds": round(totals(times).total, 1),
        "layers": {layer: round(_seconds(result, layer), 1) for layer in LAYERS},
        "tasks": [asdict(time) for time in times],
        "peak_memory_mb": dict(sorted(watch.peak_memory_mb.items())),
        "spark_bytes_written": watch.spark_bytes_written,
    }


def _seconds(result: RunResult, layer: str) -> float:
    """From the start of the layer's first task to the end of its last one."""
    tasks = [task for task in result.tasks if task.task_id.startswith(f"{layer}.")]
    begun = min(task.started for task in tasks if task.started)
    return (max(task.ended for task in tasks if task.ended) - begun).total_seconds()


def product(state: State, scale: str, days: int, seed: str) -> dict[str, Any]:
    """The product at one scale: its initial load, and the days after it."""
    options = {"SCALE": scale, "SEED": seed}
    feed(state, state.landing, f"{FIRST:%Y-%m-%d}", str(days), options)
    landing = Landing.of(state.landing)
    runs = max(1, round(landing.order_items / ITEMS_A_RUN))
    bounds = [FIRST + timedelta(days=days * number // runs) for number in range(runs + 1)]
    up(state)
    try:
        initial = [
            loaded(state, start, end, f"scale {scale}, initial load, {number} of {runs}")
            for number, (start, end) in enumerate(pairwise(bounds), 1)
        ]
        increments = []
        for number in range(INCREMENTS):
            day = FIRST + timedelta(days=days + number)
            feed(state, state.landing, f"{day:%Y-%m-%d}", "1", options)
            note = f"scale {scale}, one day more, {number + 1} of {INCREMENTS}"
            increments.append(loaded(state, day, day + timedelta(days=1), note))
    finally:
        down(state)
    seconds = sum(run["seconds"] for run in initial)
    written = sum(run["spark_bytes_written"] for run in initial)
    return {
        "order_items": landing.order_items,
        "bytes_landed": landing.bytes,
        "product": {
            "initial_seconds": round(seconds, 1),
            "items_a_second": round(landing.order_items / seconds),
            "bytes_written_per_byte_landed": round(written / landing.bytes, 2),
            "day_seconds": statistics.median(run["seconds"] for run in increments),
            "layers": {layer: round(sum(run["layers"][layer] for run in initial), 1) for layer in LAYERS},
            "initial": initial,
            "increments": increments,
            "files": files_of(state),
        },
    }


def alternative(state: State, module: str, out: Path) -> dict[str, Any]:
    """What the alternative says of its run over everything that has landed. Raises Problem if it failed."""
    command = [sys.executable, "-m", module, str(state.landing), str(out)]
    environment = processes.clean_environment() | State.from_environment().environment()
    with subprocess.Popen(command, cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            printed, _ = running.communicate()
        except BaseException:
            # Not killed, as subprocess.run would: its Spark would be left behind.
            running.terminate()
            raise
    if running.returncode:
        raise Problem(f"{module} failed; the lines above say why.")
    return dict(json.loads(printed))


def bench_scales(main_state: State, scales: list[str], days: int, seed: str) -> Iterator[dict[str, Any]]:
    """The results as they are written, each time that there are more. A scale that fails ends the benchmark."""
    found: dict[str, Any] = {}
    results = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "landing_dates": days,
        "seed": seed,
        "scales": found,
    }
    for scale in scales:
        state = beside(main_state, main_state.root / "bench", (free_port(), free_port(), free_port()))
        ensure_secrets(state)
        reset(state)
        try:
            found[scale] = product(state, scale, days, seed)
            yield results
            outputs = {name: state.root / name for name in ALTERNATIVES}
            for name, module in ALTERNATIVES.items():
                found[scale][name] = alternative(state, module, outputs[name])
                yield results
            differing = differences(outputs["duckdb"], outputs["one_process"])
            if any(differing.values()):
                raise Problem(f"the alternatives did not do equal work; rows that differ: {differing}")
        except Problem as problem:
            print(f"scale {scale}: {problem}", file=sys.stderr)
            found.setdefault(scale, {})["failed"] = str(problem)
            yield results
            break
        finally:
            reset(state)
            for name in ALTERNATIVES:
                shutil.rmtree(state.root / name, ignore_errors=True)
