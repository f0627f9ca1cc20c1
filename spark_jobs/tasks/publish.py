"""The task `publish`: commits an audited build and records the publication.

Killed at any moment, retried, cleared or run twice, it ends the same: its stages are verify, restore, rebuild if stale,
commit and record, and what another run did meanwhile makes it begin again at restore.
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from spark_jobs.quality.fingerprint import fingerprint, is_as_staged
from spark_jobs.quality.rules import rules_hash
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.errors import BuildUnreadable, GateRejected, PublicationConflict, TableDropped
from spark_jobs.runtime.session import expect_rows
from spark_jobs.storage import staging
from spark_jobs.storage.build_record import Build, PinnedPublication
from spark_jobs.storage.commit import Committed, commit
from spark_jobs.storage.decisions import PUBLISH, Decisions
from spark_jobs.storage.lost_tables import bronze_dates
from spark_jobs.storage.ops_volume import publication_file
from spark_jobs.storage.other_writers import ConcurrentCommit, TableLost, restore_tables
from spark_jobs.storage.publications import LayerState, Publication, Publications
from spark_jobs.storage.verdicts import Verdicts
from spark_jobs.tasks.audit import audit_build
from spark_jobs.tasks.build import build_layer

if TYPE_CHECKING:
    from spark_jobs.runtime.job_parameters import PublishParameters
    from spark_jobs.storage.lakehouse import Lakehouse

log = logging.getLogger(__name__)
ATTEMPTS = 6
"""The job's queue makes even two rare."""


def publish_build(lakehouse: Lakehouse, parameters: PublishParameters) -> Publication:
    """Publish an audited build.

    Raises BuildMissing, GateRejected, PublicationConflict, TableDropped, ConstraintViolated.
    """
    publications = Publications(lakehouse)
    verdict = Verdicts(lakehouse).newest(parameters.layer, parameters.build_id, parameters.fingerprint)
    state = publications.state(parameters.layer, parameters.fingerprint, verdict)
    if published := state.same_build:
        log.info("%s: this build is publication %d already", parameters.layer, published.seq)
    publication = published or _publish(lakehouse, publications, state, parameters)
    newest = max(filter(None, (state.newest, publication)), key=lambda one: one.seq)
    lakehouse.ops.record_progress(parameters.layer, newest.seq, newest.upstream_seq)
    _report(lakehouse, parameters, publication, already_published=published is not None)
    return publication


@dataclass(frozen=True)
class _Audited:
    """A build that an audit allows to publish."""

    build: Build
    fingerprint: str
    build_ids: tuple[str, ...]
    """The build, and the stale ones before it: a retry needs their staging until there is a publication."""
    code_changed: bool = False
    """Whether it was audited by other code or other rules than these: a deploy came in between."""


def _publish(
    lakehouse: Lakehouse, publications: Publications, state: LayerState, parameters: PublishParameters
) -> Publication:
    audited = _verify(lakehouse, parameters, state.allowed_by)
    lost: TableLost | None = None
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            state = publications.state(parameters.layer, parameters.fingerprint)
        newest = state.newest
        if lost:
            audited = _without_the_lost(lakehouse, newest, audited, parameters, lost, attempt)
        overwritten = [table for table, staged in audited.build.staged.items() if staged.overwrites]
        try:
            heads = restore_tables(lakehouse, parameters.layer, newest, overwritten)
            audited = _rebuild_if_stale(lakehouse, publications, newest, audited, parameters, attempt)
            upon = replace(audited.build, previous=PinnedPublication.pin(newest))
            committed = commit(lakehouse, upon, heads, state.dates_end)
        except TableLost as error:
            if lost and not audited.build.previous.versions:
                raise TableDropped(f"{error}, although all rows were built again: run the layer again") from error
            lost = error
            continue
        except ConcurrentCommit as conflict:
            log.info("%s: another run committed to %s meanwhile; beginning again", parameters.layer, conflict)
            _back_off(parameters.job_run_id, attempt)
            continue
        publication = _publication(audited, newest, committed, parameters)
        if publications.append(publication):
            tables = dict(sorted(publication.tables.items()))
            log.info("%s: publication %d, %s", publication.layer, publication.seq, tables)
            for build_id in audited.build_ids:
                staging.drop(lakehouse, build_id)
            return publication
        log.info("%s: another run published first; beginning again", parameters.layer)
    raise PublicationConflict(
        f"{parameters.layer} was published by other runs {ATTEMPTS} times while this one tried; run the task again when"
        " they have ended"
    )


