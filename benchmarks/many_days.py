"""Many days in a row: whether Spark's heap, the workspace and the open files of both grow with them.

Every tenth part of the days is a sample. The first one, when everything has been used, is what the last one is compared
with.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.full_run import deliver_again
from benchmarks.hardware import hardware
from laptop.demo import reset
from laptop.fill_landing import replay
from laptop.landing_interval import landed_interval
from laptop.laptop_state import LaptopState
from laptop.run import run_interval
from laptop.service_processes import recorded_services
from laptop.services import down, up
from machine.command_line import UserError
from machine.java import find_java_home

SAMPLES = 10
MOST_GROWTH, MOST_MORE = 1.10, 10
"""What counts as growth: over this ratio of megabytes, or by more than this number of files or threads."""


@dataclass(frozen=True)
class Footprint:
    """What Spark and the workspace hold after some days. MB are 10^6 bytes."""

    days: int
    spark_heap_mb: float
    """Used after a collection."""
    spark_files: int
    spark_threads: int
    workspace_mb: float
    workspace_files: int
    workspace_threads: int
    fork_server_files: int


def bench_many_days(main_state: LaptopState, data: Path, days: int) -> dict[str, Any]:
    """Run everything, and then one day after another; return the samples and what grew. Raises UserError."""
    state = main_state.with_own_data(main_state.root / "bench")
    state.ensure_secrets()
    reset(state)
    found: list[Footprint] = []
    every = max(1, days // SAMPLES)
    try:
        replay(state, data, state.landing)
        up(state)
        start, end = landed_interval(state.landing)
        for number in range(days + 1):
            result = run_interval(state, start, end, f"make bench, day {number} of {days}")
            if not result.succeeded:
                raise UserError(f"day {number} failed; the logs are in {state.logs}.")
            if number and number % every == 0:
                found.append(footprint(state, number))
                Console().print(table(found))
            start, end = end, end + timedelta(days=1)
            deliver_again(state.landing, start.date())
    finally:
        down(state)
    reset(state)
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": hardware(),
        "samples": [asdict(one) for one in found],
        "grew": growth(found[0], found[-1]),
    }


def footprint(state: LaptopState, days: int) -> Footprint:
    """Measure the running services. Raises UserError where Java has no jcmd."""
    spark = psutil.Process(json.loads((state.pids / "spark.json").read_text())["pid"])
    workspace = next(psutil.Process(one.pid) for one in recorded_services(state) if one.name == "workspace")
    fork_server = next((one for one in workspace.children() if one.pid != spark.pid), workspace)
    return Footprint(
        days,
        used_heap_mb(state, spark.pid),
        spark.num_fds(),
        spark.num_threads(),
        round(workspace.memory_full_info().uss / 1e6, 1),
        workspace.num_fds(),
        workspace.num_threads(),
        fork_server.num_fds(),
    )


def used_heap_mb(state: LaptopState, pid: int) -> float:
    """Collect the garbage of a Java process and return how much of its heap is used then."""
    jcmd = find_java_home(state.root) / "bin" / "jcmd"
    if not jcmd.exists():
        raise UserError(f"there is no {jcmd}: a JDK has it, a JRE has not. Name a JDK by LAKEHOUSE_JAVA_HOME.")
    for command in ("GC.run", "GC.heap_info"):
        done = subprocess.run([str(jcmd), str(pid), command], capture_output=True, text=True, check=True)
    return heap_used(done.stdout)


def heap_used(info: str) -> float:
    """Return the megabytes that the generations of `GC.heap_info` use, without the metaspace, which is not heap."""
    heap = info.partition("Metaspace")[0]
    return round(sum(int(used) for used in re.findall(r"Gen\s+total \d+K, used (\d+)K", heap)) * 1024 / 1e6, 1)


def growth(first: Footprint, last: Footprint) -> list[str]:
    """Name what is larger in the last sample than it may be."""
    grew = []
    for name, before in asdict(first).items():
        now = asdict(last)[name]
        most = before * MOST_GROWTH if name.endswith("_mb") else before + MOST_MORE
        if name != "days" and now > most:
            grew.append(f"{name}: {before} after {first.days} days, {now} after {last.days}")
    return grew


def table(samples: list[Footprint]) -> Table:
    """Return the samples, for a terminal."""
    shown = Table(box=SIMPLE_HEAD)
    for name in asdict(samples[0]):
        shown.add_column(name.replace("_", " "), justify="right")
    for one in samples:
        shown.add_row(*map(str, asdict(one).values()))
    return shown
