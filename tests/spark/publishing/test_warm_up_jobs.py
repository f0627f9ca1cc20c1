"""The job tasks that warm Spark up: real ones, on separate schemas."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from laptop.warm_up import DAYS, PREFIX, START, job_tasks
from machine.state_folder import StateFolder
from spark_jobs.runtime.table_names import LAYERS


def test_they_publish_every_layer_twice_and_only_on_their_own_schemas(
    spark: SparkSession, spark_remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StateFolder(tmp_path)
    monkeypatch.setenv("SPARK_REMOTE", spark_remote)
    monkeypatch.setenv("LAKEHOUSE_SECRETS_DIR", str(folder.secrets))
    before = {row[0] for row in spark.sql("SHOW SCHEMAS").collect()}
    try:
        names = []
        for name, run in job_tasks(folder):
            run()
            names.append(name)
        assert len(names) == 2 * len(LAYERS) * len(("build", "audit", "publish"))
        published = spark.sql(f"SELECT layer, seq FROM {PREFIX}ops.publications ORDER BY ALL").collect()
        assert [tuple(row) for row in published] == [(layer, seq) for layer in sorted(LAYERS) for seq in (1, 2)]
        dates = spark.sql(f"SELECT DISTINCT landing_date FROM {PREFIX}bronze.order_items").collect()
        assert {(row[0] - START).days for row in dates} == set(range(DAYS))
        made = {row[0] for row in spark.sql("SHOW SCHEMAS").collect()} - before
        assert made == {f"{PREFIX}{schema}" for schema in (*LAYERS, "ops")}
    finally:
        for row in spark.sql(f"SHOW SCHEMAS LIKE '{PREFIX}*'").collect():
            spark.sql(f"DROP SCHEMA {row[0]} CASCADE")
