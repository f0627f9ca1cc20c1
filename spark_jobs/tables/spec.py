"""What a table is: one TableSpec each, from which everything else about a table is derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField, StructType

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Write(StrEnum):
    """How a publication changes a table."""

    REPLACE_DATES = "replace_dates"
    """The rows of the run's landing dates are replaced."""
    MERGE = "merge"
    """Changed rows are merged by the merge key."""
    OVERWRITE = "overwrite"
    """All rows are replaced."""
    APPEND = "append"
    """Rows are added, and none is ever changed: the tables of `ops`."""


@dataclass(frozen=True)
class TableSpec:
    """One table.

    `derive` makes all rows of the table from a mapping of table name to DataFrame, which holds what it is
    `staged_from`; in gold also from the as-of day. In bronze it makes those of the landing dates of the run. Tables
    whose rows come from files, and those of `ops`, have none.
    """

    name: str
    """Schema and table, such as "gold.customers360"."""
    comment: str
    """One sentence, which the catalog shows."""
    grain: str
    """What one row is, such as "one row per customer"."""
    schema: StructType
    """Columns with their types and comments."""
    natural_key: tuple[str, ...]
    """The columns by which the business knows a row; of a dimension with history, the entity that has versions."""
    write: Write
    statistics_columns: tuple[str, ...]
    """Columns of which Delta keeps the least and greatest value in each file, by which queries skip files."""
    merge_key: str | None = None
    """The column that identifies one row, for MERGE and for audits."""
    staged_from: tuple[str, ...] = ()
    """Names of the tables that its rows are derived from."""
    derive: Callable[..., DataFrame] | None = None

    def __post_init__(self) -> None:
        named = {*self.natural_key, *self.statistics_columns, *([self.merge_key] if self.merge_key else [])}
        if unknown := sorted(named - set(self.schema.names)):
            raise ValueError(f"{self.name} has no column {', '.join(unknown)}, which its specification names")

    @property
    def layer(self) -> str:
        return self.name.partition(".")[0]

    @property
    def short_name(self) -> str:
        return self.name.partition(".")[2]

    @property
    def key(self) -> str:
        """The merge key. Raises ValueError for a table without one."""
        if self.merge_key is None:
            raise ValueError(f"{self.name} has no merge key")
        return self.merge_key

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)


def column(name: str, kind: DataType, comment: str, *, nullable: bool = True) -> StructField:
    """Return a column with a comment, which the catalog shows."""
    return StructField(name, kind, nullable, {"comment": comment})


def conform(frame: DataFrame, schema: StructType) -> DataFrame:
    """Select exactly the schema's columns, in its order, cast to its types.

    Decimals with more places are rounded half-up. A value that does not fit its type is NULL, since one odd key must
    not stop a layer; the rules of the table name it.
    """
    columns: list[Any] = [
        F.col(field.name).try_cast(field.dataType).alias(field.name, metadata=field.metadata) for field in schema.fields
    ]
    return frame.select(*columns)
