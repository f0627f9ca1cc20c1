"""The task `publish` (design, section 9): killed anywhere, retried, cleared or doubled, it ends the same."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark_jobs.quality.fingerprint import fingerprint
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.errors import GateRejected, PublicationConflict
from spark_jobs.runtime.job_parameters import PublishParameters
from spark_jobs.storage import staging
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.commit import ConcurrentCommit, commit, restore_heads
from spark_jobs.storage.ops_volume import OpsVolume, publication_file
from spark_jobs.storage.publications import Publication, Publications
from spark_jobs.storage.verdicts import Verdicts
from spark_jobs.tasks.audit import audit_build
from spark_jobs.tasks.builders import BUILDERS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ATTEMPTS = 6
"""How often a publish begins again when other runs come first; the job's queue makes even two rare."""


def publish(spark: SparkSession, parameters: PublishParameters) -> Publication:
    """Publishes an audited build. Raises BuildMissing, GateRejected, PublicationConflict."""
    ops = OpsVolume(parameters.ops_root)
    publications = Publications(spark, parameters.tables)
    publications.create()
    done = publications.with_fingerprint(parameters.layer, parameters.fingerprint)
    build = None
    if done is None:
        build = _audited_build(spark, parameters, ops)
        publication = _publish(spark, parameters, ops, publications, build)
    else:
        print(f"{parameters.layer}: this build is publication {done.seq} already")
        publication = done
    _report(ops, parameters, publication, already_published=done is not None)
    return publication


def _publish(
    spark: SparkSession, parameters: PublishParameters, ops: OpsVolume, publications: Publications, build: Build
) -> Publication:
    tables = parameters.tables
    audited = parameters.fingerprint
    outdated: list[Build] = []
    for attempt in range(1, ATTEMPTS + 1):
        newest = publications.newest(build.layer)
        try:
            heads = restore_heads(spark, tables, build.layer, newest)
            if _is_stale(build, newest, publications):
                print(f"{build.layer}: another run published since build {build.build_id} began, so it is built again")
                outdated.append(build)
                build, audited = _build_again(spark, ops, build, parameters, attempt)
                continue
            committed = commit(spark, tables, build, heads)
        except ConcurrentCommit as conflict:
            print(f"{build.layer}: another run committed to {conflict} meanwhile; beginning again")
            _step_aside(parameters.job_run_id, attempt)
            continue
        base_seq = newest.seq if newest else 0
        counted = {table: newest.row_counts[table] for table in newest.tables} if newest else {}
        versions = {table: one.version for table, one in committed.items()}
        publication = Publication(
            layer=build.layer,
            seq=base_seq + 1,
            base_seq=base_seq,
            below_seq=build.below.seq if build.below else None,
            interval_start=build.interval.start,
            interval_end=build.interval.end,
            tables=versions,
            row_counts={table: counted.get(table, 0) + one.rows_gained for table, one in committed.items()},
            fingerprint=audited,
            gate_fingerprint=parameters.fingerprint,
            build_id=build.build_id,
            job_run_id=parameters.job_run_id,
            code_version=code_version(),
        )
        if publications.append(publication):
            print(f"{build.layer}: publication {publication.seq}, {json.dumps(versions, sort_keys=True)}")
            for one in (*outdated, build):
                staging.drop(spark, one.staged)
            return publication
        print(f"{build.layer}: another run published first; beginning again")
    raise PublicationConflict(
        f"{build.layer} was published by other runs {ATTEMPTS} times while this one tried; run the task again when"
        " they are done"
    )


def _step_aside(job_run_id: str, attempt: int) -> None:
    """Waits 1 to 2 s, then 2 to 4, and so on, each run a time of its own: two would undo each other for ever."""
    own_share = int(hashlib.sha256(job_run_id.encode()).hexdigest(), 16) % 1000 / 1000
    time.sleep(2 ** (attempt - 1) * (1 + own_share))


def _audited_build(spark: SparkSession, parameters: PublishParameters, ops: OpsVolume) -> Build:
    """The build, if there is a successful verdict for exactly what is staged now. Raises GateRejected."""
    build = Build.load(ops, parameters.layer, parameters.build_job_run_id)
    what = f"{parameters.layer} build {parameters.build_id}"
    if build.build_id != parameters.build_id:
        raise GateRejected(
            f"{what} is not what job run {parameters.build_job_run_id} built last ({build.build_id}): publish that one"
        )
    found = fingerprint(spark, build)
    if found != parameters.fingerprint:
        raise GateRejected(
            f"{what} is no longer what was audited: its staging, its parameters, the suites or the code changed"
            f" since (fingerprint {found[:12]}, audited {parameters.fingerprint[:12]}). Run the layer's build again"
        )
    if not Verdicts(spark, parameters.tables).has_success(build.layer, build.build_id, found):
        raise GateRejected(f"{what} has no successful verdict for fingerprint {found[:12]} in ops.verdicts")
    return build


def _is_stale(build: Build, newest: Publication | None, publications: Publications) -> bool:
    """Whether another run published the layer since the build began; for bronze: one of the same dates."""
    if newest is None or newest.seq == build.base.seq:
        return False
    if build.layer != "bronze":
        return True
    return any(p.interval and p.interval.overlaps(build.interval) for p in publications.since("bronze", build.base.seq))


def _build_again(
    spark: SparkSession, ops: OpsVolume, build: Build, parameters: PublishParameters, attempt: int
) -> tuple[Build, str]:
    """On the newest base, under this run's name; with the fingerprint of the verdict, which is a success.

    Raises GateRejected if it is not.
    """
    this_run = replace(build.parameters, job_run_id=parameters.job_run_id, repair_count=parameters.repair_count)
    again = BUILDERS[build.layer](spark, this_run, f"{this_run.fresh_build_id}_{attempt}")
    again.save(ops)
    verdict = audit_build(spark, ops, again)
    if not verdict.success:
        raise GateRejected(
            f"{build.layer} was built again, since another run published meanwhile, and the gate says no:"
            f" {'; '.join(failure.message for failure in verdict.failures[:5])}"
        )
    return again, verdict.fingerprint


def _report(ops: OpsVolume, parameters: PublishParameters, publication: Publication, already_published: bool) -> None:
    content: dict[str, Any] = {
        "layer": publication.layer,
        "seq": publication.seq,
        "interval_start": publication.interval_start,
        "interval_end": publication.interval_end,
        "fingerprint": publication.fingerprint,
        "build_id": publication.build_id,
        "job_run_id": parameters.job_run_id,
        "already_published": already_published,
        "tables": {
            table: {"version": version, "rows": publication.row_counts[table]}
            for table, version in publication.tables.items()
        },
    }
    ops.write_json(publication_file(parameters.job_run_id), content)
