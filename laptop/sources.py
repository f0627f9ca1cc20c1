"""The source file of a replay, checked before anything else is done. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

from laptop.problems import Problem

SUFFIXES = (".csv", ".xz", ".gz", ".zip")


def source_from_environment() -> Path | None:
    """The file that DATA names, or None if it names none."""
    text = os.environ.get("DATA", "").strip()
    return check_source(Path(text).expanduser()) if text else None


def check_source(path: Path) -> Path:
    """Refuse a source file that is not there or of an unknown kind."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise Problem(f"the file DATA={path} {what}. The README says how to get the DataCo file.")
    if path.suffix.lower() not in SUFFIXES:
        raise Problem(f"DATA={path} must be a CSV file, plain or packed: {', '.join(SUFFIXES)}.")
    return path.absolute()
