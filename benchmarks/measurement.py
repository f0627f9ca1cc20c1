"""Seconds of each step, peak memory of the process tree, and bytes written: the same for every alternative."""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from machine.command_line import run_command

_INTERVAL = 0.1


@dataclass
class Measurement:
    """What one run took. `with measurement:` around all of it, `with measurement.step(name):` around each part.

    Memory is the resident memory of this process and of its descendants, sampled ten times a second; memory that
    processes share counts for each of them.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    total_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    _done: threading.Event = field(default_factory=threading.Event)
    _sampler: threading.Thread | None = None
    _started: float = 0.0

    def __enter__(self) -> Measurement:
        self._started = time.perf_counter()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.total_seconds = round(time.perf_counter() - self._started, 3)
        self._done.set()
        if self._sampler:
            self._sampler.join()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Record the seconds of the block, even if it fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - started, 3)

    def _sample(self) -> None:
        while True:
            self.peak_memory_mb = max(self.peak_memory_mb, round(_tree_memory() / 1e6, 1))
            if self._done.wait(_INTERVAL):
                return

    def report(self, tool: str, version: str, rows_landed: int, out: Path) -> dict[str, Any]:
        """Return the result of a run, as it is printed and kept. MB are 1,000,000 bytes."""
        return {
            "tool": tool,
            "version": version,
            "rows_landed": rows_landed,
            "seconds": self.seconds,
            "total_seconds": self.total_seconds,
            "peak_memory_mb": self.peak_memory_mb,
            "bytes_written": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        }


def _tree_memory() -> int:
    """Return bytes of resident memory of this process and its descendants."""
    own = psutil.Process()
    total = 0
    for process in (own, *own.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it has ended
            continue
    return total


def command_line(run: Callable[[Path, Path], dict[str, Any]], description: str, *refusals: type[Exception]) -> int:
    """Run `python -m benchmarks.... LANDING OUT`: print the result of `run` as one JSON object, and return the exit
    code.

    For exceptions of the kinds `refusals`, and those of empty_folder and order_files, only the message is printed;
    the exit code is then 2.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("landing", type=Path, help="the landing root, which holds dt=YYYY-MM-DD/*.csv")
    parser.add_argument("out", type=Path, help="a folder for the tables, new or empty")
    options = parser.parse_args()
    known: tuple[type[Exception], ...] = (FileNotFoundError, FileExistsError, *refusals)

    def measured() -> int:
        try:
            result = run(options.landing, options.out)
        except known as error:
            parser.error(str(error))
        print(json.dumps(result))
        return 0

    return run_command(measured)


def empty_folder(out: Path) -> Path:
    """Make the folder if it is missing, and return it. Raises FileExistsError where it is not empty."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: name a new folder for the tables")
    return out.resolve()


def order_files(landing: Path) -> list[Path]:
    """Return the order files below the landing root, sorted by path. Raises FileNotFoundError where there is none."""
    files = sorted(landing.glob("dt=*/*.csv"))
    if not files:
        raise FileNotFoundError(f"{landing} holds no dt=YYYY-MM-DD/*.csv: name the landing root")
    return files
