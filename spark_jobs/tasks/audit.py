"""The task `audit`: judges a build by the rules, on the tables as they would be after publication."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql.types import DateType, StringType, StructType

from spark_jobs.layers.bronze.bronze_tables import LANDED_FILES, ORDER_ITEMS, QUARANTINE
from spark_jobs.layers.bronze.metrics import METRICS_TABLE
from spark_jobs.quality.anomalies import Anomaly, AnomalySettings
from spark_jobs.quality.checkpoint import AuditResult, Input, run_checkpoint
from spark_jobs.quality.data_docs import render_data_docs
from spark_jobs.quality.fingerprint import fingerprint_as_built
from spark_jobs.quality.inputs import GoldAudit, OrderDifferences, SilverAudit, once
from spark_jobs.quality.metric_history import METRIC_COLUMNS, anomalies_of, as_evidence
from spark_jobs.quality.quarantine_reasons import quarantine_reasons
from spark_jobs.quality.rules import rules_hash
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.session import expect_rows
from spark_jobs.runtime.table_names import UPSTREAM_LAYER
from spark_jobs.storage import delta
from spark_jobs.storage.anomaly_log import anomaly_log
from spark_jobs.storage.build_record import PinnedPublication
from spark_jobs.storage.decisions import Decisions
from spark_jobs.storage.local_relation import Relation, fetch, fetch_if_small
from spark_jobs.storage.lost_tables import report_lost
from spark_jobs.storage.ops_volume import verdict_file
from spark_jobs.storage.other_writers import readable
from spark_jobs.storage.overlay import Overlay
from spark_jobs.storage.pinned_tables import changed_upstream, read_pinned
from spark_jobs.storage.publications import Publications, PublishedDates
from spark_jobs.storage.staging import changed_keys_table, staged_relation, staged_rows, staged_values
from spark_jobs.storage.verdicts import QuarantineReason, Verdict, Verdicts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from spark_jobs.storage.build_record import Build
    from spark_jobs.storage.lakehouse import Lakehouse

log = logging.getLogger(__name__)
_MISSING_DATES = StructType().add("landing_date", DateType()).add("reason", StringType())


def audit_build(lakehouse: Lakehouse, build: Build) -> Verdict:
    """Judge a build and write its verdict: Data Docs, the row of ops.verdicts, those of ops.anomalies, and the file
    that the gate reads.

    What is wrong with the data is in the verdict.
    """
    expect_rows(lakehouse.spark, build.most_rows)
    result, anomalies, notes = _judged(lakehouse, build)
    notes = (*build.notes, *notes)
    docs = f"data_docs/{build.layer}/{build.build_id}"
    title = f"{build.layer} build {build.build_id}, {build.interval}"
    quarantine, staged_quarantine = _quarantine(lakehouse, build, result)
    render_data_docs(result, lakehouse.ops.root / docs, title, quarantine)
    unchanged = (f"nothing changed upstream: {build.layer} stays as it is",) if build.is_empty else ()
    verdict = Verdict(
        layer=build.layer,
        build_id=build.build_id,
        job_run_id=build.job_run_id,
        success=result.success,
        interval_start=str(build.interval.start),
        interval_end=str(build.interval.end),
        # Of the staging as it was built, since that was judged. Publish compares it with the staging that it finds.
        fingerprint=fingerprint_as_built(build),
        statistics=result.statistics,
        rules=rules_hash(build.layer),
        code_version=code_version(),
        data_docs=f"{docs}/index.html",
        failures=result.failures,
        warnings=result.warnings,
        notes=(*notes, *unchanged),
        rows=build.rows,
        parameters=result.parameters,
        quarantine=quarantine,
        staged_quarantine=staged_quarantine,
        unreadable=result.unreadable,
    )
    # Before the verdict, by which dashboards see that there is something new.
    _record(lakehouse, build, anomalies)
    Verdicts(lakehouse).append(verdict)
    for job_run_id in filter(None, (build.job_run_id, build.parameters.called_by)):
        lakehouse.ops.write_json(verdict_file(build.layer, job_run_id), verdict.as_dict())
    if build.upstream and not verdict.success:  # the live DAG does not try again what would be rejected again
        lakehouse.ops.record_progress(build.layer, build.previous.seq, build.upstream.seq)
    for line in verdict.lines():
        log.info("%s", line)
    return verdict


def _quarantine(lakehouse: Lakehouse, build: Build, result: AuditResult) -> tuple[tuple[QuarantineReason, ...], str]:
    """Explain the quarantine of a rejected build, and say where all its lines are."""
    staged = build.staged.get(QUARANTINE.name)
    if result.success or staged is None or not staged.rows:
        return (), ""
    rows = staged_values(lakehouse, staged, ("source_file", "line", "reasons"))
    reasons = quarantine_reasons(rows, build.parameters.landing_root, build.parameters.source_encoding)
    return reasons, str(lakehouse.staging_root / staged.folder)


def _judged(lakehouse: Lakehouse, build: Build) -> tuple[AuditResult, list[Anomaly], tuple[str, ...]]:
    """Judge a build. Where that needs what others removed, judge by what is left. Return also notes on that."""
    (result, anomalies), layer = _judge(lakehouse, build), build.layer
    if not result.unreadable:
        return result, anomalies, ()
    note = f"whole tables are judged: what {layer} was built from before cannot be read any more"
    left = replace(
        build,
        previous=readable(lakehouse, build.previous),
        upstream=build.upstream and readable(lakehouse, build.upstream),
        previous_upstream=None,
        full_refresh=True,
    )
    result, anomalies = _judge(lakehouse, left, pin=partial(readable, lakehouse))
    if result.unreadable and layer == "bronze" and build.staged:
        note = "nothing is compared with what is published of bronze, since that cannot be read any more"
        result, anomalies = _judge(lakehouse, replace(left, previous=PinnedPublication(build.previous.seq)))
    elif result.unreadable and build.upstream:
        note = f"what {layer} and {UPSTREAM_LAYER[layer]} have published cannot be read any more: run both again"
        reason = f"the audit of {layer} build {build.build_id} could not read what is published"
        for lost, publication in ((layer, build.previous), (UPSTREAM_LAYER[layer], build.upstream)):
            if lost != "bronze":
                report_lost(lakehouse, lost, publication.seq, reason)
    log.warning("%s: %s", layer, note)
    return result, anomalies, (note,)


def _record(lakehouse: Lakehouse, build: Build, anomalies: Sequence[Anomaly]) -> None:
    """Append anomalies to ops.anomalies. The first build of bronze makes that table and ops.decisions for readers."""
    found = anomaly_log(lakehouse)
    if build.layer == "bronze" and not build.previous.seq:
        found.create()
        Decisions(lakehouse).create()
    if anomalies:
        of_build = {"layer": build.layer, "build_id": build.build_id, "job_run_id": build.job_run_id}
        found.append([asdict(one) | of_build for one in anomalies])


def _judge(
    lakehouse: Lakehouse, build: Build, pin: Callable[[PinnedPublication], PinnedPublication] | None = None
) -> tuple[AuditResult, list[Anomaly]]:
    """Return the result, and the anomalies of the metrics that the build stages."""
    tables = [spec.name for spec in lakehouse.tables_of(build.layer)]
    inputs = _Inputs(lakehouse, build, pin)
    result = run_checkpoint(
        lakehouse.spark, build.layer, tables, inputs.by_name(), _parameters(build), empty_change=build.is_empty
    )
    return result, inputs.anomalies


def _parameters(build: Build) -> dict[str, Any]:
    """Return the parameters of the layer's rules that this run gives."""
    if build.layer != "bronze":
        return {}
    return {
        "max_quarantined_share": build.parameters.max_quarantined_percent / Decimal(100),
        "max_quarantined_lines": build.parameters.max_quarantined_lines,
        "fewer_lines_warning_percent": build.parameters.fewer_lines_warning_percent,
        "fewer_lines_critical_percent": build.parameters.fewer_lines_critical_percent,
        "max_order_age_days": build.parameters.max_order_age_days,
        "max_order_days_ahead": build.parameters.max_order_days_ahead,
        "interval_start": build.interval.start,
        "interval_end": build.interval.end,
        "open_from": build.parameters.first_open_date or build.interval.end,
    }


