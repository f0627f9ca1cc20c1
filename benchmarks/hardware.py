"""What measured numbers depend on: the machine and the versions of the packages."""

from __future__ import annotations

import os
import platform
import timeit
from pathlib import Path
from typing import Any

import psutil

from laptop.spark_jars import PACKAGE
from machine.state_folder import REPO

MEASURED_PACKAGES = ("apache-airflow", "apache-airflow-providers-databricks", "duckdb", "great-expectations", "pyspark")


def hardware() -> dict[str, Any]:
    """Return the machine and the versions.

    `loop_seconds` is the speed of a core at this moment: machines of one name differ by more than what one would
    measure.
    """
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "loop_seconds": _loop_seconds(),
        "memory_gb": round(psutil.virtual_memory().total / 1024**3),
        "os": platform.system(),
        "versions": {"python": platform.python_version(), "delta-spark": PACKAGE.rpartition(":")[2], **_versions()},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _loop_seconds() -> float:
    """Return seconds for ten million rounds of a plain loop, in one process of this Python; the best of three."""
    loop = "x = 0\nfor number in range(10_000_000): x += number * number % 7"
    return round(min(timeit.repeat(loop, number=1, repeat=3)), 2)


def _versions() -> dict[str, str]:
    """Return the pinned versions of the packages whose work is measured."""
    pinned = (REPO / "requirements-dev.txt").read_text(encoding="utf-8")
    lines = (line.split()[0].partition("==") for line in pinned.splitlines() if line[:1].isalpha())
    return {name: version for name, _, version in lines if name in MEASURED_PACKAGES}
