"""The picture of the benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.plot import plot

RESULTS: dict[str, Any] = {
    "scales": {
        "10": {
            "order_items": 1_805_190,
            "product": {"initial_seconds": 901, "day_seconds": 41},
            "one_process": {"total_seconds": 377},
            "duckdb": None,
        },
        "1": {
            "order_items": 180_519,
            "product": {"initial_seconds": 171, "day_seconds": 37, "layers": {"bronze": 60}},
            "duckdb": {"total_seconds": 13},
        },
        "50": {"order_items": 9_025_950},
    }
}


def test_equal_results_make_equal_bytes_and_missing_ones_are_left_out(tmp_path: Path) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    plot(RESULTS, first)
    plot(RESULTS, second)
    assert first.read_bytes() == second.read_bytes()
    texts = [
        "".join(node.itertext()) for node in ElementTree.parse(first).getroot().iter() if node.tag.endswith("text")
    ]
    assert {"171", "901", "377", "13", "37", "41"} < set(texts)
    assert {"this product", "one Spark process", "DuckDB", "181 thousand", "1,805 thousand"} < set(texts)
    assert "9,026 thousand" not in texts


def test_without_any_figure_the_picture_is_empty(tmp_path: Path) -> None:
    plot({"scales": {}}, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().count("<svg") == 1
