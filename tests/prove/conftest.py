"""PROVE_MINUTES is shared by the proofs that were asked for and that last as long as one likes."""

from __future__ import annotations

import pytest

from tests.prove import budget


def pytest_collection_finish(session: pytest.Session) -> None:
    timed = sum(1 for item in session.items if item.get_closest_marker("timed"))
    budget.share_among(max(1, timed))
