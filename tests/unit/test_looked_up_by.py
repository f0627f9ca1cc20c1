"""The statistics columns of the published tables."""

from __future__ import annotations

import pytest

from spark_jobs.layers.registry import LOOKED_UP_BY, SCHEMAS


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_a_table_is_looked_up_by_columns_of_its_own(table: str) -> None:
    assert LOOKED_UP_BY[table]
    assert set(LOOKED_UP_BY[table]) <= set(SCHEMAS[table].names)
