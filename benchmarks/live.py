"""The latency of small files: the seconds from the arrival of one to gold, and one file per minute by the live DAG.

- **to gold**: after the whole real data set a file of 50 lines lands, and the job `ecommerce_medallion` is started at
  once. Measured are the seconds from the file's arrival to the end of the job run, 30 times. A file-arrival trigger or
  the live DAG adds its wait.
- **one file per minute**: the live DAG looks every minute, for MINUTES minutes. The lag of a run is that of its newest
  file; the footprints show whether anything grows.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import redirect_stdout
from dataclasses import asdict
from datetime import UTC, date, datetime
from io import StringIO
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.hardware import hardware
from benchmarks.many_days import Footprint, footprint, growth, table
from laptop.airflow_client import AirflowClient
from laptop.demo import reset
from laptop.fill_landing import replay
from laptop.landing_interval import landed_interval
from laptop.run import run_interval
from laptop.run_medallion import failures, run_job
from laptop.services import down, up, workspace_client
from laptop.spark_client import spark_session
from machine.command_line import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from laptop.laptop_state import LaptopState

FILES, LINES, SAMPLES = 30, 50, 10
LIVE_DAG = "ecommerce_medallion_live"


class Arrivals:
    """Files of the day after the last landed one, with lines of that last day."""

    def __init__(self, landing: Path) -> None:
        self.day: date = landed_interval(landing)[1].date()
        self._folder = landing / f"dt={self.day}"
        (last,) = sorted(landing.glob("dt=*/*.csv"))[-1:]
        self._header, *lines = last.read_bytes().splitlines(keepends=True)
        self._lines = cycle(lines)
        self._number = 0

    def land(self) -> None:
        """Land one more file: under a hidden name first, then renamed, as a delivery should."""
        self._folder.mkdir(exist_ok=True)
        self._number += 1
        hidden = self._folder / f".{self._number:04}.csv"
        hidden.write_bytes(b"".join([self._header, *islice(self._lines, LINES)]))
        hidden.rename(self._folder / f"{self._number:04}.csv")


def bench_live(main_state: LaptopState, data: Path, minutes: int) -> dict[str, Any]:
    """Measure both and print them; return the results as they are written. Raises UserError."""
    state = main_state.with_own_data(main_state.root / "bench")
    state.ensure_secrets()
    reset(state)
    os.environ["LAKEHOUSE_LIVE_SCHEDULE"] = "* * * * *"
    try:
        replay(state, data, state.landing)
        up(state)
        if not run_interval(state, *landed_interval(state.landing), "make bench, everything").succeeded:
            raise UserError(f"the first load failed, so there is nothing to measure; the logs are in {state.logs}.")
        arrivals = Arrivals(state.landing)
        to_gold = [_to_gold(state, arrivals) for _ in range(FILES)]
        samples = _a_file_a_minute(state, arrivals, minutes) if minutes else []
        with spark_session(state) as spark:
            layers = "bronze_seconds, silver_seconds, gold_seconds"
            rows = spark.sql(f"SELECT lag_seconds, {layers} FROM ops.runs ORDER BY published_at").collect()  # noqa: S608
            columns = "lines, lines_per_second, bytes_per_second"
            (newest,) = spark.sql(f"SELECT {columns} FROM ops.runs ORDER BY published_at DESC LIMIT 1").collect()  # noqa: S608
    finally:
        down(state)
    reset(state)
    lags = [float(row["lag_seconds"]) for row in rows[FILES:]]
    results = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": hardware(),
        "to_gold_seconds": [round(seconds, 1) for seconds in to_gold],
        "layer_seconds": {
            layer: statistics.median(float(row[f"{layer}_seconds"]) for row in rows)
            for layer in ("bronze", "silver", "gold")
        },
        "minutes": minutes,
        "lag_seconds": lags,
        "newest_run": {name: float(value) for name, value in newest.asDict().items()},
        "samples": [asdict(one) for one in samples],
        "grew": growth(samples[0], samples[-1]) if samples else [],
    }
    for line in summary(results):
        Console().print(line)
    return results


def _to_gold(state: LaptopState, arrivals: Arrivals) -> float:
    client = workspace_client(state)
    arrivals.land()
    begun = time.perf_counter()
    with redirect_stdout(StringIO()):
        run = run_job(client, {"open_from": str(arrivals.day)})
    if run["state"]["result_state"] != "SUCCESS":
        raise UserError(f"the run of a new file failed: {'; '.join(failures(client, run))}")
    return time.perf_counter() - begun


def _a_file_a_minute(state: LaptopState, arrivals: Arrivals, minutes: int) -> list[Footprint]:
    """Land a file each minute; return what the services hold as time goes on. Raises UserError for a backlog."""
    AirflowClient(state).unpause(LIVE_DAG)
    samples, every = [], max(1, minutes // SAMPLES)
    for minute in range(1, minutes + 1):
        due = time.monotonic() + 60
        arrivals.land()
        if minute % every == 0:
            samples.append(footprint(state, minute))
            Console().print(table(samples))
        time.sleep(max(0.0, due - time.monotonic()))
    landed = len(list((state.landing / f"dt={arrivals.day}").glob("*.csv")))
    query = f"SELECT count(*) FROM bronze.landed_files WHERE landing_date = DATE'{arrivals.day}'"  # noqa: S608
    with spark_session(state) as spark:
        deadline = time.monotonic() + 180
        while (published := spark.sql(query).collect()[0][0]) < landed:
            if time.monotonic() > deadline:
                raise UserError(
                    f"three minutes after the last one {landed - published} of {landed} files are not published."
                )
            time.sleep(5)
    return samples


def summary(results: dict[str, Any]) -> list[str]:
    """Return the figures as rows of a Markdown table."""
    layers = ", ".join(f"{name} {seconds:.1f}" for name, seconds in results["layer_seconds"].items())
    lines = [
        "| | median, s | worst, s |",
        "|---|---|---|",
        _row(f"from the arrival of a file of {LINES} lines to gold", results["to_gold_seconds"]),
    ]
    if results["lag_seconds"]:
        lines.append(_row("the same by the live DAG, one file per minute", results["lag_seconds"]))
    grown = "; ".join(results["grew"]) or "nothing has grown"
    return [*lines, "", f"Median seconds by layer: {layers}. After {results['minutes']} minutes: {grown}."]


def _row(what: str, seconds: list[float]) -> str:
    return f"| {what} | {statistics.median(seconds):.1f} | {max(seconds):.1f} |"
