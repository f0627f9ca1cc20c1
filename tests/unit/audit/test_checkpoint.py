"""The checkpoint fails closed, limits are per landing date, and nothing private leaves (design, sections 2, 5, 8)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spark_jobs.quality import suites
from spark_jobs.quality.checkpoint import AuditResult, run_checkpoint


def frame(**columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=object)


def between(column: str, low: Any, high: Any, severity: str = "critical") -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": column, "min_value": low, "max_value": high},
        "meta": {"rule": "a rule"},
        "severity": severity,
    }


class Gx:
    """A gx folder of the test's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "checkpoints").mkdir()
        (root / "suites").mkdir()

    def checkpoint(self, validations: list[Any], parameters: dict[str, Any] | None = None) -> None:
        content = {"name": "bronze", "parameters": parameters or {}, "validations": validations}
        (self.root / "checkpoints" / "bronze.json").write_text(json.dumps(content))

    def suite(self, name: str, *expectations: dict[str, Any]) -> None:
        content = {"name": name, "expectations": list(expectations), "meta": {}, "notes": None}
        (self.root / "suites" / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture
def gx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gx:
    own = Gx(tmp_path)
    monkeypatch.setattr(suites, "files", lambda _: tmp_path)
    own.checkpoint([{"asset": "numbers", "suites": ["s"]}])
    own.suite("s", between("n", 0, 5))
    return own


def failure(result: AuditResult) -> str:
    assert not result.success
    assert result.statistics.failed >= 1
    return " | ".join(finding.message for finding in result.failures)


NUMBERS = frame(n=[1, 2])


def test_met(gx: Gx) -> None:
    result = run_checkpoint("bronze", {"numbers": NUMBERS})
    assert result.success
    assert (result.statistics.evaluated, result.statistics.successful) == (1, 1)


def test_no_rows_are_a_success(gx: Gx) -> None:
    assert run_checkpoint("bronze", {"numbers": frame(n=[])}).success


def test_unmet_is_told_per_landing_date(gx: Gx) -> None:
    rows = frame(n=[9, 1, 7, 8], landing_date=["2018-01-02", "2018-01-01", "2018-01-01", "2018-01-02"])
    result = run_checkpoint("bronze", {"numbers": rows})
    told = [(f.landing_date, f.unexpected_count, f.column) for f in result.failures]
    assert told == [("2018-01-01", 1, "n"), ("2018-01-02", 2, "n")]
    assert "2018-01-02: 2 row(s), e.g. n 9; n 8" in result.failures[1].message
    assert result.statistics.failed == 1


def test_a_warning_passes_and_is_told(gx: Gx) -> None:
    gx.suite("s", between("n", 0, 1, "warning"), between("n", 0, 5))
    result = run_checkpoint("bronze", {"numbers": NUMBERS})
    assert result.success
    assert [w.severity for w in result.warnings] == ["warning"]
    assert (result.statistics.failed, result.statistics.warnings, result.statistics.successful) == (0, 1, 1)


def test_empty_suite(gx: Gx) -> None:
    gx.suite("s")
    assert "s.json holds no expectation" in failure(run_checkpoint("bronze", {"numbers": NUMBERS}))


def test_deleted_suite(gx: Gx) -> None:
    (gx.root / "suites" / "s.json").unlink()
    assert "gx/suites/s.json is missing" in failure(run_checkpoint("bronze", {"numbers": NUMBERS}))


def test_deleted_checkpoint(gx: Gx) -> None:
    (gx.root / "checkpoints" / "bronze.json").unlink()
    assert "gx/checkpoints/bronze.json is missing" in failure(run_checkpoint("bronze", {"numbers": NUMBERS}))


def test_empty_checkpoint(gx: Gx) -> None:
    gx.checkpoint([])
    assert "has no validations" in failure(run_checkpoint("bronze", {}))


def test_broken_json(gx: Gx) -> None:
    (gx.root / "suites" / "s.json").write_text("{")
    assert "is not JSON" in failure(run_checkpoint("bronze", {"numbers": NUMBERS}))


def test_no_suite_named(gx: Gx) -> None:
    gx.checkpoint([{"asset": "numbers", "suites": []}])
    assert "names no suite" in failure(run_checkpoint("bronze", {"numbers": NUMBERS}))


def test_unknown_type(gx: Gx) -> None:
    gx.suite("s", between("n", 0, 5), {**between("n", 0, 5), "type": "expect_column_values_to_be_nice"})
    result = run_checkpoint("bronze", {"numbers": NUMBERS})
    assert "knows no expect_column_values_to_be_nice" in failure(result)


def test_refused_arguments(gx: Gx) -> None:
    gx.suite("s", {**between("n", 0, 5), "kwargs": {"columm": "n"}})
    assert "does not load" in failure(run_checkpoint("bronze", {"numbers": NUMBERS}))


def test_no_severity(gx: Gx) -> None:
    unsaid = between("n", 0, 5)
    del unsaid["severity"]
    gx.suite("s", unsaid)
    assert "has no severity" in failure(run_checkpoint("bronze", {"numbers": NUMBERS}))


def test_asset_without_suite(gx: Gx) -> None:
    result = run_checkpoint("bronze", {"numbers": NUMBERS, "others": NUMBERS})
    assert "others: gx/checkpoints/bronze.json has no suite" in failure(result)


def test_suite_without_asset(gx: Gx) -> None:
    assert "nothing to judge" in failure(run_checkpoint("bronze", {}))


def test_missing_column_blocks_even_as_a_warning(gx: Gx) -> None:
    gx.suite("s", between("gone", 0, 5, "warning"))
    result = run_checkpoint("bronze", {"numbers": NUMBERS})
    assert "could not be evaluated" in failure(result)
    assert result.failures[0].column == "gone"


def test_raised(gx: Gx) -> None:
    result = run_checkpoint("bronze", {"numbers": frame(n=["x", 1])})
    assert "could not be evaluated" in failure(result)


def test_unresolved_parameter(gx: Gx) -> None:
    gx.suite("s", between("n", 0, {"$PARAMETER": "most"}))
    result = run_checkpoint("bronze", {"numbers": NUMBERS})
    assert "suite parameters of s have no value: most" in failure(result)
    assert run_checkpoint("bronze", {"numbers": NUMBERS}, {"most": 2}).success
    assert not run_checkpoint("bronze", {"numbers": NUMBERS}, {"most": 1}).success


def test_private_values_stay(gx: Gx) -> None:
    gx.checkpoint([{"asset": "people", "suites": ["p"]}])
    regex = {"column": "customer_email", "regex": "^[0-9a-f]{64}$"}
    gx.suite(
        "p",
        {"type": "expect_column_values_to_match_regex", "kwargs": regex, "meta": {}, "severity": "critical"},
        between("n", 0, 5),
    )
    rows = frame(customer_email=["ann@x.example"], customer_street=["High Street"], n=[9], order_item_id=[17])
    result = run_checkpoint("bronze", {"people": rows})
    assert len(result.failures) == 2
    everything = repr(result.failures) + repr([j.result.to_json_dict() for j in result.judgements])
    assert "ann@x" not in everything
    assert "High Street" not in everything
    assert "order_item_id 17" in result.failures[0].message


def landing_date(day: int, landed: int, quarantined: int, **other: Any) -> dict[str, Any]:
    return {
        "landing_date": f"2018-01-{day:02}",
        "landed": landed,
        "valid": landed - quarantined,
        "quarantined": quarantined,
        "quarantined_share": round(quarantined / landed, 6),
        "inside_interval": True,
        "landed_without_rows": landed == quarantined,
        **other,
    }


def test_the_limits_of_a_landing_date() -> None:
    """The project's own suite: 5 % at 100 lines and more, 5 lines below, on any one date."""
    dates = [
        landing_date(1, 10_000, 0),
        landing_date(2, 100, 5),  # at the limit
        landing_date(3, 100, 6),  # over it
        landing_date(4, 99, 5),
        landing_date(5, 99, 6),
        landing_date(6, 3, 3),  # few, and yet nothing is left
        landing_date(7, 100, 0, inside_interval=False),
        landing_date(8, 100_000, 5_001),
    ]
    result = run_checkpoint("bronze", {"landing_dates": pd.DataFrame(dates, dtype=object)})
    told = sorted((f.landing_date, f.column) for f in result.failures if f.asset == "landing_dates")
    assert told == [
        ("2018-01-03", "quarantined_share"),
        ("2018-01-05", "quarantined"),
        ("2018-01-06", "landed_without_rows"),
        ("2018-01-07", "inside_interval"),
        ("2018-01-08", "quarantined_share"),
    ]


def test_the_limits_are_parameters() -> None:
    dates = pd.DataFrame([landing_date(1, 100, 3), landing_date(2, 99, 6)], dtype=object)
    loose = {"max_quarantined_share": 0.03, "max_quarantined_lines": 6}
    result = run_checkpoint("bronze", {"landing_dates": dates}, loose)
    assert [f for f in result.failures if f.asset == "landing_dates"] == []
    assert result.parameters == loose
    result = run_checkpoint("bronze", {"landing_dates": dates}, {**loose, "max_quarantined_share": 0.029})
    assert [f.landing_date for f in result.failures if f.asset == "landing_dates"] == ["2018-01-01"]


def test_conservation_names_date_and_file() -> None:
    rows = frame(
        landing_date=["2018-01-03"],
        source_file=["dt=2018-01-03/orders.csv"],
        landed=[100],
        valid=[98],
        quarantined=[1],
        difference=[1],
    )
    result = run_checkpoint("bronze", {"conservation": rows})
    (found,) = [f for f in result.failures if f.column == "difference"]
    assert found.message == (
        "conservation: difference must be between 0 and 0 (landed = valid + quarantined) — 2018-01-03: 1 row(s),"
        " e.g. dt=2018-01-03/orders.csv: difference 1, landed 100, valid 98, quarantined 1"
    )
