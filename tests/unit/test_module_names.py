"""No two modules have one name: a name in a traceback or a search means one file."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import PurePath

from machine.state_folder import REPO

SHARED = {"__init__.py", "__main__.py"}


def test_every_module_has_a_name_of_its_own() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    paths: dict[str, list[str]] = defaultdict(list)
    for path in listed.splitlines():
        if not path.startswith("tests/") and (REPO / path).exists():
            paths[PurePath(path).name].append(path)
    assert len(paths) > 100
    assert {name: found for name, found in paths.items() if len(found) > 1 and name not in SHARED} == {}
