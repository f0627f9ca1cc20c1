"""Names: no two modules have one name, and no variable has one that docs/glossary.md refuses."""

from __future__ import annotations

import ast
import subprocess
from collections import defaultdict
from pathlib import PurePath

from machine.state_folder import REPO

SHARED = {"__init__.py", "__main__.py"}
REFUSED = {"said", "told", "there", "of", "at_once", "standing"}


def modules() -> list[str]:
    """Return the paths of all modules."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    return [path for path in listed.splitlines() if (REPO / path).exists()]


def test_every_module_has_its_own_name() -> None:
    """A name in a traceback or a search means one file, and a generated copy of it."""
    paths: dict[str, list[str]] = defaultdict(list)
    for path in (path for path in modules() if not path.startswith("tests/")):
        if not (REPO / path).read_text(encoding="utf-8").startswith("# Generated:"):
            paths[PurePath(path).name].append(path)
    assert len(paths) > 100
    assert {name: found for name, found in paths.items() if len(found) > 1 and name not in SHARED} == {}


def test_variables_are_named_by_nouns() -> None:
    found = [
        f"{path}, line {node.lineno}: {name}"
        for path in modules()
        for node in ast.walk(ast.parse((REPO / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.Name | ast.arg)
        and (name := node.arg if isinstance(node, ast.arg) else node.id) in REFUSED
    ]
    assert found == []
