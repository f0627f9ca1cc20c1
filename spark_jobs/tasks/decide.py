"""The task `decide`: records what a person decided about a build that its gate rejected.

A decision holds for exactly one build. Publish looks at it again, in `ops.decisions`.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from spark_jobs.quality.data_docs import add_decision
from spark_jobs.runtime.errors import DecisionRefused
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.decisions import PUBLISH, Decision, Decisions, broken_rules
from spark_jobs.storage.ops_volume import build_file, verdict_file
from spark_jobs.storage.publications import Publications
from spark_jobs.storage.verdicts import Finding, JudgedBuild, Verdicts

if TYPE_CHECKING:
    from spark_jobs.runtime.job_parameters import DecideParameters
    from spark_jobs.storage.lakehouse import Lakehouse

log = logging.getLogger(__name__)
ATTEMPTS = 3
"""Two people may decide at the same moment about different builds, and the inserts conflict."""


def decide_about_build(lakehouse: Lakehouse, parameters: DecideParameters) -> Decision:
    """Record a decision in ops.decisions, in the verdict file and in Data Docs.

    The same decision again (by the same person, at the same given moment) is the retry of a caller, and changes
    nothing. Raises DecisionRefused.
    """
    _check_person(parameters)
    layer, build_id = parameters.layer, parameters.build_id
    name = f"{layer} build {build_id}"
    judged = Verdicts(lakehouse).on_build(layer, build_id, parameters.fingerprint)
    if judged is None:
        raise DecisionRefused(
            f"{name} has no verdict for fingerprint {parameters.fingerprint!r} in ops.verdicts. A decision names the"
            " build id and the whole fingerprint of the verdict that it is about"
        )
    decision = _decision(parameters, judged.verdict)
    decisions = Decisions(lakehouse)
    known = decisions.about(layer, build_id, parameters.fingerprint)
    if known is None:
        _check_build(lakehouse, parameters, judged, name)
        known = _insert(decisions, decision)
    if known and not _is_same(known, decision, parameters):
        raise DecisionRefused(f"{name} was decided about already: {known.text}")
    decision = known or decision
    _show(lakehouse, judged.verdict, decision)
    log.info("%s: %s", name, decision.text)
    if decision.confirmed_incidents:
        log.info("confirmed as incidents: %s", ", ".join(map(str, decision.confirmed_incidents)))
    return decision


def _check_person(parameters: DecideParameters) -> None:
    deciders = [name.strip() for name in parameters.deciders.split(",") if name.strip()]
    if not deciders:
        raise DecisionRefused(
            "nobody may decide about gates: name the people who may, in the variable deciders of the bundle"
        )
    if parameters.decided_by not in deciders:
        raise DecisionRefused(
            f"{parameters.decided_by!r} may not decide about gates: the variable deciders of the bundle names"
            f" {', '.join(deciders)}"
        )
    if not parameters.reason.strip():
        raise DecisionRefused("a decision needs a reason, which stays on the record: say why")


def _check_build(lakehouse: Lakehouse, parameters: DecideParameters, judged: JudgedBuild, name: str) -> None:
    published = Publications(lakehouse).state(parameters.layer, parameters.fingerprint).same_build
    if published:
        raise DecisionRefused(f"{name} is publication {published.seq} already: there is nothing to decide")
    if judged.verdict["success"]:
        raise DecisionRefused(f"the gate of {name} allows its publication: there is nothing to decide")
    if judged.newer_build:
        raise DecisionRefused(
            f"build {judged.newer_build} came after {name}: a decision holds for one build only; decide about that one"
        )
    if parameters.decision == PUBLISH and not judged.may_be_overruled:
        fixed = sorted({one["rule"] for one in judged.verdict["failures"] if not one.get("may_be_overruled")})
        raise DecisionRefused(
            f"{name} cannot be published: nobody may overrule {', '.join(fixed) or 'what failed'}. Only rules with"
            " may_be_overruled in gx/rules/ can be overruled"
        )


def _decision(parameters: DecideParameters, verdict: dict[str, Any]) -> Decision:
    failures = [Finding(**one) for one in verdict["failures"]]
    broken = broken_rules(failures)
    dated = sorted({day for _, _, day in broken if day})
    start, end = date.fromisoformat(verdict["interval_start"]), date.fromisoformat(verdict["interval_end"])
    incidents: tuple[date, ...] = ()
    if parameters.confirmed_incident:
        incidents = tuple(dated or Interval(start, end).dates())
    moment = datetime.fromisoformat(parameters.decided_at) if parameters.decided_at else datetime.now(UTC)
    return Decision(
        layer=parameters.layer,
        build_id=parameters.build_id,
        fingerprint=parameters.fingerprint,
        interval_start=start,
        interval_end=end,
        decision=parameters.decision,
        reason=" ".join(parameters.reason.split()),
        decided_by=parameters.decided_by,
        decided_at=moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC),
        broken_rules=broken,
        confirmed_incidents=incidents,
        job_run_id=parameters.job_run_id,
    )


def _insert(decisions: Decisions, decision: Decision) -> Decision | None:
    """Insert a decision; return the one that another run inserted first."""
    for _ in range(ATTEMPTS):
        if decisions.insert(decision):
            return None
        if known := decisions.about(decision.layer, decision.build_id, decision.fingerprint):
            return known
    raise DecisionRefused("others wrote to ops.decisions at the same moment, so nothing was recorded: decide again")


def _is_same(known: Decision, decision: Decision, parameters: DecideParameters) -> bool:
    about = ("decision", "reason", "decided_by", "decided_at", "confirmed_incidents")
    return bool(parameters.decided_at) and all(getattr(known, name) == getattr(decision, name) for name in about)


def _show(lakehouse: Lakehouse, verdict: dict[str, Any], decision: Decision) -> None:
    """Write the decision into the verdict files, which gates read, and into Data Docs."""
    ops, job_run_id = lakehouse.ops, str(verdict["job_run_id"])
    record = ops.read_json(build_file(decision.layer, job_run_id)) or {}
    for reader in filter(None, (job_run_id, record.get("parameters", {}).get("called_by"))):
        file = verdict_file(decision.layer, reader)
        content = ops.read_json(file) or {}
        if content.get("fingerprint") == decision.fingerprint:
            ops.write_json(file, content | {"decision": decision.as_dict()})
    if verdict["data_docs"]:
        add_decision(ops.root / verdict["data_docs"], decision.text, decision.fingerprint)
