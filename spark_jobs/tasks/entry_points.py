"""The entry points of the wheel: each reads sys.argv, returns None, and raises where its task fails."""

from __future__ import annotations

import sys

from spark_jobs.layers.registry import TABLES
from spark_jobs.runtime.job_parameters import (
    BuildParameters,
    DatesParameters,
    DecideParameters,
    GateParameters,
    MaintenanceParameters,
    PublishParameters,
    TaskParameters,
)
from spark_jobs.runtime.session import spark_session
from spark_jobs.runtime.task_log import log_to_stdout
from spark_jobs.runtime.task_values import set_task_values
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.lakehouse import Lakehouse
from spark_jobs.storage.ops_volume import OpsVolume
from spark_jobs.storage.published_views import replace_views
from spark_jobs.tasks.audit import audit_build
from spark_jobs.tasks.build import build_layer
from spark_jobs.tasks.build_to_publish import build_to_publish
from spark_jobs.tasks.dates_to_run import dates_to_run
from spark_jobs.tasks.decide import decide_about_build
from spark_jobs.tasks.maintenance import maintain
from spark_jobs.tasks.publish import publish_build


def build() -> None:
    parameters = BuildParameters.parse(_arguments())
    build_layer(_lakehouse(parameters), parameters)


def audit() -> None:
    """Run the task `audit`. A verdict that rejects is a result of the task, not its failure."""
    parameters = BuildParameters.parse(_arguments())
    lakehouse = _lakehouse(parameters)
    audit_build(lakehouse, Build.load(lakehouse.ops, parameters.layer, parameters.job_run_id))


def dates() -> None:
    """Run the task `dates` of the job ecommerce_medallion: it tells the tasks after it what to run."""
    parameters = DatesParameters.parse(_arguments())
    set_task_values(dates_to_run(_lakehouse(parameters), parameters))


def gate() -> None:
    """Run the task `gate` of the job ecommerce_medallion. Unlike an audit, it fails where the verdict rejects."""
    parameters = GateParameters.parse(_arguments())
    set_task_values(build_to_publish(OpsVolume(parameters.ops_root), parameters))


def decide() -> None:
    parameters = DecideParameters.parse(_arguments())
    decide_about_build(_lakehouse(parameters), parameters)


def publish() -> None:
    parameters = PublishParameters.parse(_arguments())
    publish_build(_lakehouse(parameters), parameters)


def maintenance() -> None:
    parameters = MaintenanceParameters.parse(_arguments())
    maintain(_lakehouse(parameters), parameters)


def published_views() -> None:
    replace_views(_lakehouse(TaskParameters.parse(_arguments())))


def _arguments() -> list[str]:
    log_to_stdout("spark_jobs")
    return sys.argv[1:]


def _lakehouse(parameters: TaskParameters) -> Lakehouse:
    return Lakehouse(spark_session(), parameters.names, OpsVolume(parameters.ops_root), parameters.staging_root, TABLES)
