"""The task `gate` of the job ecommerce_medallion: may the build that this job run has started be published?"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from spark_jobs.runtime.errors import GateRejected
from spark_jobs.storage.decisions import PUBLISH
from spark_jobs.storage.ops_volume import OpsVolume, verdict_file

if TYPE_CHECKING:
    from spark_jobs.runtime.job_parameters import GateParameters

log = logging.getLogger(__name__)


def build_to_publish(ops: OpsVolume, parameters: GateParameters) -> dict[str, str]:
    """Return the job parameters of publish: build_job_run_id, build_id and fingerprint.

    Raises GateRejected where the verdict forbids publication, and no person has overruled it, or is missing. Publish
    looks at verdict and decision again.
    """
    layer = parameters.layer
    verdict = ops.read_json(verdict_file(layer, parameters.job_run_id))
    if verdict is None:
        raise GateRejected(
            f"job run {parameters.job_run_id} has no verdict on {layer}: a build that was cancelled leaves none."
            f" Repair the run from {layer}_build on"
        )
    for warning in verdict["warnings"]:
        log.warning("Warning: %s", warning["message"])
    for note in verdict["notes"]:
        log.info("Note: %s", note)
    decision = verdict.get("decision") or {}
    if verdict["success"] is not True and decision.get("decision") != PUBLISH:
        lines = [*verdict["explanation"], *_decision(verdict, decision)]
        raise GateRejected(
            f"The audit of {layer} (build {verdict['build_id']}) forbids publishing; published tables are untouched.\n"
            + "\n".join(f"  {line}" for line in lines)
        )
    if decision:
        log.warning("%s", decision["text"])
    return {
        "build_job_run_id": str(verdict["job_run_id"]),
        "build_id": str(verdict["build_id"]),
        "fingerprint": str(verdict["fingerprint"]),
    }


def _decision(verdict: dict[str, Any], decision: dict[str, Any]) -> list[str]:
    """Say what a person has decided about a rejected build, or how one can."""
    if decision:
        return [decision["text"]]
    if not verdict.get("may_be_overruled"):
        return []
    about = f"layer={verdict['layer']}, build_id={verdict['build_id']}, fingerprint={verdict['fingerprint']}"
    return [
        "All that failed may be overruled by a person: run the job decide with decision=publish (or reject), reason,"
        f" decided_by, {about}; then repair this job run."
    ]
