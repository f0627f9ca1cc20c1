"""Full names of tables and schemas: catalog.<prefix>schema.table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spark_jobs.runtime.errors import ParameterRefused

LAYERS = ("bronze", "silver", "gold")
UPSTREAM_LAYER = {"silver": "bronze", "gold": "silver"}
"""The layer that a layer is built from."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class TableNames:
    """Makes full names. Raises ParameterRefused for a catalog or prefix that is no plain identifier."""

    catalog: str
    schema_prefix: str = ""

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.catalog):
            raise ParameterRefused(f"catalog is {self.catalog!r}, which is not a plain identifier")
        if self.schema_prefix and not _IDENTIFIER.fullmatch(self.schema_prefix):
            raise ParameterRefused(f"schema_prefix is {self.schema_prefix!r}, which is not a plain identifier")

    def schema(self, schema: str) -> str:
        """Return the full name of a schema, such as "silver"."""
        return f"{self.catalog}.{self.schema_prefix}{schema}"

    def table(self, table: str) -> str:
        """Return the full name of a table, such as "silver.orders"."""
        schema, _, name = table.partition(".")
        return f"{self.schema(schema)}.{name}"
