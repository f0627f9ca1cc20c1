"""The task `gate` of the job ecommerce_medallion: may the build that this job run has started be published?"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spark_jobs.runtime.errors import GateRejected
from spark_jobs.storage.ops_volume import OpsVolume, verdict_file

if TYPE_CHECKING:
    from spark_jobs.runtime.job_parameters import GateParameters

log = logging.getLogger(__name__)


def build_to_publish(ops: OpsVolume, parameters: GateParameters) -> dict[str, str]:
    """Return the job parameters of publish: build_job_run_id, build_id and fingerprint.

    Raises GateRejected where the verdict forbids publication or is missing. Publish looks at the verdict again.
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
    if verdict["success"] is not True:
        raise GateRejected(
            f"The audit of {layer} (build {verdict['build_id']}) forbids publishing; published tables are untouched.\n"
            + "\n".join(f"  {line}" for line in verdict["explanation"])
        )
    return {
        "build_job_run_id": str(verdict["job_run_id"]),
        "build_id": str(verdict["build_id"]),
        "fingerprint": str(verdict["fingerprint"]),
    }
