"""The task `maintenance`: audits whole tables, compacts and removes files, and removes what nobody needs any more."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from spark_jobs.layers.bronze.bronze_tables import LANDED_FILES
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.errors import GateRejected, PublicationMissing, TableDropped
from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.runtime.table_names import LAYERS, UPSTREAM_LAYER
from spark_jobs.storage import delta, staging
from spark_jobs.storage.anomaly_log import ANOMALIES, anomaly_log
from spark_jobs.storage.build_record import Build, PinnedPublication
from spark_jobs.storage.decisions import DECISIONS, Decisions, broken_rules
from spark_jobs.storage.lost_tables import bronze_dates, report_lost
from spark_jobs.storage.other_writers import (
    LAYOUT_OPERATIONS,
    METADATA_OPERATIONS,
    ConcurrentCommit,
    TableLost,
    head_of,
    readable,
    restore_tables,
)
from spark_jobs.storage.pinned_tables import read_pinned
from spark_jobs.storage.publications import PUBLICATIONS, Publication, Publications
from spark_jobs.storage.verdicts import MAINTAINED, VERDICTS, Verdicts
from spark_jobs.tasks.audit import audit_build
from spark_jobs.tasks.run_report import RUNS, run_reports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spark_jobs.runtime.job_parameters import MaintenanceParameters
    from spark_jobs.storage.lakehouse import Lakehouse

log = logging.getLogger(__name__)
_UNTIL_THE_NEXT = timedelta(days=8)
"""Longer than from one weekly maintenance to the next."""
_NO_BOUND = 10_000_000
"""Days: how far orders may lie from their landing dates was judged when they were published."""


def maintain(lakehouse: Lakehouse, parameters: MaintenanceParameters) -> None:
    """Audit whole tables, compact their files, and remove those that no publication needs any more.

    `as_of` stands for now, so that a run for a past week removes no more than that week's run would have. A layer that
    its audit rejects keeps its files as they are. Raises GateRejected for it when all else is done.
    """
    publications = Publications(lakehouse)
    rejected = []
    for layer in LAYERS:
        newest = publications.newest(layer)
        if newest is None:
            log.info("%s: nothing published yet", layer)
            continue
        if missing := sorted({spec.name for spec in lakehouse.tables_of(layer)} - set(newest.tables)):
            log.info("%s: left until it is built again, since it got %s", layer, ", ".join(missing))
            continue
        try:
            failures = _maintain_if_sound(lakehouse, publications, newest, parameters)
        except (PySparkException, TableLost, TableDropped) as error:
            if isinstance(error, PySparkException) and not delta.is_unreadable(error):
                raise
            failures = None
        if failures is not None:
            rejected += [f"publication {newest.seq} of {failure}" for failure in failures]
        elif layer == "bronze":
            remedy = bronze_dates(lakehouse).remedy
            rejected.append(f"publication {newest.seq} of bronze cannot be read any more. {remedy}")
        else:
            report_lost(lakehouse, layer, newest.seq, "maintenance could not read what is published")
            log.warning("%s: left until its next build, since what it reads was removed; that refreshes it all", layer)
    _remove_staging(lakehouse, parameters)
    _remove_records(lakehouse, publications, parameters)
    if rejected:
        raise GateRejected(
            f"published tables break their rules; their files are left as they are: {'; '.join(rejected)}"
        )


def _remove_staging(lakehouse: Lakehouse, parameters: MaintenanceParameters) -> None:
    """Remove what builds have staged that were never published: rejected, cancelled or killed ones."""
    limit = parameters.as_of - timedelta(days=parameters.staging_retention_days)
    for build_id, changed in staging.builds_older_than(lakehouse, limit):
        staging.drop(lakehouse, build_id)
        if (lakehouse.staging_root / build_id).exists():
            log.warning("staging of build %s could not be removed from %s", build_id, lakehouse.staging_root)
            continue
        log.info("staging of build %s removed: it was written on %s", build_id, f"{changed:%Y-%m-%d}")


def _remove_records(lakehouse: Lakehouse, publications: Publications, parameters: MaintenanceParameters) -> None:
    """Remove old files of the ops volume and old rows of its tables, but those of the newest publications."""
    before = parameters.as_of - timedelta(days=parameters.record_retention_days)
    newest = publications.newest_by_layer().values()
    build_ids = {publication.build_id for publication in newest}
    runs = {publication.job_run_id for publication in newest} | {build_id.partition("_")[0] for build_id in build_ids}
    removed = lakehouse.ops.remove_records(before, build_ids | runs)
    log.info("%d files on the ops volume removed: they were written before %s", removed, f"{before:%Y-%m-%d}")
    verdicts, anomalies, reports = Verdicts(lakehouse), anomaly_log(lakehouse), run_reports(lakehouse)
    verdicts.create()
    anomalies.create()
    reports.create()
    Decisions(lakehouse).create()
    try:
        publications.remove(before)
        verdicts.remove(before, build_ids)
        anomalies.remove(before, build_ids)
        reports.remove(before)
        for spec in (PUBLICATIONS, VERDICTS, ANOMALIES, DECISIONS, RUNS):
            name = lakehouse.name(spec.name)
            delta.keep_settings(lakehouse.spark, name, parameters.table_retention_days)
            lakehouse.spark.sql(f"OPTIMIZE {name}").collect()
            lakehouse.spark.sql(f"VACUUM {name}").collect()
    except PySparkException as error:
        if not delta.is_concurrency_conflict(error):
            raise
        log.info("another run writes to the tables of ops now; they are left for the next maintenance")


def _maintain_if_sound(
    lakehouse: Lakehouse, publications: Publications, newest: Publication, parameters: MaintenanceParameters
) -> list[str] | None:
    """Return what the audit of a layer rejects, which is left then; None where it cannot be read to be judged.

    What people have decided to publish anyway is not rejected again.
    """
    verdict = audit_build(lakehouse, _whole_tables(lakehouse, newest, publications, parameters))
    is_sound, failures = verdict.success, verdict.failures
    if verdict.may_be_overruled:
        overruled = Decisions(lakehouse).overruled()
        failures = tuple(one for one in failures if not set(broken_rules([one])) <= overruled)
        is_sound = not failures
    if is_sound:
        _maintain_layer(lakehouse, publications, newest, parameters)
    return None if verdict.unreadable else [failure.message for failure in failures]


def _whole_tables(
    lakehouse: Lakehouse, publication: Publication, publications: Publications, parameters: MaintenanceParameters
) -> Build:
    """Describe a publication as a build that stages nothing, so that the audit judges whole tables."""
    bronze = publications.newest("bronze")
    if bronze is None:
        raise PublicationMissing(
            f"{publication.layer} is published, and bronze is not: were rows of ops.publications removed?"
        )
    first, last = _landed_dates(lakehouse, bronze, parameters.as_of.date())
    upstream = None
    if publication.upstream_seq:
        upstream = publications.get(UPSTREAM_LAYER[publication.layer], publication.upstream_seq)
    common = ("catalog", "schema_prefix", "ops_root", "staging_root", "job_run_id", "repair_count")
    limits = ("max_quarantined_percent", "max_quarantined_lines")
    return Build(
        layer=publication.layer,
        build_id=f"{MAINTAINED}{publication.seq}",
        parameters=BuildParameters(
            **{name: getattr(parameters, name) for name in (*common, *limits)},
            layer=publication.layer,
            interval_start=first,
            interval_end=last + timedelta(days=1),
            landing_root=Path(),
            source_encoding="",
            date_order="",
            max_order_age_days=_NO_BOUND,
            max_order_days_ahead=_NO_BOUND,
            null_words="",
            email_columns="",
            email_secret="",
            allow_missing_dates=True,
            fewer_lines_warning_percent=Decimal(0),
            fewer_lines_critical_percent=Decimal(0),
            open_from=parameters.as_of.date().isoformat(),
        ),
        previous=readable(lakehouse, PinnedPublication.pin(publication)),
        upstream=readable(lakehouse, PinnedPublication.pin(upstream)) if upstream else None,
        previous_upstream=None,
        full_refresh=True,
        staged={},
        rows=dict(publication.row_counts),
    )


def _landed_dates(lakehouse: Lakehouse, bronze: Publication, otherwise: date) -> tuple[date, date]:
    """Return the first and the last published landing date."""
    landed = read_pinned(lakehouse, readable(lakehouse, PinnedPublication.pin(bronze)), LANDED_FILES.name)
    first, last = landed.agg(F.min("landing_date"), F.max("landing_date")).collect()[0]
    return (first, last) if first else (otherwise, otherwise)


def _maintain_layer(
    lakehouse: Lakehouse, publications: Publications, newest: Publication, parameters: MaintenanceParameters
) -> None:
    """Publish the same data at the versions that VACUUM and OPTIMIZE leave, since both commit."""
    versions, used = {}, publications.in_use(newest.layer)
    try:
        for table, head in restore_tables(lakehouse, newest.layer, newest).items():
            versions[table] = _maintain_table(lakehouse, used, table, head, parameters)
    except ConcurrentCommit as error:
        log.info("%s: another run commits to %s now; left for the next maintenance", newest.layer, error)
        return
    if versions == newest.tables:
        return
    maintained = replace(
        newest,
        seq=newest.seq + 1,
        previous_seq=newest.seq,
        interval_start=None,
        interval_end=None,
        tables=versions,
        fingerprint=f"maintenance {newest.seq + 1} of {newest.fingerprint}",
        gate_fingerprint=f"maintenance {newest.seq + 1} of {newest.gate_fingerprint}",
        job_run_id=parameters.job_run_id,
        code_version=code_version(),
    )
    if publications.append(maintained):
        log.info("%s: publication %d is the same data in compacted files", newest.layer, maintained.seq)
    else:
        log.info("%s: another run published meanwhile; its files are left for the next maintenance", newest.layer)


def _maintain_table(
    lakehouse: Lakehouse, used: Sequence[Publication], table: str, head: int, parameters: MaintenanceParameters
) -> int:
    """Compact a table and remove the files that it no longer needs. Return the version that this leaves.

    `used` are the publications in use. Raises ConcurrentCommit where another run has changed rows meanwhile.
    """
    spark, name = lakehouse.spark, lakehouse.name(table)
    written, now = delta.written(spark, name), datetime.now(UTC)
    days = _days_needed(written, used, table, now, parameters)
    try:
        # Delta ignores what RETAIN says (`VacuumCommand.gc`), and obeys the property alone.
        delta.keep_settings(spark, name, days)
        if written.get(0, datetime.min.replace(tzinfo=UTC)) <= now - timedelta(days=days):
            spark.sql(f"VACUUM {name}").collect()  # takes seconds; a younger table has no file that is old enough
        spark.sql(f"OPTIMIZE {name}").collect()
    except PySparkException as error:
        if delta.is_concurrency_conflict(error):
            raise ConcurrentCommit(table) from error
        raise
    log.info("%s: files kept that were needed in the last %d days", table, days)
    after = head_of(lakehouse, table)
    if after < head:
        raise TableLost(f"{name} was at version {head}, and was made again meanwhile")
    if after == head:
        return head
    commits = spark.sql(f"DESCRIBE HISTORY {name}").where(F.col("version").between(head + 1, after)).collect()
    if foreign := sorted({row["operation"] for row in commits} - LAYOUT_OPERATIONS - METADATA_OPERATIONS):
        raise ConcurrentCommit(f"{table} ({', '.join(foreign)})")
    return after


def _days_needed(
    written: Mapping[int, datetime],
    used: Sequence[Publication],
    table: str,
    now: datetime,
    parameters: MaintenanceParameters,
) -> int:
    """Return how long files are kept: as long as the parameter says, and as a publication in use needs them.

    `written` is when each version of the table was. VACUUM counts back from the clock, `now`.
    """
    as_of, kept = parameters.as_of, timedelta(days=parameters.table_retention_days)
    needed = [one.tables[table] for one in used if table in one.tables]
    oldest = min((written[version] for version in needed if version in written), default=as_of)
    reach = max(kept, now - oldest + _UNTIL_THE_NEXT, now - (as_of - kept))
    return math.ceil(reach / timedelta(days=1))
