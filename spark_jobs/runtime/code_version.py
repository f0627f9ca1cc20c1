"""Which code is running."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

PACKAGES = ("gx", "spark_jobs")


@cache
def code_version() -> str:
    """sha256 (hex) over the packages' Python and JSON files, so that it tells apart any two wheels."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        _add(digest, package, resources.files(package))
    return digest.hexdigest()


def _add(digest: hashlib._Hash, path: str, node: Traversable) -> None:
    if node.is_dir():
        for child in sorted(node.iterdir(), key=lambda c: c.name):
            _add(digest, f"{path}/{child.name}", child)
    elif path.endswith((".py", ".json")):
        content = node.read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
