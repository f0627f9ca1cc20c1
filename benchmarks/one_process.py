"""Raw to gold by the product's own functions in one Spark process: no staging, gates, publications or Airflow.

`python -m benchmarks.one_process LANDING OUT` starts a Spark Connect server as the local workspace does (its settings,
its memory; the jars and the Java of LAKEHOUSE_STATE), reads all landing folders, and writes each table once, as Delta,
into OUT/<layer>/<table>. What the product takes beyond this is the price of what it adds: staging and publications
(readers never see a partial result, and every crash and rerun ends the same), audits, quarantine shares, incremental
runs, and orchestration.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel

from benchmarks.measurement import Measurement, command_line, empty_folder, order_files
from local_workspace.spark_server import DEFAULT_DRIVER_MEMORY, SparkServer
from machine.command_line import UserError
from machine.java import find_java_home
from machine.ports import free_port
from machine.state_folder import StateFolder
from spark_jobs.layers.bronze.bronze_tables import LANDED_FILES
from spark_jobs.layers.bronze.landed_lines import BuildStamp, landed_lines, order_items, quarantine
from spark_jobs.layers.bronze.row_rules import bronze_row_rules
from spark_jobs.layers.gold.customers360 import customers360
from spark_jobs.layers.gold.orders_enriched import orders_enriched
from spark_jobs.layers.gold.products360 import products360
from spark_jobs.layers.silver.dimensions import dim_customers, dim_products
from spark_jobs.layers.silver.orders import orders
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.errors import LakehouseError
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.landed_text import read_lines
from spark_jobs.storage.landing import landed_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class Tables:
    """Delta tables in a folder, by names such as silver.orders."""

    def __init__(self, spark: SparkSession, out: Path) -> None:
        self._spark = spark
        self._out = out

    def write(self, table: str, rows: DataFrame) -> None:
        """Write the rows, once. Raises Spark's AnalysisException where the table exists."""
        rows.write.format("delta").mode("error").save(self._path(table))

    def read(self, table: str) -> DataFrame:
        return self._spark.read.format("delta").load(self._path(table))

    def _path(self, table: str) -> str:
        return str(self._out.joinpath(*table.split(".")))


def run(landing: Path, out: Path) -> dict[str, Any]:
    """Make all tables in a separate Spark; return the measured result (measurement.Measurement.report).

    Raises FileNotFoundError where nothing has landed, FileExistsError where `out` is not empty, SparkServerError and
    NoJavaError where Spark cannot be started, and what make_tables raises.
    """
    landing_interval(landing)
    out = empty_folder(out)
    measurement = Measurement()
    with measurement, tempfile.TemporaryDirectory(prefix="spark-", dir=out) as folder:
        with measurement.step("start"):
            state = StateFolder.from_environment()
            memory = os.environ.get("LAKEHOUSE_SPARK_MEMORY", DEFAULT_DRIVER_MEMORY)
            java_home = find_java_home(state.root)
            server = SparkServer(Path(folder), free_port(), driver_memory=memory, jars=state.jars, java_home=java_home)
            server.start()
        try:
            with session(server.remote_url(str(uuid.uuid4()))) as spark:
                version = spark.version
                rows = make_tables(spark, landing.resolve(), out, measurement)
        finally:
            server.stop()
    return measurement.report("one_process", f"pyspark {version}", rows, out)


@contextmanager
def session(remote: str) -> Iterator[SparkSession]:
    """Yield a Spark Connect session with the settings of the jobs."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.remote(remote).create()
    try:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        spark.conf.set("spark.sql.ansi.enabled", "true")
        yield spark
    finally:
        spark.stop()


def make_tables(spark: SparkSession, landing: Path, out: Path, measurement: Measurement) -> int:
    """Make the tables of all three layers from all that has landed; return the number of landed lines.

    Raises LandingRefused and its kinds.
    """
    tables = Tables(spark, out)
    with measurement.step("bronze"):
        landed = landed_files(landing, landing_interval(landing), allow_missing=True)
        lines = landed_lines(
            read_lines(spark, landing, landed.files),
            landed.files,
            bronze_row_rules(),
            secrets.token_bytes(32),
            BuildStamp("one_process", "", code_version(), datetime.now(UTC)),
        ).persist(StorageLevel.DISK_ONLY)  # two tables are made of it
        files = [(file.landing_date, file.path, file.lines, file.size) for file in landed.files]
        tables.write("bronze.order_items", order_items(lines))
        tables.write("bronze.quarantine", quarantine(lines))
        tables.write("bronze.landed_files", spark.createDataFrame(files, LANDED_FILES.schema).coalesce(1))
        lines.unpersist()
    with measurement.step("silver"):
        items = tables.read("bronze.order_items")
        tables.write("silver.dim_customers", dim_customers(items))
        tables.write("silver.dim_products", dim_products(items))
        tables.write("silver.orders", orders(items))
    with measurement.step("gold"):
        sold = tables.read("silver.orders")
        customers, products = tables.read("silver.dim_customers"), tables.read("silver.dim_products")
        newest = sold.agg({"landing_date": "max"}).collect()[0][0]
        as_of = newest + timedelta(days=1) if newest else None
        tables.write("gold.orders_enriched", orders_enriched(sold, customers, products))
        tables.write("gold.customers360", customers360(sold, customers, as_of))
        tables.write("gold.products360", products360(tables.read("gold.orders_enriched"), products, as_of))
    return landed.lines


def landing_interval(landing: Path) -> Interval:
    """Return the interval from the first landing date that has order files to the last.

    Raises FileNotFoundError where nothing landed.
    """
    days = [date.fromisoformat(file.parent.name.removeprefix("dt=")) for file in order_files(landing)]
    return Interval(min(days), max(days) + timedelta(days=1))


if __name__ == "__main__":
    sys.exit(command_line(run, __doc__ or "", LakehouseError, UserError))
