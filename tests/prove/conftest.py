"""PROVE_MINUTES is shared by the proofs that were asked for and that last as long as one likes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.prove import budget

_TESTS_OF = pytest.StashKey[Counter[Any]]()


def _proof(item: pytest.Item) -> Any:
    """A proof is a function, however many tests its parameters make of it."""
    return item.path, getattr(item, "originalname", item.name)


def pytest_collection_finish(session: pytest.Session) -> None:
    timed = Counter(_proof(item) for item in session.items if item.get_closest_marker("timed"))
    session.config.stash[_TESTS_OF] = timed


def pytest_runtest_setup(item: pytest.Item) -> None:
    timed = item.config.stash[_TESTS_OF]
    budget.share_among(max(1, len(timed) * timed[_proof(item)]))