def _verify(lakehouse: Lakehouse, parameters: PublishParameters, verdict: dict[str, Any] | None) -> _Audited:
    """Return the build, if what is staged now has a successful verdict, or one that a person has overruled.

    Raises GateRejected, BuildMissing.
    """
    try:
        build = Build.load(lakehouse.ops, parameters.layer, parameters.build_job_run_id)
    except BuildUnreadable as error:  # and so would be by every retry of this job
        raise GateRejected(str(error)) from error
    expect_rows(lakehouse.spark, build.most_rows)
    name = f"{parameters.layer} build {parameters.build_id}"
    if build.build_id != parameters.build_id:
        raise GateRejected(
            f"{name} is not what job run {parameters.build_job_run_id} built last ({build.build_id}): publish that one"
        )
    verdict = verdict or _overruled(lakehouse, parameters, name)
    code_changed = (verdict.get("rules"), verdict.get("code_version")) != (rules_hash(build.layer), code_version())
    # Other code makes other fingerprints: what it staged can still be compared.
    unchanged = (
        is_as_staged(lakehouse, build) if code_changed else fingerprint(lakehouse, build) == verdict["fingerprint"]
    )
    if not unchanged:
        raise GateRejected(
            f"{name} is no longer what was audited (fingerprint {parameters.fingerprint[:12]}): its staging or its"
            " record changed since. Run the layer's build again"
        )
    return _Audited(build, parameters.fingerprint, (build.build_id,), code_changed)


def _overruled(lakehouse: Lakehouse, parameters: PublishParameters, name: str) -> dict[str, Any]:
    """Return the verdict that rejects a build, where a person has decided to publish it anyway. Raises GateRejected."""
    about = (parameters.layer, parameters.build_id, parameters.fingerprint)
    decision, rejection = Decisions(lakehouse).about(*about), None
    if decision:
        rejection = Verdicts(lakehouse).on_build(*about)
    if decision is None or rejection is None:
        raise GateRejected(
            f"{name} has no successful verdict for fingerprint {parameters.fingerprint[:12]} in ops.verdicts."
            " Run the layer's build again"
        )
    if decision.decision != PUBLISH:
        raise GateRejected(f"{name}: {decision.text}")
    if not rejection.may_be_overruled:
        raise GateRejected(f"{name} broke rules that nobody may overrule, whatever ops.decisions says")
    if rejection.newer_build:
        raise GateRejected(
            f"{name} was decided about ({decision.text}), but build {rejection.newer_build} came after it. A decision"
            " holds for one build only: run the layer's build again"
        )
    log.info("%s: published although its gate rejects it: %s", name, decision.text)
    return rejection.verdict


def _without_the_lost(
    lakehouse: Lakehouse,
    newest: Publication | None,
    audited: _Audited,
    parameters: PublishParameters,
    lost: TableLost,
    attempt: int,
) -> _Audited:
    """Return what replaces all rows of the layer, since published ones are lost.

    Silver and gold are built again as a whole. Bronze needs a build with all landing dates. Raises TableDropped for any
    other build of bronze, and GateRejected where the audit rejects what was built again.
    """
    build = audited.build
    if newest is None:
        return audited  # nothing was published, so nothing of it is lost
    if build.layer != "bronze":
        if not build.previous.versions and build.previous.seq == newest.seq:
            return audited  # all rows were built again already
        return _rebuild(lakehouse, audited, parameters, f"whole{attempt}", str(lost), is_whole=True)
    published = bronze_dates(lakehouse)
    if not published.are_all_in(build):
        raise TableDropped(f"{lost}: was it dropped, or were its files removed? {published.remedy}.") from lost
    log.warning("bronze: %s; this run has all landing dates, and replaces all rows", lost)
    overwriting = {table: replace(staged, overwrites=True) for table, staged in build.staged.items()}
    return replace(audited, build=replace(build, staged=overwriting))


