"""Memory of all processes of a state folder's services, and the bytes that Spark wrote, while something runs."""

from __future__ import annotations

import json
import threading
from collections import defaultdict

import psutil

from laptop import supervisor
from laptop.laptop_state import LaptopState
from laptop.service_processes import is_job_task, recorded_services


class ResourceMonitor:
    """Samples once a second while its block runs. MB are 10^6 bytes.

    `peak_memory_mb` has the peak of each service by its name; the processes of job tasks count as one, `job task`, and
    `all` is the peak of all together at one moment. Memory that processes share counts once: of each its share (PSS).
    """

    def __init__(self, state: LaptopState) -> None:
        self._state = state
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_memory_mb: dict[str, float] = defaultdict(float)

    def __enter__(self) -> ResourceMonitor:
        self._spark = psutil.Process(json.loads((self._state.pids / "spark.json").read_text())["pid"])
        self._written = self._spark.io_counters().write_bytes
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def spark_bytes_written(self) -> int:
        """Return how many bytes Spark has written since the block began, shuffles included."""
        return int(self._spark.io_counters().write_bytes - self._written)

    def _sample(self) -> None:
        while not self._done.wait(1):
            now: dict[str, float] = defaultdict(float)
            for service in recorded_services(self._state):
                try:
                    leader = psutil.Process(service.pid)
                    # The supervisor is the parent of the other services.
                    children = [] if service.name == supervisor.NAME else leader.children(recursive=True)
                    for process in (leader, *children):
                        name = "spark" if process.pid == self._spark.pid else service.name
                        if is_job_task(process):
                            name = "job task"
                        now[name] += self._memory(process) / 1e6
                except psutil.Error:  # it has ended
                    continue
            now["all"] = sum(now.values())
            for name, memory in now.items():
                self.peak_memory_mb[name] = max(self.peak_memory_mb[name], round(memory))

    def _memory(self, process: psutil.Process) -> int:
        if process.pid == self._spark.pid:
            return int(process.memory_info().rss)  # shares nothing, and the share of gigabytes takes long to count
        return int(process.memory_full_info().pss)


def peaks(monitor: ResourceMonitor) -> str:
    """Return the peaks in one line, for a terminal."""
    each = dict(sorted(monitor.peak_memory_mb.items()))
    together = each.pop("all", 0)
    parts = ", ".join(f"{name} {memory:,.0f}" for name, memory in each.items())
    return f"Peak memory of all processes together: {together:,.0f} MB; of each: {parts}."
