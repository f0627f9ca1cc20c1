"""One day of files, and what bronze makes of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.spark.bronze.conftest import run_bronze

DAY = "2018-01-01"


def deliver(landing: Path, files: Mapping[str, bytes]) -> None:
    folder = landing / f"dt={DAY}"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def by_file(rows: list[Any]) -> dict[str, list[Any]]:
    """Landed lines, by the name of their file."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.source_file.removeprefix(f"dt={DAY}/")].append(row)
    return found


def bronze(spark: Any, landing: Path, files: Mapping[str, bytes], encoding: str) -> dict[str, list[Any]]:
    """Bronze as a function, without a build around it."""
    deliver(landing, files)
    return by_file(run_bronze(spark, landing, encoding)[0].collect())
