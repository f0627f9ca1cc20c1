"""What Great Expectations is given: long assets as Spark frames, all others as small pandas frames."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

# Assets that stay in Spark, being as long as the data, with the columns by which their rows are told. All others
# are a few rows, which Great Expectations judges much faster as a pandas frame: one action each.
WIDE_ASSETS: dict[str, tuple[str, ...]] = {"order_items": ("landing_date", "source_file", "order_item_id")}


def measured(asset: str, frame: Any) -> Any:
    """The frame itself where it is long; else its rows, fetched."""
    return frame if asset in WIDE_ASSETS or is_pandas(frame) else _collected(frame)


def is_pandas(frame: Any) -> bool:
    """Whether it was fetched."""
    import pandas as pd

    return isinstance(frame, pd.DataFrame)


def _collected(frame: DataFrame) -> pd.DataFrame:
    """A few rows as a pandas frame of plain Python values.

    Decimals become floats: against a limit from JSON, 0.03 must be 0.03, and a difference of a cent stays one.
    """
    import pandas as pd

    answer = frame.collect()
    rows = [{name: plain(value) for name, value in row.asDict().items()} for row in answer]
    rows.sort(key=lambda row: [("" if v is None else str(v)) for v in row.values()])
    # Spark is asked for the names only where no row tells them.
    columns = answer[0].__fields__ if answer else frame.columns
    return pd.DataFrame(rows, columns=columns, dtype=object)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
