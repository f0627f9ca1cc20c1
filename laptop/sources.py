"""The source file of a replay, checked before anything else is done. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

from machine.command_line import UserError
from machine.state_folder import REPO

SUFFIXES = (".csv", ".xz", ".gz", ".zip")


def source_from_environment() -> Path | None:
    """Return the file that DATA names, or None if it names none. Raises UserError."""
    text = os.environ.get("DATA", "").strip()
    return check_source(Path(text).expanduser()) if text else None


def check_source(path: Path) -> Path:
    """Return the absolute path of a source file. Raises UserError where it does not exist, or is of an unknown kind."""
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"the file DATA={path} {problem}. docs/local-workspace.md says how to get the DataCo file.")
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"DATA={path} must be a CSV file, plain or packed: {', '.join(SUFFIXES)}.")
    return path.absolute()


def dataco_file() -> Path:
    """Return the file in which tests and benchmarks look for the real data set: LAKEHOUSE_DATA, or beside the
    repository."""
    usual = REPO.parent / "shared" / "data" / "DataCoSupplyChainDataset.csv.xz"
    return Path(os.environ.get("LAKEHOUSE_DATA") or usual).expanduser()