class _Inputs:
    """Binds the inputs of the rules to what one build read and staged. Each is read at most once.

    `pin` chooses the versions at which to read a publication that the build did not read itself; by default those that
    the publication names.
    """

    def __init__(
        self, lakehouse: Lakehouse, build: Build, pin: Callable[[PinnedPublication], PinnedPublication] | None
    ) -> None:
        self._lakehouse = lakehouse
        self._build = build
        self._pin = pin or (lambda publication: publication)
        self.anomalies: list[Anomaly] = []
        """Empty until the input `anomalies` has been read."""

    def by_name(self) -> dict[str, Input]:
        """Return the inputs by the names that spark_jobs/quality/inputs.py lists."""
        return {"bronze": self._bronze, "silver": self._silver, "gold": self._gold}[self._build.layer]()

    def _bronze(self) -> dict[str, Input]:
        lakehouse, build = self._lakehouse, self._build
        missing = [(date.fromisoformat(day), reason) for day, reason in sorted(build.missing_dates.items())]
        inputs: dict[str, Input] = {
            "landed_files_published": self._landed_files_published,
            "missing_dates": lambda: lakehouse.spark.createDataFrame(missing, _MISSING_DATES),
            "anomalies": once(self._anomalies),
        }
        for spec in lakehouse.tables_of("bronze"):
            read: Input = partial(read_pinned, lakehouse, build.previous, spec.name)
            if build.staged:
                read = partial(staged_rows, lakehouse, spec.name, build.staged[spec.name])
            inputs[spec.short_name] = once(read)
        return inputs

    def _landed_files_published(self) -> DataFrame:
        """Read the files of the interval as they are published: with the statement that uses them, and not before."""
        lakehouse, build = self._lakehouse, self._build
        files = read_pinned(lakehouse, build.previous, LANDED_FILES.name)
        interval = build.interval
        return files.where(f"landing_date >= DATE'{interval.start}' AND landing_date < DATE'{interval.end}'")

    def _anomalies(self) -> DataFrame:
        """Return the anomalies of the metrics that the build stages: none where it stages nothing, as in maintenance.

        Dates that are still being delivered are not judged.
        """
        lakehouse, build = self._lakehouse, self._build
        if staged := build.staged.get(METRICS_TABLE.name):
            open_from = build.parameters.first_open_date or date.max
            rows = [row for row in staged_values(lakehouse, staged, METRIC_COLUMNS) if row[0] < open_from]
            is_published = METRICS_TABLE.name in build.previous.versions
            published = read_pinned(lakehouse, build.previous, METRICS_TABLE.name) if is_published else None
            settings = AnomalySettings.from_texts(build.parameters.critical_metrics, build.parameters.incident_dates)
            decisions = Decisions(lakehouse)
            find = partial(anomalies_of, rows, published, settings)
            try:
                self.anomalies = find(decisions.confirmed_incidents())
            except PySparkException as error:
                if not delta.is_missing(error):
                    raise
                decisions.create()
                self.anomalies = find(decisions.confirmed_incidents())
        return as_evidence(lakehouse.spark, self.anomalies)

    def _silver(self) -> dict[str, Input]:
        order_items = self._upstream("bronze.order_items")
        since = once(self._dates_since)

        def newest() -> Relation:
            """Return the rows that can be the newest of their item: the newest delivery of each judged key is among
            them."""
            dates = since()
            if dates is None or not dates.are_latest:
                return Relation(order_items(), None)
            rows, keys = order_items().where(dates.condition), self._build.staged[changed_keys_table("silver")]
            return fetch_if_small(rows, keys.rows, len(ORDER_ITEMS.columns))

        items = once(newest)

        def delivered() -> Relation | None:
            dates, before = since(), self._build.previous_upstream
            if dates is None or before is None:
                return None
            if dates.are_latest:  # nothing was published of them before
                of_dates = items().distinct("order_item_id")
                return fetch(of_dates.frame) if of_dates.rows is None else of_dates
            both = (order_items(), read_pinned(self._lakehouse, before, "bronze.order_items"))
            found = [rows.where(dates.condition).select("order_item_id") for rows in both]
            return fetch(found[0].unionByName(found[1]).distinct())

        audit = SilverAudit(lambda: items().frame, self._overlays(), once(self._changed_keys), once(delivered))
        return audit.inputs(incremental=not self._build.full_refresh)

    def _gold(self) -> dict[str, Input]:
        specs = self._lakehouse.tables_of("silver")
        upstream = {spec.short_name: self._upstream(spec.name) for spec in specs}
        changed = once(self._changed_in_silver)

        def changed_items() -> Relation | None:
            found = changed()
            return None if found is None else found["silver.orders"]

        def differences() -> OrderDifferences | None:
            found, before = changed(), self._build.previous_upstream
            if before is None or found is None:
                return None
            orders = read_pinned(self._lakehouse, before, "silver.orders")
            return OrderDifferences.between(
                orders, upstream["orders"](), found["silver.orders"], found["silver.dim_customers"]
            )

        upstream["order_items"] = once(self._bronze_of_silver)
        audit = GoldAudit(upstream, self._overlays(), once(self._changed_keys), changed_items, differences)
        return audit.inputs(incremental=not self._build.full_refresh)

    def _overlays(self) -> dict[str, Callable[[], Overlay]]:
        specs = self._lakehouse.tables_of(self._build.layer)
        return {spec.short_name: once(partial(self._overlay, spec.name)) for spec in specs}

    def _overlay(self, table: str) -> Overlay:
        build, staged = self._build, self._build.staged.get(table)
        published = read_pinned(self._lakehouse, build.previous, table) if build.previous.seq else None
        rows = staged_relation(self._lakehouse, table, staged) if staged else None
        return Overlay(published, rows, self._lakehouse.tables[table].key, bool(staged and staged.overwrites))

    def _changed_keys(self) -> Relation | None:
        """Return the keys that the build derived again; None where it derived all."""
        if self._build.full_refresh:
            return None
        table = changed_keys_table(self._build.layer)
        return staged_relation(self._lakehouse, table, self._build.staged[table])

    def _dates_since(self) -> PublishedDates | None:
        """Return the landing dates that bronze published since silver was last built; None where all are judged."""
        upstream, before = self._build.upstream, self._build.previous_upstream
        return Publications(self._lakehouse).dates_since(before.seq, upstream.seq) if upstream and before else None

    def _changed_in_silver(self) -> dict[str, Relation] | None:
        """Return the keys of the rows that silver wrote or removed since gold was last built; None where all are
        judged."""
        if self._build.previous_upstream is None:
            return None
        keys = {"silver.orders": "order_item_id", "silver.dim_customers": "customer_id"}
        return changed_upstream(self._lakehouse, self._build, keys).keys

    def _bronze_of_silver(self) -> DataFrame:
        """Read bronze.order_items as the silver that a gold build read had read it."""
        bronze = Publications(self._lakehouse).upstream_of("silver", self._upstream_publication().seq)
        return read_pinned(self._lakehouse, self._pin(PinnedPublication.pin(bronze)), "bronze.order_items")

    def _upstream(self, table: str) -> Callable[[], DataFrame]:
        return once(lambda: read_pinned(self._lakehouse, self._upstream_publication(), table))

    def _upstream_publication(self) -> PinnedPublication:
        if self._build.upstream is None:
            raise ValueError(f"{self._build.layer} build {self._build.build_id} does not name what it was built from")
        return self._build.upstream
