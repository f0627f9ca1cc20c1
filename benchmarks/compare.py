"""Compare the tables of DuckDB and of the one Spark process: only equal work may be compared in time.

`python -m benchmarks.compare DUCKDB_OUT ONE_PROCESS_OUT` prints, as one JSON object, how many rows of each table
differ, and fails if any do.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb

from benchmarks.duckdb_alternative import DATABASE
from spark_jobs.layers.bronze.bronze_tables import AUDIT_ONLY

TABLES = (
    "bronze.order_items",
    "silver.orders",
    "silver.dim_customers",
    "silver.dim_products",
    "gold.orders_enriched",
    "gold.customers360",
    "gold.products360",
)
# Each run has its own secret, and each tool its own hash of a row.
_HASHES = ("customer_email", "customer_email_hash", "row_hash")


def differences(duckdb_out: Path, one_process_out: Path) -> dict[str, int]:
    """Count for each table the rows that only one of the two has, without audit columns and hashes.

    Raises ValueError where names or types of columns differ. The Delta tables must have been written once, as
    one_process does: all of their Parquet files are read.
    """
    found = {}
    with duckdb.connect(duckdb_out / DATABASE, read_only=True) as database:
        database.execute("set timezone = 'UTC'")  # Spark's timestamps are instants
        for table in TABLES:
            theirs = database.read_parquet(f"{one_process_out.joinpath(*table.split('.'))}/*.parquet")
            ours = database.table(table)
            kinds = [
                {
                    name: str(kind).removesuffix(" WITH TIME ZONE")
                    for name, kind in zip(relation.columns, relation.types, strict=True)
                    if name not in AUDIT_ONLY
                }
                for relation in (ours, theirs)
            ]
            if kinds[0] != kinds[1]:
                differ = sorted(name for name, _ in kinds[0].items() ^ kinds[1].items())
                raise ValueError(f"the columns of {table} are not the same: {', '.join(differ)}")
            values = ", ".join(f'"{name}"::{kind}' for name, kind in kinds[0].items() if name not in _HASHES)
            ours, theirs = ours.project(values), theirs.project(values)
            found[table] = len(ours.except_(theirs)) + len(theirs.except_(ours))
    return found


def main() -> int:
    """Run the command line."""
    if len(sys.argv) != 3:
        print("usage: python -m benchmarks.compare DUCKDB_OUT ONE_PROCESS_OUT", file=sys.stderr)
        return 2
    found = differences(Path(sys.argv[1]), Path(sys.argv[2]))
    print(json.dumps(found))
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
