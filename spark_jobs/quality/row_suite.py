"""The row rules of bronze, as the audit judges them: GX's suite as SQL, apart from the compiler of the build."""

from __future__ import annotations

import json
import re
from importlib.resources.abc import Traversable
from typing import Any

from gx.row_rule_reasons import row_rule_reason
from spark_jobs.storage.sql_literal import literal

EVIDENCE = "rows"
"""The evidence that a rule file with a suite must have: one row per line, with the columns of the table."""


def row_rules(suite: str, folder: Traversable) -> list[dict[str, Any]]:
    """Return the fields of one rule per expectation of `gx/suites/<suite>.json`.

    Raises ValueError for what is not known.
    """
    file = folder.joinpath("suites", f"{suite}.json")
    if not file.is_file():
        raise ValueError(f"gx/suites/{suite}.json is missing")
    try:
        expectations = json.loads(file.read_text(encoding="utf-8"))["expectations"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"gx/suites/{suite}.json is not a suite: {error!r}") from None
    if not expectations:
        raise ValueError(f"gx/suites/{suite}.json holds no expectation")
    try:
        return [_row_rule(one) for one in expectations]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"gx/suites/{suite}.json: {error!r}") from None


def _row_rule(expectation: dict[str, Any]) -> dict[str, Any]:
    reason = row_rule_reason(expectation)
    kwargs = dict(expectation["kwargs"])
    columns = [kwargs[name] for name in ("column", "column_A", "column_B") if name in kwargs]
    fails_when = _fails_when(expectation["type"], kwargs)
    return {
        "name": re.sub(r"\W+", "_", reason.lower()).strip("_"),
        "evidence": EVIDENCE,
        "fails_when": fails_when,
        "severity": expectation["severity"],
        "says": f"No valid line breaks the row rule: {reason}.",
        "shows": tuple(columns),
    }


def _fails_when(kind: str, kwargs: dict[str, Any]) -> str:
    """Translate an expectation, as Great Expectations judges: NULL breaks no rule but the one against NULL."""
    match kind, sorted(set(kwargs) - {"column", "column_A", "column_B"}):
        case "expect_column_values_to_not_be_null", []:
            return f"`{kwargs['column']}` IS NULL"
        case "expect_column_values_to_be_in_set", ["value_set"]:
            values = ", ".join(literal(value) for value in kwargs["value_set"])
            return f"`{kwargs['column']}` IS NOT NULL AND `{kwargs['column']}` NOT IN ({values})"
        case "expect_column_pair_values_to_be_equal", []:
            return f"NOT (`{kwargs['column_A']}` <=> `{kwargs['column_B']}`)"
        case "expect_column_values_to_be_between", bounds if set(bounds) <= set(_BOUNDS) and bounds:
            low, high = kwargs.get("min_value"), kwargs.get("max_value")
            wrong = []
            if low is not None:
                wrong.append(f"`{kwargs['column']}` {'<=' if kwargs.get('strict_min') else '<'} {literal(low)}")
            if high is not None:
                wrong.append(f"`{kwargs['column']}` {'>=' if kwargs.get('strict_max') else '>'} {literal(high)}")
            return f"`{kwargs['column']}` IS NOT NULL AND ({' OR '.join(wrong)})"
    raise ValueError(f"{kind} with these arguments cannot be translated: {kwargs}")


_BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")
