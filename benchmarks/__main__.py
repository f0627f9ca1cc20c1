"""`make bench DATA=...` measures the full data set and one more day; `make bench SCALES=1,10` more history.

`make bench ARGS=day` measures one more day beside the least that it could be, and `make bench ARGS=days DAYS=200` what
grows with the days. `make bench ARGS=live MINUTES=60` measures how long a small file takes to gold, and
`make bench ARGS=pipeline` the declarative pipeline beside the jobs. All run in a separate state folder below the main
one, with other ports, so they touch nobody's data.

`make bench ARGS=anomalies` measures on synthetic feeds how often the bands of metrics are wrong; with DATA it lists the
anomalies of that file instead. It starts nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.full_run import bench_full_run
from benchmarks.many_days import bench_many_days
from benchmarks.side_by_side import bench_side_by_side
from laptop.laptop_state import LaptopState
from laptop.sources import check_source, dataco_file, source_from_environment
from machine.command_line import UserError, run_command
from machine.state_folder import REPO

RESULTS = REPO / "bench"
DATACO_DAYS = "1127"
"""As many days as the real data set has."""


def main() -> int:
    state = LaptopState.from_environment()
    if scales := [scale for scale in os.environ.get("SCALES", "").replace(" ", "").split(",") if scale]:
        return _bench_scales(state, scales)
    match os.environ.get("ARGS", "").split():
        case ["day"]:
            # Compares with alternatives, which only the development environment has.
            from benchmarks.day import bench_day

            print(f"Written to {_write(bench_day(state, _source())).relative_to(REPO)}.")
            return 0
        case ["days"]:
            results = bench_many_days(state, _source(), _number("DAYS", "200", 1))
            print(f"Written to {_write(results).relative_to(REPO)}.")
            print("\n".join(["Grown:", *results["grew"]]) if results["grew"] else "Nothing has grown.")
            return 1 if results["grew"] else 0
        case ["live"]:
            from benchmarks.live import bench_live

            results = bench_live(state, _source(), _number("MINUTES", "60"))
            print(f"Written to {_write(results).relative_to(REPO)}.")
            return 1 if results["grew"] else 0
        case ["pipeline"]:
            results = bench_side_by_side(state, _source())
            print(f"Written to {_write(results).relative_to(REPO)}.")
            return 1 if any(step["different_tables"] for step in results["steps"]) else 0
        case ["anomalies"]:
            from benchmarks.anomaly_rates import anomalies_of_file, bench_anomalies

            if data := source_from_environment():
                print("\n".join(one.message for one in anomalies_of_file(data)))
            else:
                print(f"Written to {_write(bench_anomalies()).relative_to(REPO)}.")
            return 0
        case [_, *_]:
            raise UserError("give ARGS=day, ARGS=days, ARGS=live, ARGS=pipeline or ARGS=anomalies, or none.")
    print(f"Written to {_write(bench_full_run(state, _source())).relative_to(REPO)}.")
    return 0


def _bench_scales(state: LaptopState, scales: list[str]) -> int:
    """Write results and plot as soon as there are any, since the whole may take hours. Return the exit code."""
    # Only these need the development environment.
    from benchmarks.plot import plot
    from benchmarks.scales import bench_scales

    days = _number("DAYS", DATACO_DAYS, 1)
    failed = False
    for results in bench_scales(state, scales, days, os.environ.get("SEED") or "7"):
        path = _write(results)
        plot(results, RESULTS / "benchmark.svg")
        print(f"Written to {path.relative_to(REPO)}.")
        failed = any("failed" in measured for measured in results["scales"].values())
    return 1 if failed else 0


def _number(name: str, default: str, least: int = 0) -> int:
    text = os.environ.get(name) or default
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise UserError(f"{name}={text} is not a number of {name.lower()}.")
    return int(text)


def _source() -> Path:
    if data := source_from_environment():
        return data
    if dataco_file().exists():
        return check_source(dataco_file())
    raise UserError(
        "name the data set: make bench DATA=path/to/DataCoSupplyChainDataset.csv, or LAKEHOUSE_DATA once for all "
        "(docs/local-workspace.md says where it is from)"
    )


def _write(results: dict[str, Any]) -> Path:
    """Write results to a file named by the time of the measurement; return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"results-{results['measured_at'][:19].replace(':', '')}.json"
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(run_command(main))
