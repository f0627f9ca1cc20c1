"""What an unmet expectation is told as: per landing date, with samples, without private data (design, section 5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spark_jobs.quality.verdict import Finding

# Values of these columns never leave the tables.
PRIVATE = frozenset(
    {
        "customer_email",
        "customer_email_hash",
        "customer_password",
        "customer_fname",
        "customer_lname",
        "customer_firstname",
        "customer_lastname",
        "customer_street",
        "customer_zipcode",
        "order_zipcode",
        "store_street",
        "delivery_zipcode",
        "latitude",
        "longitude",
        "line",
    }
)
SAMPLES = 3
LANDING_DATE = "landing_date"


def columns_of(kwargs: dict[str, Any]) -> list[str]:
    """The columns that an expectation is about."""
    names = [kwargs[name] for name in ("column", "column_A", "column_B") if kwargs.get(name)]
    listed = kwargs.get("column_list")
    return names + (list(listed) if isinstance(listed, list) else [])


def column_of(expectation: str, kwargs: dict[str, Any]) -> str | None:
    return None if expectation.startswith("expect_table_") else ", ".join(columns_of(kwargs)) or None


def is_private(expectation: str, kwargs: dict[str, Any]) -> bool:
    """Whether the values that it judges are private. Expectations about a table judge names of columns only."""
    return not expectation.startswith("expect_table_") and bool(set(columns_of(kwargs)) & PRIVATE)


def rule_text(kwargs: dict[str, Any], expectation: str, meta: dict[str, Any]) -> str:
    """The rule in a few words: "difference: must be between 0 and 0 (landed = valid + quarantined)"."""
    # All columns of a table would be a long list that tells nothing.
    subject = "" if expectation.startswith("expect_table_") else ", ".join(columns_of(kwargs))
    words = _must(kwargs, expectation)
    said = meta.get("rule") or meta.get("reason")
    text = f"{subject} {words}" if subject else words
    return f"{text} ({said})" if said else text


def _must(kwargs: dict[str, Any], expectation: str) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if expectation.endswith("to_be_between"):
        if low is not None and high is not None:
            words = f"must be between {_number(low)} and {_number(high)}"
        else:
            words = f"must be at least {_number(low)}" if high is None else f"must be at most {_number(high)}"
    elif expectation.endswith("in_set"):
        values = ", ".join(str(v) for v in kwargs.get("value_set") or [])
        words = f"must {'not ' if 'to_not_be' in expectation else ''}be {'one of ' if ',' in values else ''}{values}"
    else:
        words = expectation.removeprefix("expect_").replace("_", " ").replace("column values to", "must")
    if condition := kwargs.get("row_condition"):
        words += f" where {_condition(condition)}"
    return words


def _condition(condition: Any) -> str:
    if isinstance(condition, dict) and "column" in condition:
        return f"{condition['column']['name']} {condition['operator']} {condition.get('parameter', '')}".strip()
    return str(condition)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def findings(
    asset: str,
    expectation: str,
    severity: str,
    kwargs: dict[str, Any],
    meta: dict[str, Any],
    result: dict[str, Any],
) -> list[Finding]:
    """One finding a landing date among the unexpected rows, in order; one without a date where none is known."""
    column = column_of(expectation, kwargs)
    rule = rule_text(kwargs, expectation, meta)
    rows = [r for r in result.get("unexpected_index_list") or [] if isinstance(r, dict)]
    total = result.get("unexpected_count")
    if not rows:
        seen = "" if is_private(expectation, kwargs) else _observed(result)
        message = f"{asset}: {rule}" + (f" — {seen}" if seen else "")
        return [Finding(asset, expectation, column, severity, message, None, total, (seen,) if seen else ())]
    by_date: dict[str | None, list[dict[str, Any]]] = {}
    for row in rows:
        day = row.get(LANDING_DATE)
        by_date.setdefault(None if day is None else str(day), []).append(row)
    told = []
    for day in sorted(by_date, key=str):
        dated = by_date[day]
        count = sum(int(row.get("keys") or 1) for row in dated)
        samples = tuple(_sample(row) for row in dated[:SAMPLES])
        # More unexpected rows than were fetched: then the count of a date is only known to be at least this.
        known = f"{count}" if total is None or total <= len(rows) else f"at least {count}"
        where = f"{day}: " if day else ""
        unit = "key(s)" if "keys" in dated[0] else "row(s)"
        message = f"{asset}: {rule} — {where}{known} {unit}, e.g. {'; '.join(samples)}"
        told.append(Finding(asset, expectation, column, severity, message, day, count, samples))
    return told


def _sample(row: dict[str, Any]) -> str:
    shown = {k: v for k, v in row.items() if k not in PRIVATE and k != LANDING_DATE and v is not None}
    place = shown.pop("source_file", None)
    values = ", ".join(f"{name} {_number(value)}" for name, value in shown.items())
    return f"{place}: {values}" if place else values


def _observed(result: dict[str, Any]) -> str:
    details = result.get("details")
    if isinstance(details, dict) and (mismatched := details.get("mismatched")):
        return "; ".join(_mismatch(m) for m in _few(mismatched))
    observed = result.get("observed_value")
    if isinstance(observed, list) and len(observed) > SAMPLES:
        return ""
    return "" if observed is None else f"found {observed}"


def _mismatch(one: Any) -> str:
    if isinstance(one, dict):
        place = one.get("Expected Column Position")
        return f"position {place}: expected {one.get('Expected')}, found {one.get('Found')}"
    return str(one)


def _few(values: Iterable[Any]) -> list[Any]:
    return list(values)[:SAMPLES]
