"""A small lakehouse of a test's own: landing, ops volume, schemas, and the jobs as the entry points call them."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.layers.bronze.bronze_tables import AUDIT_ONLY
from spark_jobs.layers.registry import TABLES, tables_of
from spark_jobs.quality.fingerprint import fingerprint
from spark_jobs.quality.rules import rules_hash
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.job_parameters import (
    BuildParameters,
    DatesParameters,
    DecideParameters,
    MaintenanceParameters,
    PublishParameters,
)
from spark_jobs.runtime.table_names import LAYERS, TableNames
from spark_jobs.storage import delta
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.decisions import Decision
from spark_jobs.storage.lakehouse import Lakehouse as JobLakehouse
from spark_jobs.storage.ops_volume import OpsVolume
from spark_jobs.storage.publications import Publication, Publications
from spark_jobs.storage.verdicts import Statistics, Verdict, Verdicts
from spark_jobs.tables.source import SOURCE_NAMES
from spark_jobs.tasks.audit import audit_build
from spark_jobs.tasks.build import build_layer
from spark_jobs.tasks.dates_to_run import dates_to_run
from spark_jobs.tasks.decide import decide_about_build
from spark_jobs.tasks.maintenance import maintain
from spark_jobs.tasks.publish import publish_build

REPO = Path(__file__).resolve().parents[3]
_VARIABLES = yaml.safe_load((REPO / "databricks.yml").read_text(encoding="utf-8"))["variables"]
SOURCE_SETTINGS = {
    name: str(_VARIABLES[name]["default"])
    for name in (
        "source_encoding",
        "date_order",
        "max_order_age_days",
        "max_order_days_ahead",
        "null_words",
        "email_columns",
    )
}
"""As the bundle sets them."""
_run_ids = itertools.count(1000)

ORDER_ITEM = {
    "Type": "DEBIT", "Days for shipping (real)": "3", "Days for shipment (scheduled)": "4",
    "Benefit per order": "20.5", "Sales per customer": "90.00", "Delivery Status": "Advance shipping",
    "Late_delivery_risk": "0", "Category Id": "73", "Category Name": "Sporting Goods", "Customer City": "Caguas",
    "Customer Country": "Puerto Rico", "Customer Email": "ann@example.com", "Customer Fname": "Ann",
    "Customer Id": "1", "Customer Lname": "Lee", "Customer Password": "hunter2", "Customer Segment": "Consumer",
    "Customer State": "PR", "Customer Street": "1 Main", "Customer Zipcode": "725", "Department Id": "2",
    "Department Name": "Fitness", "Latitude": "18.25", "Longitude": "-66.03", "Market": "Pacific Asia",
    "Order City": "Bekasi", "Order Country": "Indonesia", "Order Customer Id": "1",
    "order date (DateOrders)": "1/1/2018 10:00", "Order Id": "1", "Order Item Cardprod Id": "5",
    "Order Item Discount": "10", "Order Item Discount Rate": "0.1", "Order Item Id": "1",
    "Order Item Product Price": "100", "Order Item Profit Ratio": "0.2278", "Order Item Quantity": "1",
    "Sales": "100", "Order Item Total": "90.00", "Order Profit Per Order": "20.5",
    "Order Region": "Southeast Asia", "Order State": "Java", "Order Status": "COMPLETE", "Order Zipcode": "",
    "Product Card Id": "5", "Product Category Id": "73", "Product Description": "", "Product Image": "x",
    "Product Name": "Watch", "Product Price": "100", "Product Status": "0",
    "shipping date (DateOrders)": "1/4/2018 10:00", "Shipping Mode": "Standard Class",
}  # fmt: skip


def order_item(item: int, **changes: Any) -> dict[str, str]:
    """A valid line; `customer`, `product`, `price`, `day` (of January 2018), `segment` and `status` by short names."""
    values = dict(ORDER_ITEM)
    values["Order Item Id"] = str(item)
    values["Order Id"] = str(changes.pop("order", item))
    short = {
        "customer": ("Customer Id", "Order Customer Id"),
        "product": ("Product Card Id", "Order Item Cardprod Id"),
        "price": ("Product Price", "Order Item Product Price"),
        "total": ("Order Item Total", "Sales per customer"),
        "segment": ("Customer Segment",),
        "status": ("Order Status",),
    }
    if "day" in changes:
        values["order date (DateOrders)"] = f"1/{changes.pop('day')}/2018 10:{item % 60:02d}"
    for name, value in changes.items():
        for column in short.get(name, (name,)):
            values[column] = str(value)
    return values


class Lakehouse:
    """Its tables have a separate prefix, and are dropped by `drop`."""

    def __init__(self, spark: SparkSession, folder: Path, prefix: str) -> None:
        self.spark = spark
        self.landing = folder / "landing"
        self.landing.mkdir(parents=True)
        self.ops = OpsVolume(folder / "ops")
        self.staging_root = folder / "staging"
        self.names = TableNames("spark_catalog", prefix)
        self.jobs = JobLakehouse(spark, self.names, self.ops, self.staging_root, TABLES)
        self.publications = Publications(self.jobs)
        self.publications.create()

    def land(self, day: str, *lines: dict[str, str] | str) -> None:
        """Delivers a day, in place of what it has, in one file: lines as values by column, or as text."""
        self.deliver(day, {"orders.csv": lines})

    def deliver(self, day: str, files: Mapping[str, Sequence[dict[str, str] | str]]) -> None:
        """Delivers a day, in place of what it has: its files with their lines."""
        folder = self.landing / f"dt={day}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, lines in files.items():
            texts = [line if isinstance(line, str) else ",".join(line[c] for c in SOURCE_NAMES) for line in lines]
            content = "\r\n".join([",".join(SOURCE_NAMES), *texts, ""])
            (folder / name).write_text(content, encoding="windows-1252", newline="")

    def parameters(self, layer: str, start: str, end: str, **changes: str) -> BuildParameters:
        texts = self._task() | {
            "layer": layer,
            "interval_start": start,
            "interval_end": end,
            "landing_root": str(self.landing),
            **SOURCE_SETTINGS,
            "email_secret": "lakehouse/email-hmac-key",
            "allow_missing_dates": "false",
            "max_quarantined_percent": "5",
            "max_quarantined_lines": "5",
            "fewer_lines_warning_percent": "50",
            "fewer_lines_critical_percent": "0",
        }
        return BuildParameters.from_texts(texts | changes)

    def _task(self) -> dict[str, str]:
        return {
            "catalog": "spark_catalog",
            "schema_prefix": self.names.schema_prefix,
            "ops_root": str(self.ops.root),
            "staging_root": str(self.staging_root),
            "job_run_id": str(next(_run_ids)),
            "repair_count": "0",
        }

    def look(self, today: date, start: str = "", end: str = "") -> dict[str, str]:
        """What the job ecommerce_medallion finds to be run on a day, as the parameters of its builds, and `changed`."""
        texts = {"interval_start": start, "interval_end": end, "allow_missing_dates": "false", "open_from": ""}
        place = {"landing_root": str(self.landing), "run_date": str(today)}
        return dates_to_run(self.jobs, DatesParameters.from_texts(self._task() | texts | place))

    def build(self, layer: str, start: str = "2018-01-01", end: str = "2018-01-02", **changes: str) -> Build:
        return build_layer(self.jobs, self.parameters(layer, start, end, **changes))

    def built(self, layer: str, job_run_id: str) -> Build:
        """What a build has recorded."""
        return Build.load(self.ops, layer, job_run_id)

    def audit(self, build: Build) -> Verdict:
        return audit_build(self.jobs, build)

    def approve(self, build: Build) -> Verdict:
        """A successful verdict without its audit, for tests of what comes after it."""
        verdict = Verdict(
            layer=build.layer,
            build_id=build.build_id,
            job_run_id=build.job_run_id,
            success=True,
            interval_start=str(build.interval.start),
            interval_end=str(build.interval.end),
            fingerprint=fingerprint(self.jobs, build),
            statistics=Statistics(1, 1, 0, 0),
            rules=rules_hash(build.layer),
            code_version=code_version(),
            data_docs="",
        )
        Verdicts(self.jobs).append(verdict)
        return verdict

    def publish(self, build: Build, fingerprint: str, *, job_run_id: str = "", spark: Any = None) -> Publication:
        """By a new job run, and in this lakehouse's session, where none is given."""
        texts = self._task() | {
            "layer": build.layer,
            "build_job_run_id": build.job_run_id,
            "build_id": build.build_id,
            "fingerprint": fingerprint,
        }
        parameters = PublishParameters.from_texts(texts | ({"job_run_id": job_run_id} if job_run_id else {}))
        return publish_build(replace(self.jobs, spark=spark or self.spark), parameters)

    def decide(self, verdict: Verdict, decision: str = "publish", **changes: str) -> Decision:
        """By a new job run, for ann, who may."""
        texts = self._task() | {
            "layer": verdict.layer,
            "build_id": verdict.build_id,
            "fingerprint": verdict.fingerprint,
            "decision": decision,
            "reason": "the partner confirmed it",
            "decided_by": "ann",
            "deciders": "ann, bob",
            "confirmed_incident": "false",
            "decided_at": "",
        }
        return decide_about_build(self.jobs, DecideParameters.from_texts(texts | changes))

    def run(
        self, start: str, end: str, layers: tuple[str, ...] = LAYERS, *, audited: bool = True, **changes: str
    ) -> None:
        for layer in layers:
            build = self.build(layer, start, end, **changes)
            verdict = self.audit(build) if audited else self.approve(build)
            assert verdict.success, verdict.lines()
            self.publish(build, verdict.fingerprint)

    def maintain(self, as_of: str, **changes: str) -> None:
        limits = {"max_quarantined_percent": "5", "max_quarantined_lines": "5"}
        retention = {"table_retention_days": "90", "staging_retention_days": "7", "record_retention_days": "90"}
        texts = self._task() | {"as_of": as_of} | limits | retention | changes
        maintain(self.jobs, MaintenanceParameters.from_texts(texts))

    def published(self, table: str) -> DataFrame:
        newest = self.publications.newest_by_layer()[table.partition(".")[0]]
        return self.at(table, newest.tables[table])

    def tables(self, *layers: str) -> dict[str, DataFrame]:
        """Every published table (of these layers)."""
        newest = self.publications.newest_by_layer()
        names = {layer: self.table_names(layer) for layer in layers or LAYERS}
        return {table: self.at(table, newest[layer].tables[table]) for layer in names for table in names[layer]}

    def at(self, table: str, version: int) -> DataFrame:
        return delta.at_version(self.spark, self.names.table(table), version)

    def heads(self, layer: str) -> dict[str, int]:
        versions = {table: delta.head_version(self.spark, self.names.table(table)) for table in self.table_names(layer)}
        return {table: version for table, version in versions.items() if version is not None}

    def everything(self, *layers: str) -> dict[str, list[tuple[Any, ...]]]:
        """Every published table (of these layers), its rows sorted, audit columns aside."""
        newest = self.publications.newest_by_layer()
        content = {}
        for table, frame in self.tables(*layers).items():
            content[table] = sorted((tuple(row) for row in frame.drop(*AUDIT_ONLY).collect()), key=repr)
            counted = newest[table.partition(".")[0]].row_counts[table]
            assert counted == len(content[table]), f"the publication miscounts {table}"
        return content

    def statistics(self, table: str) -> list[dict[str, tuple[Any, Any]]]:
        """Of each file that was written to a published table: column -> its least and greatest value, from
        Delta's log."""
        detail = self.spark.sql(f"DESCRIBE DETAIL {self.names.table(table)}").collect()[0]
        log = self.spark.read.text(f"{detail['location']}/_delta_log/*.json").collect()
        written = [json.loads(line["value"])["add"] for line in log if line["value"].startswith('{"add"')]
        statistics = [json.loads(add["stats"]) for add in written]
        return [
            {name: (s["minValues"].get(name), s["maxValues"].get(name)) for name in s["nullCount"]} for s in statistics
        ]

    def staging(self) -> list[str]:
        """The ids of the builds that have something staged."""
        return sorted(folder.name for folder in self.staging_root.iterdir()) if self.staging_root.exists() else []

    def table_names(self, layer: str) -> list[str]:
        return [spec.name for spec in tables_of(layer)]

    def drop(self) -> None:
        for schema in (*LAYERS, "ops"):
            self.spark.sql(f"DROP SCHEMA IF EXISTS {self.names.schema(schema)} CASCADE")
