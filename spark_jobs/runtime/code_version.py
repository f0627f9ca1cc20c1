"""Which code is running."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

PACKAGES = ("gx", "spark_jobs")


@cache
def code_version() -> str:
    """Return the sha256 (hex) over the code, rules and templates by which tables are built, judged and published."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        _add(digest, package, resources.files(package))
    return digest.hexdigest()


def _add(digest: hashlib._Hash, path: str, node: Traversable) -> None:
    if node.is_dir():
        for child in sorted(node.iterdir(), key=lambda c: c.name):
            _add(digest, f"{path}/{child.name}", child)
    elif path.endswith((".py", ".json", ".yml", ".html")):
        content = node.read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
