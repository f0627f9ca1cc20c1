"""The task `audit`: judges a build by the rules, on the tables as they would be after publication."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from spark_jobs.layers.bronze.landed_lines import order_items, quarantine
from spark_jobs.layers.bronze.schema import LANDED_LINES
from spark_jobs.layers.registry import KEYS
from spark_jobs.quality.checkpoint import Input, run_checkpoint
from spark_jobs.quality.data_docs import render_data_docs
from spark_jobs.quality.fingerprint import fingerprint_as_built
from spark_jobs.quality.inputs import GoldAudit, MovedOrders, SilverAudit, once
from spark_jobs.quality.rules import suites_hash
from spark_jobs.runtime.code_version import code_version
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.inputs import as_base, changed_below, published
from spark_jobs.storage.local_relation import are_few, at_hand
from spark_jobs.storage.ops_volume import OpsVolume, verdict_file
from spark_jobs.storage.overlay import Change
from spark_jobs.storage.publications import Publications, PublishedDates, published_since
from spark_jobs.storage.staged_changes import touched_table
from spark_jobs.storage.staging import staged, staged_at_hand
from spark_jobs.storage.verdicts import Verdict, Verdicts
from spark_jobs.tables.names import LAYER_TABLES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)


def audit_build(spark: SparkSession, ops: OpsVolume, build: Build) -> Verdict:
    """Judges a build and writes its verdict: Data Docs, the row of ops.verdicts, and the file that the gate reads.

    What is wrong with the data is in the verdict.
    """
    # What is read below is the staging as it was built; publish compares this with the staging that it finds.
    audited = fingerprint_as_built(build)
    inputs = _Reader(spark, build).inputs()
    result = run_checkpoint(spark, build.layer, inputs, _parameters(build), empty_change=build.is_empty)
    docs = f"data_docs/{build.layer}/{build.build_id}"
    render_data_docs(result, ops.root / docs, title=f"{build.layer} build {build.build_id}, {build.interval}")
    unchanged = (f"nothing changed upstream: {build.layer} stays as it is",) if build.is_empty else ()
    verdict = Verdict(
        layer=build.layer,
        build_id=build.build_id,
        job_run_id=build.job_run_id,
        success=result.success,
        interval_start=str(build.interval.start),
        interval_end=str(build.interval.end),
        fingerprint=audited,
        statistics=result.statistics,
        suites=suites_hash(build.layer),
        code_version=code_version(),
        data_docs=f"{docs}/index.html",
        failures=result.failures,
        warnings=result.warnings,
        notes=(*build.notes, *unchanged),
        rows=build.rows,
        parameters=result.parameters,
    )
    Verdicts(spark, build.parameters.tables).append(verdict)
    ops.write_json(verdict_file(build.layer, build.job_run_id), verdict.as_dict())
    for line in verdict.lines():
        log.info("%s", line)
    return verdict


def _parameters(build: Build) -> dict[str, Any]:
    """The parameters of the layer's rules that this run gives."""
    if build.layer != "bronze":
        return {}
    return {
        "max_quarantined_share": float(build.parameters.quarantined_percent / Decimal(100)),
        "max_quarantined_lines": build.parameters.quarantined_lines,
        "interval_start": build.interval.start,
        "interval_end": build.interval.end,
    }


