"""The boundary to the Airflow side: include/published_tables.json lists exactly the tables of the registry."""

from __future__ import annotations

import json
from pathlib import Path

from spark_jobs.tables.names import LAYER_TABLES
from tools.generate_published_tables import FILE, is_current


def test_the_airflow_side_lists_the_tables_of_the_registry() -> None:
    layers = json.loads(FILE.read_text(encoding="utf-8"))
    assert {layer: [f"{layer}.{name}" for name in names] for layer, names in layers.items()} == {
        layer: list(tables) for layer, tables in LAYER_TABLES.items()
    }
    assert is_current(), "run `python -m tools.generate_published_tables`"


def test_the_check_finds_a_missing_and_a_stale_file(tmp_path: Path) -> None:
    stale = tmp_path / FILE.name
    assert not is_current(stale)
    stale.write_text(FILE.read_text(encoding="utf-8").replace("quarantine", "rejects"), encoding="utf-8")
    assert not is_current(stale)
