"""The statements of an audit: those that count the bad rows of all rules, and one that fetches samples of some."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

from spark_jobs.quality.rules import LANDING_DATE, Evidence, Rule, RuleFile, with_parameters
from spark_jobs.runtime.concurrency import run_each
from spark_jobs.storage.spark_connect import query
from spark_jobs.storage.sql_literal import literal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SAMPLES = 3
EXPECTED, STORED = "_expected", "_stored"
"""In a sample, the two structs that a rule compares."""


@dataclass(frozen=True)
class JudgedEvidence:
    """An evidence with the rules that judge it."""

    file: RuleFile
    evidence: Evidence
    rules: tuple[Rule, ...]

    @property
    def key(self) -> str:
        return f"{self.file.table}.{self.evidence.name}"


@dataclass(frozen=True)
class BadRows:
    """How many rows an evidence has, and how many of them are bad: for each landing date the number for each rule.

    None stands for the landing date of evidence that has none. Dates without a bad row are left out.
    """

    rows: int
    bad: dict[str | None, tuple[int, ...]]

    def total(self, rule: int) -> int:
        return sum(numbers[rule] for numbers in self.bad.values())


@dataclass(frozen=True)
class Bindings:
    """What statements read: frames by the names of the inputs, and the values of the parameters."""

    spark: SparkSession
    inputs: Mapping[str, DataFrame]
    parameters: Mapping[str, Any]

    def run(self, branches: Sequence[str], inputs: Iterable[str]) -> list[Any]:
        """Return the rows of all branches, by one statement."""
        names = sorted(set(inputs))
        views = [f"{name} AS (SELECT * FROM {{{name}}})" for name in names]  # noqa: S608 - checked names
        text = with_parameters("\nUNION ALL\n".join(branches), lambda name: literal(self.parameters[name]))
        text = text.replace("{", "{{").replace("}", "}}")
        with_inputs = f"WITH {', '.join(views)}\n{text}" if views else text
        frames: dict[str, Any] = {name: self.inputs[name] for name in names}
        return query(self.spark, with_inputs, **frames).collect()


def count_bad_rows(judged: Sequence[JudgedEvidence], bindings: Bindings, statements: int = 1) -> dict[str, BadRows]:
    """Return the counts of each evidence, by its key. A predicate that is NULL counts as bad.

    By as many statements at the same time. What a table is judged by stays together, since it reads the same.
    """
    tables = list(dict.fromkeys(one.file.table for one in judged))
    size = -(-len(tables) // statements)
    parts = [tables[first : first + size] for first in range(0, len(tables), size)]

    def count(part: Sequence[str]) -> list[Any]:
        found = [one for one in judged if one.file.table in part]
        return bindings.run([_counting(one) for one in found], (name for one in found for name in one.evidence.inputs))

    return {
        row["evidence"]: BadRows(
            row["judged"], {dated["landing_date"]: tuple(dated["bad"]) for dated in row["by_date"]}
        )
        for row in chain.from_iterable(run_each(count, parts))
    }


def fetch_samples(
    broken: Sequence[tuple[JudgedEvidence, Rule]], bindings: Bindings
) -> dict[tuple[str, str], dict[str | None, tuple[dict[str, Any], ...]]]:
    """Fetch a few bad rows by table and rule, and by landing date: the columns that evidence and rule name."""
    inputs = (name for judged, _ in broken for name in judged.evidence.inputs)
    samples: dict[tuple[str, str], dict[str | None, tuple[dict[str, Any], ...]]] = {}
    for row in bindings.run([_sampling(judged, rule) for judged, rule in broken], inputs):
        by_date = samples.setdefault((row["table"], row["rule"]), {})
        shown = json.loads(row["sample"], parse_float=_number)
        by_date[row["landing_date"]] = (*by_date.get(row["landing_date"], ()), shown)
    return samples


def _counting(judged: JudgedEvidence) -> str:
    """Return the SQL of one row: evidence, judged, by_date."""
    bad = ", ".join(f"count_if({_is_bad(rule)})" for rule in judged.rules)
    evidence, rows = judged.key, f"({judged.evidence.sql}\n)"
    if not judged.evidence.is_dated:
        return (
            f"SELECT '{evidence}' AS evidence, count(*) AS judged,"  # noqa: S608 - the rules' own text
            f" array(struct(CAST(NULL AS STRING) AS landing_date, array({bad}) AS bad)) AS by_date FROM {rows}"
        )
    return (
        f"SELECT '{evidence}' AS evidence, coalesce(sum(judged), 0) AS judged,"  # noqa: S608 - the rules' own text
        f" collect_list(IF(exists(bad, n -> n > 0), struct(landing_date, bad), NULL)) AS by_date"
        f" FROM (SELECT CAST({LANDING_DATE} AS STRING) AS landing_date, count(*) AS judged, array({bad}) AS bad"
        f" FROM {rows} GROUP BY {LANDING_DATE})"
    )


def _sampling(judged: JudgedEvidence, rule: Rule) -> str:
    """Return the SQL of up to SAMPLES rows for each landing date: table, rule, landing_date, sample (JSON)."""
    names = dict.fromkeys((*judged.evidence.samples, *rule.shows))
    values = [(name, f"`{name}`") for name in names if name != LANDING_DATE]
    values += zip((EXPECTED, STORED), rule.compares, strict=False)
    columns = ", ".join(f"'{name}', {value}" for name, value in values)
    sample = f"to_json(named_struct({columns}), map('ignoreNullFields', 'false'))"
    date = f"CAST({LANDING_DATE} AS STRING)" if judged.evidence.is_dated else "CAST(NULL AS STRING)"
    return (
        f"SELECT '{judged.file.table}' AS table, '{rule.name}' AS rule, landing_date, sample FROM ("  # noqa: S608
        f"SELECT landing_date, sample, row_number() OVER (PARTITION BY landing_date ORDER BY sample) AS number"
        f" FROM (SELECT {date} AS landing_date, {sample} AS sample"
        f" FROM ({judged.evidence.sql}\n) WHERE {_is_bad(rule)})) WHERE number <= {SAMPLES}"
    )


def _is_bad(rule: Rule) -> str:
    return f"coalesce({rule.fails_when}, true)"


def _number(text: str) -> int | float:
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)
