"""The row rules: GX's bronze suite, compiled into predicates over a DataFrame's rows.

A rule is written once, in gx/suites/bronze_rows.json. Great Expectations reports failing rows of a table; bronze must
sort out each row by itself, so the suite is compiled here, from its JSON alone. The list of expectation types is
closed: an unknown type or argument is refused before any row is read.
"""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from gx.row_rule_reasons import row_rule_reason
from spark_jobs.runtime.errors import UnknownExpectation

# Arguments that change nothing about which rows fail.
_HARMLESS: frozenset[str] = frozenset({"result_format", "catch_exceptions", "severity"})


@dataclass(frozen=True)
class RowRule:
    """One expectation: the reason for quarantine, the columns that it reads, and its predicate."""

    reason: str
    columns: tuple[str, ...]
    broken: Callable[[], Column]
    """The predicate that is true for a row that breaks the rule, and never NULL. A call, as columns need a session."""


def bronze_row_rules() -> tuple[RowRule, ...]:
    """Compile the rules of gx/suites/bronze_rows.json. Raises UnknownExpectation."""
    text = (files("gx") / "suites" / "bronze_rows.json").read_text(encoding="utf-8")
    return compile_suite(json.loads(text))


def compile_suite(suite: Mapping[str, Any]) -> tuple[RowRule, ...]:
    """Compile the rules of a suite's JSON, in its order. Raises UnknownExpectation, also for an empty suite."""
    name = str(suite.get("name", "without a name"))
    expectations = suite.get("expectations") or []
    if not expectations:
        raise UnknownExpectation(f"the suite {name} holds no expectation: a suite of row rules must hold some")
    return tuple(_compile(name, expectation) for expectation in expectations)


def _compile(suite: str, expectation: Mapping[str, Any]) -> RowRule:
    kind = str(expectation.get("type"))
    kwargs = {key: value for key, value in (expectation.get("kwargs") or {}).items() if key not in _HARMLESS}
    if kwargs.get("mostly", 1) == 1:
        kwargs.pop("mostly", None)
    where = f"suite {suite}, {kind} of {kwargs}"
    builder = _BUILDERS.get(kind)
    if builder is None:
        raise UnknownExpectation(
            f"{where}: a row rule cannot be of this type; known are {', '.join(sorted(_BUILDERS))}"
        )
    if expectation.get("severity", "critical") != "critical":
        raise UnknownExpectation(f"{where}: a row rule sorts rows out, so its severity must be critical")
    try:
        columns, broken = builder(**kwargs)
        reason = row_rule_reason(expectation)
    except (TypeError, ValueError) as error:
        raise UnknownExpectation(f"{where}: {error}") from None
    return RowRule(reason, columns, broken)


_Compiled = tuple[tuple[str, ...], Callable[[], Column]]


def _not_null(column: str) -> _Compiled:
    return (column,), lambda: F.col(column).isNull()


def _between(
    column: str,
    min_value: float | None = None,
    max_value: float | None = None,
    strict_min: bool = False,
    strict_max: bool = False,
) -> _Compiled:
    """Compile a range. As in GX, NULL is no value and breaks nothing."""
    if min_value is None and max_value is None:
        raise ValueError("it has neither min_value nor max_value")

    def broken() -> Column:
        value = F.col(column)
        outside = []
        if min_value is not None:
            outside.append(value <= _number(min_value) if strict_min else value < _number(min_value))
        if max_value is not None:
            outside.append(value >= _number(max_value) if strict_max else value > _number(max_value))
        return F.coalesce(functools.reduce(operator.or_, outside), F.lit(False))

    return (column,), broken


def _number(value: float) -> Column:
    """Write JSON's 0.0 as the integer 0, so that decimals are compared as decimals."""
    return F.lit(int(value) if float(value).is_integer() else value)


def _in_set(column: str, value_set: list[Any]) -> _Compiled:
    """Compile a vocabulary. As in GX, NULL is no value and breaks nothing."""
    if not value_set:
        raise ValueError("its value_set is empty")
    return (column,), lambda: F.coalesce(~F.col(column).isin(list(value_set)), F.lit(False))


def _pair_equal(column_A: str, column_B: str, ignore_row_if: str = "both_values_are_missing") -> _Compiled:  # noqa: N803 - GX's names
    """Compile the equality of two columns. As in GX: by default, two NULLs agree, and a NULL differs from a value."""

    def broken() -> Column:
        left, right = F.col(column_A), F.col(column_B)
        differ = ~left.eqNullSafe(right)
        match ignore_row_if:
            case "both_values_are_missing":
                return differ
            case "either_value_is_missing":
                return differ & left.isNotNull() & right.isNotNull()
        return differ | (left.isNull() & right.isNull())

    if ignore_row_if not in ("both_values_are_missing", "either_value_is_missing", "neither"):
        raise ValueError(f"ignore_row_if {ignore_row_if!r} is not known")
    return (column_A, column_B), broken


_BUILDERS: dict[str, Callable[..., _Compiled]] = {
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_pair_values_to_be_equal": _pair_equal,
}
