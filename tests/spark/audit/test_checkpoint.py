"""The checkpoint judges by the rules that it finds, tells what is bad by landing date, and fails closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from ruamel.yaml import YAML

from spark_jobs.quality.checkpoint import AuditResult, run_checkpoint

NUMBERS = "n INT, landing_date STRING, customer_zipcode STRING"
SQL = "SELECT n, landing_date, customer_zipcode FROM numbers"


class Rules:
    """A gx folder of the test's own, with rules about gold.numbers."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self._spark = spark
        self._folder = folder
        (folder / "rules").mkdir()
        self.evidence: dict[str, Any] = {}
        self.rules: list[dict[str, Any]] = []
        self.parameters: dict[str, Any] = {}

    def rule(self, name: str, fails_when: str, sql: str = SQL, severity: str = "critical", **evidence: Any) -> None:
        """One rule with its own evidence."""
        self.evidence[name] = {"grain": "one row per number", "samples": ["landing_date", "n"], "sql": sql, **evidence}
        text = {"says": f"The rule {name} holds.", "severity": severity, "fails_when": fails_when}
        self.rules.append({"name": name, "evidence": name, **text})

    def judge(self, *rows: tuple[Any, ...], table: str = "gold.numbers", **settings: Any) -> AuditResult:
        content = {
            "table": "gold.numbers",
            "about": "Numbers.",
            "parameters": self.parameters,
            "evidence": self.evidence,
            "rules": self.rules,
        }
        with (self._folder / "rules" / "gold.numbers.yml").open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(content, file)
        inputs = {"numbers": lambda: self._spark.createDataFrame(list(rows), NUMBERS)}
        settings = {"inputs": inputs, "tables": (table,), "folder": self._folder, **settings}
        return run_checkpoint(self._spark, "gold", **settings)


@pytest.fixture
def rules(spark: SparkSession, tmp_path: Path) -> Rules:
    return Rules(spark, tmp_path)


def failure(result: AuditResult) -> str:
    assert not result.success
    assert result.statistics.failed >= 1
    return " | ".join(finding.message for finding in result.failures)


GOOD, BAD = (1, "2018-01-01", "zip-1"), (9, "2018-01-02", "zip-9")


def test_rules_that_hold(rules: Rules) -> None:
    rules.rule("small", "n > 5")
    rules.rule("braces", "'{}' = concat('{', n, '}')")
    result = rules.judge(GOOD)
    assert result.success
    assert (result.statistics.evaluated, result.statistics.successful) == (2, 2)
    assert {(one.rule.name, one.holds, one.rows) for one in result.outcomes} == {
        ("small", True, 1),
        ("braces", True, 1),
    }
    assert rules.judge().success, "no row is no bad row"


def test_bad_rows_are_listed_by_landing_date_with_samples(rules: Rules) -> None:
    rules.rule("small", "n > 5")
    rules.rule("dateless", "n > 5", samples=["n"])
    rules.rule("known", "n IS NULL", severity="warning")
    rows = [(n, "2018-01-02", "zip") for n in (6, 7, 8, 9)]
    result = rules.judge(GOOD, *rows, (7, None, "zip"), (None, "2018-01-01", "zip"))
    found = {(f.rule, f.landing_date): (f.bad_rows, f.samples) for f in result.failures}
    assert found == {
        ("small", "2018-01-01"): (1, ("n NULL",)),  # NULL counts as bad
        ("small", "2018-01-02"): (4, ("n 6", "n 7", "n 8")),
        ("small", None): (1, ("n 7",)),
        ("dateless", None): (6, ("n 6", "n 7", "n 7")),
    }
    assert [(w.rule, w.landing_date, w.severity) for w in result.warnings] == [("known", "2018-01-01", "warning")]
    assert (result.statistics.evaluated, result.statistics.failed, result.statistics.warnings) == (3, 2, 1)
    (message,) = (f.message for f in result.failures if f.landing_date == "2018-01-02")
    assert message == "numbers: The rule small holds. Broken by 4 rows on 2018-01-02, such as n 6; n 7; n 8"
    assert {f.table for f in result.failures} == {"numbers"}


