"""The findings of a rule that does not hold: one per landing date, with samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark_jobs.quality.rules import PRIVATE, Rule, RuleFile
from spark_jobs.quality.statements import EXPECTED, STORED, BadRows
from spark_jobs.storage.verdicts import Finding

Samples = Mapping[str | None, tuple[dict[str, Any], ...]]


def findings(file: RuleFile, rule: Rule, number: int, counted: BadRows, samples: Samples) -> tuple[Finding, ...]:
    """Return one finding per landing date that has bad rows, in order; `number` is the rule's place among the
    counts."""
    found = []
    for day in sorted(counted.bad, key=str):
        bad = counted.bad[day][number]
        if bad:
            shown = tuple(_sample(row) for row in samples.get(day, ()))
            where = f" on {day}" if day else ""
            such = f", such as {'; '.join(shown)}" if shown else ""
            message = f"{file.short_name}: {rule.says} Broken by {bad} {'row' if bad == 1 else 'rows'}{where}{such}"
            found.append(
                Finding(
                    file.short_name,
                    rule.name,
                    rule.severity,
                    message,
                    day,
                    bad,
                    shown,
                    may_be_overruled=rule.may_be_overruled,
                    alert=rule.alert,
                )
            )
    return tuple(found)


def refusal(table: str, rule: str, message: str) -> Finding:
    """Return the finding about what could not be judged, and therefore does not pass."""
    return Finding(table, rule, "critical", f"{table}: {message}")


def _sample(row: Mapping[str, Any]) -> str:
    values = dict(row)
    if (sentence := values.pop("sentence", None)) is not None:
        return str(sentence)
    place = values.pop("source_file", None)
    expected, stored = values.pop(EXPECTED, None), values.pop(STORED, None)
    parts = [f"{name} {_shown(name, value)}" for name, value in values.items()]
    text = ", ".join([*parts, *_differences(expected, stored)])
    return f"{place}: {text}" if place and text else place or text


def _differences(expected: Mapping[str, Any] | None, stored: Mapping[str, Any] | None) -> list[str]:
    """Name the fields in which two structs differ, with both values."""
    if expected is None or stored is None:
        return []
    return [
        f"{name} is {_shown(name, stored[name])} instead of {_shown(name, expected[name])}"
        for name in expected
        if name in stored and expected[name] != stored[name] and not isinstance(expected[name], Mapping)
    ]


def _shown(name: str, value: Any) -> str:
    if name in PRIVATE and value is not None:
        return "***"
    return "NULL" if value is None else str(value)
