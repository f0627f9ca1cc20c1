"""The registry: every published table, in the order in which a layer builds and commits them."""

from __future__ import annotations

from spark_jobs.layers.bronze import bronze_tables
from spark_jobs.layers.gold.customers360 import CUSTOMERS360
from spark_jobs.layers.gold.orders_enriched import ORDERS_ENRICHED
from spark_jobs.layers.gold.product_totals import PRODUCT_TOTALS
from spark_jobs.layers.gold.products360 import PRODUCTS360
from spark_jobs.layers.silver.dimensions import DIM_CUSTOMERS, DIM_PRODUCTS
from spark_jobs.layers.silver.orders import ORDERS
from spark_jobs.tables.spec import TableSpec

TABLES: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        *bronze_tables.TABLES,
        DIM_CUSTOMERS,
        DIM_PRODUCTS,
        ORDERS,
        ORDERS_ENRICHED,
        PRODUCT_TOTALS,
        CUSTOMERS360,
        PRODUCTS360,
    )
}


def tables_of(layer: str) -> tuple[TableSpec, ...]:
    """Return the tables of a layer; a table comes after those that it is derived from."""
    return tuple(spec for spec in TABLES.values() if spec.layer == layer)