def test_an_error_in_the_rules_of_one_table_leaves_the_other_judged(rules: Rules, tmp_path: Path) -> None:
    """Each table of a layer with an upstream layer may have a statement of its own."""
    rules.rule("small", "n > 5")
    rules.judge(GOOD)
    numbers = (tmp_path / "rules" / "gold.numbers.yml").read_text(encoding="utf-8")
    letters = numbers.replace("gold.numbers", "gold.letters").replace("n > 5", "gone > 5")
    (tmp_path / "rules" / "gold.letters.yml").write_text(letters, encoding="utf-8")
    for row, holds in ((GOOD, True), (BAD, False)):
        result = rules.judge(row, tables=("gold.letters", "gold.numbers"))
        assert "gone" in failure(result)
        assert {(one.file.table, one.holds) for one in result.outcomes} == {
            ("gold.letters", None),
            ("gold.numbers", holds),
        }


def test_a_warning_alone_passes(rules: Rules) -> None:
    rules.rule("small", "n > 5", severity="warning")
    result = rules.judge(BAD)
    assert result.success
    assert [w.bad_rows for w in result.warnings] == [1]
    assert (result.statistics.failed, result.statistics.warnings, result.statistics.successful) == (0, 1, 0)


@pytest.mark.parametrize(
    ("fails_when", "sql", "reason"),
    [
        ("gone > 5", SQL, "gone"),
        ("n + 1", SQL, "could not be judged"),
        ("n > 5", "SELECT n FROM nowhere", "there is no input nowhere"),
        ("n > 5", "SELECT n FORM numbers", "could not be judged"),
        ("n / (n - 1) > 5", SQL, "DIVIDE_BY_ZERO"),
        ("CAST(customer_zipcode AS INT) > 5", SQL, "CAST_INVALID_INPUT"),
    ],
    ids=["no column", "no predicate", "no input", "no query", "an error in a row", "a value that does not fit"],
)
def test_what_cannot_be_judged_fails_and_the_rest_is_judged(
    rules: Rules, fails_when: str, sql: str, reason: str
) -> None:
    rules.rule("wrong", fails_when, sql, severity="warning")
    rules.rule("small", "n > 5")
    result = rules.judge(GOOD)
    assert reason in failure(result)
    assert {f.rule for f in result.failures} == {"wrong"}
    assert {(one.rule.name, one.holds) for one in result.outcomes} == {("wrong", None), ("small", True)}
    assert "zip-1" not in repr(result), "an error must not show private values"


def test_an_input_that_cannot_be_read_fails(rules: Rules) -> None:
    def gone() -> DataFrame:
        raise ValueError("it was dropped")

    rules.rule("small", "n > 5")
    assert "the input numbers could not be read: ValueError: it was dropped" in failure(
        rules.judge(inputs={"numbers": gone})
    )


def test_only_inputs_that_are_named_are_read(rules: Rules, spark: SparkSession) -> None:
    def never() -> DataFrame:
        raise AssertionError("no rule names it")

    rules.rule("small", "n > 5")
    numbers = {"numbers": lambda: spark.createDataFrame([GOOD], NUMBERS)}
    assert rules.judge(inputs={**numbers, "letters": never}).success


def test_refused_rules_fail(rules: Rules) -> None:
    assert "holds no rule" in failure(rules.judge(GOOD))
    rules.rule("small", "n > 5")
    assert "gx/rules/gold.letters.yml is missing" in failure(rules.judge(GOOD, table="gold.letters"))
    rules.rule("loud", "n > 5", severity="fatal")
    assert "severity is 'fatal'" in failure(rules.judge(GOOD))


def test_parameters(rules: Rules) -> None:
    rules.parameters = {"most": 0.3, "least": None}
    rules.rule("between", "n * 0.1BD > :most OR n < :least")
    three = (3, "2018-01-01", "zip")
    assert "the run gives no value for least" in failure(rules.judge(three))
    result = rules.judge(three, parameters={"least": 3})
    assert result.success, (result.failures, "0.3 is 0.3, and nothing near it")
    assert result.parameters == {"least": 3, "most": 0.3}
    assert not rules.judge(three, parameters={"least": 4}).success
    assert not rules.judge(three, parameters={"least": 3, "most": 0.29}).success
    assert "no rule file of the layer has this parameter" in failure(
        rules.judge(three, parameters={"least": 3, "mst": 1})
    )


def test_an_empty_change_is_judged_by_what_is_marked(rules: Rules) -> None:
    rules.rule("small", "n > 5")
    assert "no rule was evaluated" in failure(rules.judge(BAD, empty_change=True))
    rules.rule("even", "n % 2 = 1", judges_empty_change=True)
    result = rules.judge(BAD, empty_change=True)
    assert {f.rule for f in result.failures} == {"even"}
    assert rules.judge((8, "2018-01-01", "zip"), empty_change=True).success
