"""Names of tables and schemas: catalog.<prefix>schema.table (design, section 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spark_jobs.runtime.errors import ParameterRefused

LAYERS = ("bronze", "silver", "gold")
LAYER_TABLES: dict[str, tuple[str, ...]] = {
    "bronze": ("bronze.landed_files", "bronze.order_items", "bronze.quarantine"),
    # Dimensions are committed before facts (design, section 9).
    "silver": ("silver.dim_customers", "silver.dim_products", "silver.orders"),
    "gold": ("gold.customers360", "gold.product_totals", "gold.products360", "gold.orders_enriched"),
}
LAYER_BELOW = {"silver": "bronze", "gold": "silver"}

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Tables:
    """The one place where table names are made. Raises ParameterRefused for what is not an identifier."""

    catalog: str
    schema_prefix: str = ""

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.catalog):
            raise ParameterRefused(f"catalog is {self.catalog!r}, which is not a plain identifier")
        if self.schema_prefix and not _IDENTIFIER.fullmatch(self.schema_prefix):
            raise ParameterRefused(f"schema_prefix is {self.schema_prefix!r}, which is not a plain identifier")

    def schema(self, schema: str) -> str:
        return f"{self.catalog}.{self.schema_prefix}{schema}"

    def name(self, table: str) -> str:
        """Of "silver.orders" the full name."""
        schema, _, name = table.partition(".")
        return f"{self.schema(schema)}.{name}"

    def staging(self, table: str, build_id: str) -> str:
        """Of a layer's table the staging table of one build."""
        if not re.fullmatch(r"[A-Za-z0-9_]+", build_id):
            raise ParameterRefused(f"build_id is {build_id!r}: letters, digits and underscores only")
        return self.name(f"staging.{table.replace('.', '_')}__{build_id}")