class _Reader:
    """Binds the inputs of the rules to what one build read and staged; each is read at most once."""

    def __init__(self, spark: SparkSession, build: Build) -> None:
        self._spark = spark
        self._build = build
        self._tables = build.parameters.tables
        self._publications = Publications(spark, self._tables)

    def inputs(self) -> dict[str, Input]:
        """By name: see spark_jobs/quality/inputs.py."""
        by_layer = {"bronze": self._bronze, "silver": self._silver, "gold": self._gold}
        return by_layer[self._build.layer]()

    def _bronze(self) -> dict[str, Input]:
        build = self._build
        missing = [(day,) for day in build.interval.dates() if str(day) in build.missing_dates]
        inputs: dict[str, Input] = {
            "missing_dates": lambda: self._spark.createDataFrame(missing, "landing_date DATE"),
        }
        if not build.staged:
            for name in ("order_items", "quarantine", "landed_files"):
                inputs[name] = once(partial(self._read, build.base, f"bronze.{name}"))
            return inputs
        lines = build.staged["bronze.lines"]
        read = staged_at_hand if are_few(lines.rows, len(LANDED_LINES)) else staged
        landed = once(lambda: read(self._spark, lines))
        return inputs | {
            "order_items": once(lambda: order_items(landed())),
            "quarantine": once(lambda: quarantine(landed())),
            "landed_files": once(lambda: staged(self._spark, build.staged["bronze.landed_files"])),
        }

    def _silver(self) -> dict[str, Input]:
        build = self._build
        bronze = self._upstream("bronze.order_items")
        since = once(self._dates_since)

        def newest() -> DataFrame:
            """The rows that can be the newest of their item: the newest delivery of each judged key is among them."""
            dates = since()
            return bronze().where(dates.dates) if dates is not None and dates.are_latest else bronze()

        def delivered() -> DataFrame | None:
            dates = since()
            if dates is None or build.below_before is None:
                return None
            before = self._read(build.below_before, "bronze.order_items")
            items = [rows.where(dates.dates).select("order_item_id") for rows in (bronze(), before)]
            return items[0].unionByName(items[1]).distinct()

        audit = SilverAudit(once(newest), self._changes(), once(self._touched), once(delivered))
        return audit.inputs(incremental=not build.whole)

    def _gold(self) -> dict[str, Input]:
        upstream = {name: self._upstream(f"silver.{name}") for name in ("orders", "dim_customers", "dim_products")}
        changed = once(self._changed_items)

        def moved() -> MovedOrders | None:
            items = changed()
            if self._build.below_before is None or items is None:
                return None
            before = self._read(self._build.below_before, "silver.orders")
            return MovedOrders.between(
                before, upstream["orders"](), items, self._changed("dim_customers", "customer_id")
            )

        audit = GoldAudit(
            {**upstream, "order_items": once(self._bronze_behind)}, self._changes(), once(self._touched), changed, moved
        )
        return audit.inputs(incremental=not self._build.whole)

    def _changes(self) -> dict[str, Callable[[], Change]]:
        return {
            table.partition(".")[2]: once(partial(self._change, table)) for table in LAYER_TABLES[self._build.layer]
        }

    def _change(self, table: str) -> Change:
        build = self._build
        staged_table = build.staged.get(table)
        before = self._read(build.base, table) if build.base.seq else None
        changes = staged_at_hand(self._spark, staged_table) if staged_table else None
        return Change(before, changes, KEYS[table], replaces=staged_table is not None and staged_table.replaces)

    def _touched(self) -> DataFrame | None:
        """The keys that the build derived again; None where it derived all."""
        build = self._build
        return None if build.whole else staged_at_hand(self._spark, build.staged[touched_table(build.layer)])

    def _dates_since(self) -> PublishedDates | None:
        """The landing dates that bronze has published since silver was built before; None where all are judged."""
        below, before = self._build.below, self._build.below_before
        return published_since(self._publications, before.seq, below.seq) if below and before else None

    def _changed_items(self) -> DataFrame | None:
        """The items that silver has written or removed since gold was built before; None where all are judged."""
        if self._build.below_before is None:
            return None
        return at_hand(self._changed("orders", "order_item_id"))

    def _changed(self, table: str, key: str) -> DataFrame:
        return changed_below(self._spark, self._tables, self._build, f"silver.{table}", key)

    def _bronze_behind(self) -> DataFrame:
        """bronze.order_items as the silver that a gold build read had read it."""
        build = self._build
        if build.below is None or (seq := self._publications.get("silver", build.below.seq).below_seq) is None:
            raise ValueError(f"gold build {build.build_id} does not name the bronze from which its silver was built")
        return self._read(as_base(self._publications.get("bronze", seq)), "bronze.order_items")

    def _upstream(self, table: str) -> Callable[[], DataFrame]:
        def read() -> DataFrame:
            if self._build.below is None:
                raise ValueError(
                    f"{self._build.layer} build {self._build.build_id} does not name what it was built from"
                )
            return self._read(self._build.below, table)

        return once(read)

    def _read(self, base: Any, table: str) -> DataFrame:
        return published(self._spark, self._tables, base, table)
