"""Values as SQL: Spark Connect binds no parameters in statements that read frames."""

from __future__ import annotations

from datetime import date
from decimal import Decimal


def literal(value: object) -> str:
    """Write a value as a literal. Raises ValueError for a value that has none."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float() | Decimal() if Decimal(str(value)).is_finite():
            return f"{Decimal(str(value)):f}BD"
        case date() if type(value) is date:
            return f"DATE'{value}'"
        case str():
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"
    raise ValueError(f"{value!r} cannot be written as a literal")
