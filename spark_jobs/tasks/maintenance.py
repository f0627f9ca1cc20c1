"""Whole-table audits, OPTIMIZE, VACUUM and the removal of old staging (design, sections 8 and 9)."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.errors import GateRejected, ParameterRefused
from spark_jobs.runtime.job_parameters import BuildParameters, MaintenanceParameters
from spark_jobs.storage import delta
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.commit import restore_heads
from spark_jobs.storage.inputs import as_base, published
from spark_jobs.storage.ops_volume import OpsVolume
from spark_jobs.storage.publications import Publication, Publications
from spark_jobs.tables.names import LAYER_BELOW, LAYER_TABLES, LAYERS, Tables
from spark_jobs.tasks.audit import audit_build

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEPT = timedelta(days=90)
STAGING_KEPT = timedelta(days=7)
MAINTENANCE_OPERATIONS = {"VACUUM START", "VACUUM END", "OPTIMIZE"}


def maintain(spark: SparkSession, parameters: MaintenanceParameters) -> None:
    """Audits whole tables, makes files of a good size, and removes those that nothing points at any more.

    `as_of` stands for now, so that a run for a past week removes no more than that week's run would have. A layer
    that its audit rejects keeps its files as they are. Raises GateRejected for it when all else is done.
    """
    try:
        as_of = datetime.fromisoformat(parameters.as_of)
    except ValueError:
        raise ParameterRefused(f"as_of is {parameters.as_of!r}, which is not a date-time") from None
    as_of = as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)
    tables = parameters.tables
    publications = Publications(spark, tables)
    publications.create()
    rejected = []
    for layer in LAYERS:
        newest = publications.newest(layer)
        if newest is None:
            print(f"{layer}: nothing published yet")
            continue
        if missing := sorted(set(LAYER_TABLES[layer]) - set(newest.tables)):
            print(f"{layer}: left as it is until it is built again, since it has got {', '.join(missing)}")
            continue
        whole = _whole(spark, newest, publications, parameters, as_of.date())
        verdict = audit_build(spark, OpsVolume(parameters.ops_root), whole)
        print("\n".join(verdict.lines()))
        if verdict.success:
            _maintain_layer(spark, tables, publications, newest, parameters, as_of)
        else:
            rejected += [f"publication {newest.seq} of {failure.message}" for failure in verdict.failures]
    _drop_old_staging(spark, tables, as_of)
    if rejected:
        raise GateRejected(
            f"published tables are not what their rules say; their files are left as they are: {'; '.join(rejected)}"
        )


def _whole(
    spark: SparkSession,
    publication: Publication,
    publications: Publications,
    parameters: MaintenanceParameters,
    today: date,
) -> Build:
    """A publication as a build that stages nothing, so that the audit judges whole tables (design, section 8)."""
    bronze = publications.newest("bronze")
    if bronze is None:
        raise LookupError(f"{publication.layer} is published, and bronze is not")
    landed = published(spark, parameters.tables, as_base(bronze), "bronze.landed_files")
    first, last = landed.agg(F.min("landing_date"), F.max("landing_date")).collect()[0]
    first, last = (first, last) if first else (today, today)
    below = publications.get(LAYER_BELOW[publication.layer], publication.below_seq) if publication.below_seq else None
    return Build(
        layer=publication.layer,
        build_id=f"publication_{publication.seq}",
        job_run_id=parameters.job_run_id,
        parameters=BuildParameters(
            catalog=parameters.catalog,
            schema_prefix=parameters.schema_prefix,
            ops_root=parameters.ops_root,
            job_run_id=parameters.job_run_id,
            repair_count=parameters.repair_count,
            layer=publication.layer,
            interval_start=str(first),
            interval_end=str(last + timedelta(days=1)),
            landing_root="",
            source_encoding="",
            email_secret="",
            allow_missing_dates="true",
            max_quarantined_percent=parameters.max_quarantined_percent,
            max_quarantined_lines=parameters.max_quarantined_lines,
        ),
        base=as_base(publication),
        below=as_base(below) if below else None,
        below_before=None,
        whole=True,
        staged={},
        rows=dict(publication.row_counts),
    )


def _maintain_layer(
    spark: SparkSession,
    tables: Tables,
    publications: Publications,
    newest: Publication,
    parameters: MaintenanceParameters,
    as_of: datetime,
) -> None:
    """Publishes the same data at the versions that VACUUM and OPTIMIZE leave, since both make commits."""
    versions = {}
    heads = restore_heads(spark, tables, newest.layer, newest)
    for table in newest.tables:
        name, expected = tables.name(table), heads[table]
        hours = _hours_needed(spark, tables, publications, newest.layer, table, as_of)
        try:
            spark.sql(f"VACUUM {name} RETAIN {hours} HOURS").collect()
            spark.sql(f"OPTIMIZE {name}").collect()
        except Exception as error:
            if delta.is_concurrency_conflict(error):
                print(f"{table}: another run commits to it just now; it is left for the next maintenance")
                return
            raise
        commits = spark.sql(f"DESCRIBE HISTORY {name}").where(F.col("version") > expected).collect()
        if foreign := sorted({row["operation"] for row in commits} - MAINTENANCE_OPERATIONS):
            print(
                f"{table}: another run committed to it just now ({', '.join(foreign)}); left for the next maintenance"
            )
            return
        versions[table] = max((row["version"] for row in commits), default=expected)
        print(f"{table}: files kept that were needed in the last {hours} hours")
    if versions == newest.tables:
        return
    maintained = replace(
        newest,
        seq=newest.seq + 1,
        base_seq=newest.seq,
        interval_start=None,
        interval_end=None,
        tables=versions,
        fingerprint=f"maintenance {newest.seq + 1} of {newest.fingerprint}",
        gate_fingerprint=f"maintenance {newest.seq + 1} of {newest.gate_fingerprint}",
        job_run_id=parameters.job_run_id,
        code_version=code_version(),
    )
    if publications.append(maintained):
        print(f"{newest.layer}: publication {maintained.seq} is the same data in the files of now")
    else:
        print(f"{newest.layer}: another run published just now; its files are left for the next maintenance")


def _hours_needed(
    spark: SparkSession, tables: Tables, publications: Publications, layer: str, table: str, as_of: datetime
) -> int:
    """How far back files are kept: 90 days, and whatever a publication needs that is newest or an input of one."""
    needed = [publications.newest(layer)]
    needed += [publications.inputs_of(upper) for upper, below in LAYER_BELOW.items() if below == layer]
    silver_behind_gold = publications.inputs_of("gold")
    if layer == "bronze" and silver_behind_gold and silver_behind_gold.below_seq:
        needed.append(publications.get("bronze", silver_behind_gold.below_seq))
    versions = [one.tables[table] for one in needed if one and table in one.tables]
    history = spark.sql(f"DESCRIBE HISTORY {tables.name(table)}").select("version", "timestamp").collect()
    written = {row["version"]: row["timestamp"].replace(tzinfo=UTC) for row in history}
    oldest = min((written[version] for version in versions if version in written), default=as_of)
    now = datetime.now(UTC)  # VACUUM counts back from the clock, so that is what must be reached back from
    reach = max(KEPT, now - oldest + timedelta(days=1), now - (as_of - KEPT))
    return math.ceil(reach.total_seconds() / 3600)


def _drop_old_staging(spark: SparkSession, tables: Tables, as_of: datetime) -> None:
    schema = tables.schema("staging")
    if not spark.catalog.databaseExists(schema):
        return
    for row in spark.sql(f"SHOW TABLES IN {schema}").where("NOT isTemporary").collect():
        name = f"{schema}.{row['tableName']}"
        made = spark.sql(f"DESCRIBE DETAIL {name}").select("createdAt").collect()[0]["createdAt"]
        if made.replace(tzinfo=UTC) < as_of - STAGING_KEPT:
            spark.sql(f"DROP TABLE IF EXISTS {name}")
            print(f"{name}: dropped, its build began {made:%Y-%m-%d}")
