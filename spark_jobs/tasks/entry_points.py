"""Entry points of the wheel: read sys.argv, return None, raise on failure (design, section 1)."""

from __future__ import annotations

import sys

from spark_jobs.runtime.job_parameters import BuildParameters, MaintenanceParameters, PublishParameters
from spark_jobs.runtime.session import spark_session
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.ops_volume import OpsVolume
from spark_jobs.storage.publications import Publications
from spark_jobs.tasks.audit import audit_build
from spark_jobs.tasks.builders import BUILDERS
from spark_jobs.tasks.maintenance import maintain
from spark_jobs.tasks.publish import publish as publish_build


def build() -> None:
    parameters = BuildParameters.parse(sys.argv[1:])
    _check(parameters)
    spark = spark_session()
    Publications(spark, parameters.tables).create()
    build = BUILDERS[parameters.layer](spark, parameters, parameters.fresh_build_id)
    build.save(OpsVolume(parameters.ops_root))
    print(f"{parameters.layer} build {build.build_id} for {build.interval}: {build.rows}")
    for note in build.notes:
        print(note)


def audit() -> None:
    """A verdict that says no is a result, not a failure (design, section 2)."""
    parameters = BuildParameters.parse(sys.argv[1:])
    ops = OpsVolume(parameters.ops_root)
    verdict = audit_build(spark_session(), ops, Build.load(ops, parameters.layer, parameters.job_run_id))
    print("\n".join(verdict.lines()))


def publish() -> None:
    parameters = PublishParameters.parse(sys.argv[1:])
    publish_build(spark_session(), parameters)


def maintenance() -> None:
    parameters = MaintenanceParameters.parse(sys.argv[1:])
    maintain(spark_session(), parameters)


def _check(parameters: BuildParameters) -> None:
    """Every parameter is read once before anything is done, so that a wrong one stops at once."""
    _ = parameters.interval, parameters.tables, parameters.missing_dates_allowed
    _ = parameters.quarantined_percent, parameters.quarantined_lines
