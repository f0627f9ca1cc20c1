"""The schema and the key of every published table."""

from __future__ import annotations

from pyspark.sql.types import StructType

from spark_jobs.bronze import schema as bronze
from spark_jobs.gold import schema as gold
from spark_jobs.silver import schema as silver

SCHEMAS: dict[str, StructType] = {**bronze.SCHEMAS, **silver.SCHEMAS, **gold.SCHEMAS}
KEYS: dict[str, str] = {**silver.KEYS, **gold.KEYS}
"""Of the tables that are merged by key; bronze is replaced by landing date."""
