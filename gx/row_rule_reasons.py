"""The words of a row rule: why a landed line that breaks an expectation is in quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def row_rule_reason(expectation: Mapping[str, Any]) -> str:
    """Return the reason in a few words, such as "order_item_quantity is not greater than 0".

    `meta.reason` of the expectation overrides what is generated from its type and arguments. Raises ValueError for a
    type that is not known here, or arguments that it does not have.
    """
    override = (expectation.get("meta") or {}).get("reason")
    if override is not None:
        if not isinstance(override, str) or not override.strip():
            raise ValueError("meta.reason, which overrides the generated reason, must be a text")
        return override
    kwargs = expectation.get("kwargs") or {}
    try:
        match expectation.get("type"):
            case "expect_column_values_to_not_be_null":
                return f"{kwargs['column']} is null"
            case "expect_column_values_to_be_between":
                return f"{kwargs['column']} is not {_bounds(kwargs)}"
            case "expect_column_values_to_be_in_set":
                return f"{kwargs['column']} is not a known value"
            case "expect_column_pair_values_to_be_equal":
                return f"{kwargs['column_A']} differs from {kwargs['column_B']}"
    except KeyError as missing:
        raise ValueError(f"it has no {missing.args[0]}") from None
    raise ValueError("no reason can be generated for this type")


def _bounds(kwargs: Mapping[str, Any]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    words = []
    if low is not None:
        words.append(f"{'greater than' if kwargs.get('strict_min') else 'at least'} {_number(low)}")
    if high is not None:
        words.append(f"{'less than' if kwargs.get('strict_max') else 'at most'} {_number(high)}")
    if not words:
        raise ValueError("it has neither min_value nor max_value")
    return " and ".join(words)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
