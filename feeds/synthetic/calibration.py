"""The counts of the real data set and the lists of names, as tools/calibrate.py has written them."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

PARAMETERS_FILE, NAMES_FILE = "parameters.json", "names.json"


@functools.cache
def parameters() -> dict[str, Any]:
    return _read(PARAMETERS_FILE)


@functools.cache
def names() -> dict[str, Any]:
    return _read(NAMES_FILE)


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((files(__package__) / name).read_text(encoding="utf-8"))
    return content