def _is_stale(build: Build, newest: Publication | None, publications: Publications) -> bool:
    """Return whether another run published the layer since the build began; for bronze: one of the same dates."""
    if newest is None or newest.seq == build.previous.seq:
        return False
    if build.layer != "bronze":
        return True
    since = publications.since("bronze", build.previous.seq)
    return any(other.interval and other.interval.overlaps(build.interval) for other in since)


def _rebuild_if_stale(
    lakehouse: Lakehouse,
    publications: Publications,
    newest: Publication | None,
    audited: _Audited,
    parameters: PublishParameters,
    attempt: int,
) -> _Audited:
    """Return the same build, or, where it is stale, one that this run builds and audits on the newest publication.

    A build that other code or other rules audited is stale as well: what is published is what these make of it.

    Raises GateRejected where the audit rejects it.
    """
    stale = audited.build
    if audited.code_changed:
        reason = "the code or the rules changed since its audit"
    elif _is_stale(stale, newest, publications):
        reason = "another run published meanwhile"
    else:
        return audited
    log.info("%s: build %s is stale, since %s; building again", stale.layer, stale.build_id, reason)
    return _rebuild(lakehouse, audited, parameters, str(attempt), reason)


def _rebuild(
    lakehouse: Lakehouse,
    audited: _Audited,
    parameters: PublishParameters,
    suffix: str,
    reason: str,
    *,
    is_whole: bool = False,
) -> _Audited:
    """Build and audit again by this run, all rows with `is_whole`. Raises GateRejected where the audit rejects it."""
    old = audited.build
    this_run = replace(
        old.parameters, job_run_id=parameters.job_run_id, repair_count=parameters.repair_count, called_by=""
    )
    build = build_layer(lakehouse, this_run, f"{this_run.build_id}_{suffix}", reason if is_whole else None)
    verdict = audit_build(lakehouse, build)
    if not verdict.success:
        raise GateRejected(
            f"{old.layer} was built again, since {reason}, and its gate rejects it: {' '.join(verdict.explanation())}"
        )
    return _Audited(build, verdict.fingerprint, (*audited.build_ids, build.build_id))


def _publication(
    audited: _Audited, newest: Publication | None, committed: dict[str, Committed], parameters: PublishParameters
) -> Publication:
    build = audited.build
    previous_seq = newest.seq if newest else 0
    # Not of a table that the newest publication does not have, whatever it counts.
    rows = {table: newest.row_counts[table] for table in newest.tables} if newest else {}
    return Publication(
        layer=build.layer,
        seq=previous_seq + 1,
        previous_seq=previous_seq,
        upstream_seq=build.upstream.seq if build.upstream else None,
        interval_start=build.interval.start,
        interval_end=build.interval.end,
        tables={table: one.version for table, one in committed.items()},
        row_counts={table: rows.get(table, 0) + one.rows_gained for table, one in committed.items()},
        fingerprint=audited.fingerprint,
        gate_fingerprint=parameters.fingerprint,
        build_id=build.build_id,
        job_run_id=parameters.job_run_id,
        code_version=code_version(),
        open_dates=_open_dates(build, newest),
    )


def _open_dates(build: Build, newest: Publication | None) -> tuple[date, ...]:
    """Return the published dates that were open when they were built, by this build or an earlier one."""
    if build.layer != "bronze":
        return ()
    before = set(newest.open_dates if newest else ()).difference(build.built_dates)
    return tuple(sorted(before.union(build.open_dates)))


def _back_off(job_run_id: str, attempt: int) -> None:
    """Wait 1 to 2 s, then 2 to 4, and so on: each run its own time, as two in step would conflict again and again."""
    own_share = int(hashlib.sha256(job_run_id.encode()).hexdigest(), 16) % 1000 / 1000
    time.sleep(2 ** (attempt - 1) * (1 + own_share))


def _report(
    lakehouse: Lakehouse, parameters: PublishParameters, publication: Publication, *, already_published: bool
) -> None:
    """Write the file from which Airflow reads what was published."""
    tables = {
        table: {"version": version, "rows": publication.row_counts[table]}
        for table, version in publication.tables.items()
    }
    fields = ("layer", "seq", "interval_start", "interval_end", "fingerprint", "build_id")
    content = {name: getattr(publication, name) for name in fields}
    content |= {"job_run_id": parameters.job_run_id, "already_published": already_published, "tables": tables}
    lakehouse.ops.write_json(publication_file(parameters.job_run_id), content)
