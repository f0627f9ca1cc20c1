"""The compiler of row rules knows what it knows, and refuses the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spark_jobs.layers.bronze.row_rules import bronze_row_rules, compile_suite
from spark_jobs.layers.bronze.schema import NAMES
from spark_jobs.runtime.errors import UnknownExpectation

SUITE = Path(__file__).resolve().parents[3] / "gx" / "suites" / "bronze_rows.json"


def suite(**changes: Any) -> dict[str, Any]:
    expectation = {
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "order_id"},
        "meta": {"reason": "order_id is null"},
        "severity": "critical",
    }
    return {"name": "rows", "expectations": [expectation | changes]}


def test_the_suite_compiles_and_speaks_of_columns_that_exist() -> None:
    rules = bronze_row_rules()
    assert len(rules) == 26
    assert len({rule.reason for rule in rules}) == 26
    assert {column for rule in rules for column in rule.columns} <= set(NAMES)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "expect_column_values_to_match_regex"},
        {"kwargs": {"column": "order_id", "mostly": 0.9}},
        {"kwargs": {"column": "order_id", "row_condition": "x > 1"}},
        {"kwargs": {}},
        {"meta": {}},
        {"severity": "warning"},
        {"type": "expect_column_values_to_be_between"},
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "type", "value_set": []}},
        {
            "type": "expect_column_pair_values_to_be_equal",
            "kwargs": {"column_A": "a", "column_B": "b", "ignore_row_if": "never"},
        },
    ],
)
def test_what_is_not_known_is_refused(changes: dict[str, Any]) -> None:
    compile_suite(suite())
    with pytest.raises(UnknownExpectation, match="suite rows"):
        compile_suite(suite(**changes))


def test_an_empty_suite_is_refused() -> None:
    with pytest.raises(UnknownExpectation):
        compile_suite({"name": "rows", "expectations": []})


def test_great_expectations_reads_the_suite_as_it_stands() -> None:
    gx = pytest.importorskip("great_expectations")
    written = json.loads(SUITE.read_text(encoding="utf-8"))
    read = gx.ExpectationSuite(**written)
    assert len(read.expectations) == len(written["expectations"])
    assert read.to_json_dict() == written
