"""What a build stages, brought into the tables of its layer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from spark_jobs.builds.record import Base, Build
from spark_jobs.builds.staged_changes import stage_whole
from spark_jobs.published_schemas import SCHEMAS
from spark_jobs.publishing.commit import commit, restore_heads
from tests.spark.publishing.lakehouse import Lakehouse

TABLE = "gold.product_totals"
VALUES: dict[str, Any] = {"integer": 1, "bigint": 1, "long": 1, "decimal": Decimal(1), "date": date(2018, 1, 1)}


def sums_of(product: int) -> dict[str, Any]:
    one = {field.name: VALUES[field.dataType.typeName()] for field in SCHEMAS[TABLE].fields}
    return one | {"product_id": product}


def test_a_table_staged_whole_takes_the_place_of_what_was_published(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()
    spark, tables = lakehouse.spark, lakehouse.tables
    heads = restore_heads(spark, tables, "gold", None)
    standing, gained = 0, []
    for number, products in enumerate(([1, 2], [2, 3, 4], [])):
        rows = spark.createDataFrame([sums_of(product) for product in products], SCHEMAS[TABLE])
        staged = stage_whole(spark, tables, f"build{number}", TABLE, rows)
        build = Build(
            layer="gold",
            build_id=f"build{number}",
            job_run_id=str(number),
            parameters=lakehouse.parameters("gold", "2018-01-01", "2018-01-02"),
            base=Base(number, heads, {TABLE: standing}),
            below=None,
            below_before=None,
            whole=False,
            staged={TABLE: staged},
            rows={},
        )
        done = commit(spark, tables, build, heads)
        standing += done[TABLE].rows_gained
        gained.append(done[TABLE].rows_gained)
        assert [
            row["product_id"] for row in spark.table(tables.name(TABLE)).orderBy("product_id").collect()
        ] == products
        heads = {table: one.version for table, one in done.items()}
    assert gained == [2, 1, -3]
