"""Judges a layer by the rules of its tables, and fails closed."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

from spark_jobs.quality.findings import findings, refusal
from spark_jobs.quality.gx_judge import rules_that_hold
from spark_jobs.quality.rules import LayerRules, Rule, RuleFile, layer_rules
from spark_jobs.quality.statements import BadRows, Bindings, JudgedEvidence, count_bad_rows, fetch_samples
from spark_jobs.runtime.concurrency import run_each
from spark_jobs.runtime.table_names import UPSTREAM_LAYER
from spark_jobs.storage import delta
from spark_jobs.storage.verdicts import Finding, Statistics

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
Input = Callable[[], "DataFrame"]


@dataclass(frozen=True)
class Outcome:
    """What a rule came to: whether it holds (None: not judged), over how many rows of its evidence."""

    file: RuleFile
    rule: Rule
    holds: bool | None
    rows: int = 0


@dataclass(frozen=True)
class AuditResult:
    """What a checkpoint found. `success` is true only if every rule of every table of the layer was judged."""

    layer: str
    statistics: Statistics
    failures: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    parameters: dict[str, Any]
    outcomes: tuple[Outcome, ...] = ()
    unreadable: bool = False
    """Whether a version of a table could not be read any more, or an error may hide that reason."""

    @property
    def success(self) -> bool:
        return not self.failures and not self.statistics.failed and self.statistics.evaluated > 0


@dataclass
class _Audit:
    """What is collected while the checkpoint runs."""

    evaluated: int = 0
    failed: int = 0
    warned: int = 0
    failures: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    unreadable: bool = False

    def refuse(self, table: str, rule: str, message: str) -> None:
        self.failed += 1
        self.failures.append(refusal(table, rule, message))

    def refuse_evidence(self, judged: JudgedEvidence, message: str) -> None:
        self.refuse(
            judged.file.short_name, judged.evidence.name, f"{judged.evidence.name} could not be judged: {message}"
        )
        self.outcomes += [Outcome(judged.file, rule, None) for rule in judged.rules]


def run_checkpoint(
    spark: SparkSession,
    layer: str,
    tables: Sequence[str],
    inputs: Mapping[str, Input],
    parameters: Mapping[str, Any] | None = None,
    *,
    empty_change: bool = False,
    judged: Sequence[str] | None = None,
    folder: Traversable | None = None,
) -> AuditResult:
    """Judge the layer by the rules of `gx/rules/`. Only those inputs are made that its evidence names.

    `parameters` are those of the rule files that differ from their defaults. With `empty_change` only the evidence
    counts that judges a layer which stays as it is. `tables` are all of the layer, and `judged`
    those of them that are judged: all, unless given. `folder` is `gx/`, unless given.

    Never raises for what is wrong with rules or data: whatever is missing, empty, unknown or raises is a failure by
    name.
    """
    rules = layer_rules(layer, tables, folder).only(tables if judged is None else judged)
    audit = _Audit()
    for table, reason in rules.refused.items():
        audit.refuse(table.partition(".")[2], "rules", reason)
    known = {**rules.parameters, **(parameters or {})}
    evidence = _evidence_to_judge(rules, known, audit, empty_change)
    frames, evidence = _read_inputs(inputs, evidence, audit)
    bindings = Bindings(spark, frames, known)
    # Most of a statement is planning, which keeps one core busy; that of bronze is short: it names few tables.
    counted, evidence = _count(evidence, bindings, audit, statements=2 if layer in UPSTREAM_LAYER else 1)
    _judge(evidence, counted, bindings, audit)
    if not audit.evaluated:
        audit.refuse(layer, "rules", "no rule was evaluated")
    statistics = Statistics(
        evaluated=audit.evaluated,
        successful=sum(1 for one in audit.outcomes if one.holds),
        failed=audit.failed,
        warnings=audit.warned,
    )
    return AuditResult(
        layer,
        statistics,
        tuple(audit.failures),
        tuple(audit.warnings),
        {name: _plain(known[name]) for name in sorted(known)},
        tuple(audit.outcomes),
        audit.unreadable,
    )


def _evidence_to_judge(
    rules: LayerRules, known: Mapping[str, Any], audit: _Audit, empty_change: bool
) -> list[JudgedEvidence]:
    for name in sorted(set(known) - set(rules.parameters)):
        audit.refuse(name, "rules", "no rule file of the layer has this parameter")
    for file in rules.files:
        if missing := sorted(name for name in file.parameters if known[name] is None):
            audit.refuse(file.short_name, "rules", f"the run gives no value for {', '.join(missing)}")
    return [
        JudgedEvidence(file, evidence, file.rules_of(evidence.name))
        for file in rules.files
        if all(known[name] is not None for name in file.parameters)
        for evidence in file.evidence.values()
        if evidence.judges_empty_change or not empty_change
    ]


def _read_inputs(
    inputs: Mapping[str, Input], evidence: Sequence[JudgedEvidence], audit: _Audit
) -> tuple[dict[str, DataFrame], list[JudgedEvidence]]:
    """Make the inputs that the evidence names, at the same time; return them, and the evidence that has all of its
    inputs."""

    def make(name: str) -> DataFrame | str:
        try:
            return inputs[name]() if name in inputs else f"there is no input {name}"
        except Exception as error:  # noqa: BLE001 - whatever it is, it must become a failure and not a pass
            audit.unreadable |= delta.is_unreadable(error) or delta.hides_its_reason(error)
            return f"the input {name} could not be read: {_in_short(error)}"

    names = sorted({name for one in evidence for name in one.evidence.inputs})
    made = dict(zip(names, run_each(make, names), strict=True))
    readable = []
    for one in evidence:
        wrong = [reason for name in sorted(one.evidence.inputs) if isinstance(reason := made[name], str)]
        if wrong:
            audit.refuse_evidence(one, "; ".join(wrong))
        else:
            readable.append(one)
    return {name: frame for name, frame in made.items() if not isinstance(frame, str)}, readable


def _count(
    evidence: Sequence[JudgedEvidence], bindings: Bindings, audit: _Audit, statements: int = 1
) -> tuple[dict[str, BadRows], list[JudgedEvidence]]:
    """Count all evidence at the same time; one by one where that fails, to name what is wrong."""
    if not evidence:
        return {}, []
    try:
        return count_bad_rows(evidence, bindings, statements), list(evidence)
    except Exception as error:  # noqa: BLE001 - as above
        audit.unreadable |= delta.is_unreadable(error) or delta.hides_its_reason(error)
        if len(evidence) == 1:
            audit.refuse_evidence(evidence[0], _in_short(error))
            return {}, []
    counted: dict[str, BadRows] = {}
    judged: list[JudgedEvidence] = []
    for one in evidence:
        found, readable = _count([one], bindings, audit)
        counted |= found
        judged += readable
    return counted, judged


def _judge(
    evidence: Sequence[JudgedEvidence], counted: Mapping[str, BadRows], bindings: Bindings, audit: _Audit
) -> None:
    judged = [one for one in evidence if one.key in counted]
    for one in evidence:
        if one.key not in counted:
            audit.refuse_evidence(one, "it was not counted")
    if not judged:
        return
    rules = {
        f"{one.file.short_name}: {rule.name}": (one, number, rule)
        for one in judged
        for number, rule in enumerate(one.rules)
    }
    try:
        holds = rules_that_hold({k: (rule, counted[one.key].total(n)) for k, (one, n, rule) in rules.items()})
    except Exception as error:  # noqa: BLE001 - as above
        audit.refuse(judged[0].file.short_name, "rules", f"Great Expectations could not judge: {_in_short(error)}")
        return
    broken = [(one, rule) for key, (one, _, rule) in rules.items() if not holds[key]]
    samples = _samples(broken, bindings)
    for key, (one, number, rule) in rules.items():
        audit.evaluated += 1
        audit.outcomes.append(Outcome(one.file, rule, holds[key], counted[one.key].rows))
        if holds[key]:
            continue
        found = findings(one.file, rule, number, counted[one.key], samples.get((one.file.table, rule.name), {}))
        if rule.severity == "warning":
            audit.warned += 1
            audit.warnings += found
        else:
            audit.failed += 1
            audit.failures += found


def _samples(broken: Sequence[tuple[JudgedEvidence, Rule]], bindings: Bindings) -> dict[tuple[str, str], Any]:
    """Fetch the samples of each rule, as far as they can be: a finding counts without samples too."""
    if not broken:
        return {}
    try:
        return fetch_samples(broken, bindings)
    except Exception as error:  # noqa: BLE001 - the verdict is known already
        if len(broken) == 1:
            log.warning("%s has no samples: %s", broken[0][1].name, _in_short(error))
            return {}
    return {key: value for one in broken for key, value in _samples([one], bindings).items()}


def _plain(value: Any) -> Any:
    """Convert a value to what JSON has."""
    if isinstance(value, Decimal):
        return float(value)
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _in_short(error: Exception) -> str:
    """Describe an error in a line that holds no data: Spark quotes data in single quotes, and columns in backticks."""
    line = (str(error).strip().splitlines() or [""])[0]
    quoted = re.sub(r"'[^']*'", "'...'", line)
    return f"{type(error).__name__}: {quoted[:200]}"
