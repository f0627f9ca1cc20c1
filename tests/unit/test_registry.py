"""The registry of tables: every specification is complete and agrees with the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spark_jobs.layers.registry import TABLES, tables_of
from spark_jobs.runtime.table_names import LAYERS
from spark_jobs.tables.spec import TableSpec, Write

SPECS = list(TABLES.values())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_specification_is_complete(spec: TableSpec) -> None:
    assert all(field.metadata["comment"] for field in spec.schema.fields)
    assert len(set(spec.columns)) == len(spec.columns)
    assert spec.comment
    assert spec.grain.startswith("one row per ")
    assert spec.statistics_columns
    assert spec.natural_key
    assert (spec.merge_key is None) == (spec.write is Write.REPLACE_DATES)
    assert (spec.derive is None) == (not spec.staged_from)


def test_a_table_comes_after_those_that_it_is_staged_from() -> None:
    names = list(TABLES)
    for spec in SPECS:
        assert all(names.index(source) < names.index(spec.name) for source in spec.staged_from)


def test_every_layer_has_tables() -> None:
    assert [spec.name for layer in LAYERS for spec in tables_of(layer)] == list(TABLES)


def test_a_specification_names_columns_of_its_own() -> None:
    with pytest.raises(ValueError, match=r"gold\.products360 has no column nothing"):
        replace(TABLES["gold.products360"], statistics_columns=("nothing",))
