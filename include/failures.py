"""The errors of the Airflow side: what may succeed on another try, and what no retry can change.

A task raises `Transient` for the first kind, which Airflow retries, and `Refusal` for the second, which fails once.
"""

from __future__ import annotations

import re

from airflow.sdk.exceptions import AirflowException, AirflowFailException

DEFINITE_JOB_ERRORS = (
    "BuildMissing",
    "GateRejected",
    "HeaderRefused",
    "IntervalRefused",
    "ParameterRefused",
    "SecretMissing",
    "UnknownExpectation",
)
"""The errors of spark_jobs.runtime.errors that a second job run would repeat. All other failures of a job are retried:
the loss of Spark, a publication conflict, files that are still being delivered."""


class Transient(AirflowException):
    """Another try may succeed."""


class LandingIncomplete(Transient):
    """Landing dates of the interval have no finished file yet; check_landing has its own schedule of retries."""


class FileMissing(Transient):
    """A volume has no such file or folder."""


class FileUnreadable(Transient):
    """A file on a volume is not JSON."""


class VerdictUnusable(Transient):
    """A verdict file describes another build or has an unknown shape."""


class PublicationUnusable(Transient):
    """A publication file describes another publication or has an unknown shape."""


class NoAnswer(Transient):
    """A call of the Databricks API brought something else than an answer of the API."""


class RunOutOfSight(Transient):
    """Polls of a job run failed for too long. The job run continues, and the next try waits for it."""


class TaskStopped(Transient):
    """Airflow stopped the task, so its job run was cancelled."""


class JobFailed(Transient):
    """A job run ended without success, for a reason that a retry may heal."""


class Refusal(AirflowFailException):
    """No retry can change the outcome; the message says what to do instead."""


class IntervalRefused(Refusal):
    """A run has no data interval, or one without landing dates."""


class BuildMissing(Refusal):
    """A layer has no build in this run that could be audited or published."""


class VerdictMissing(Refusal):
    """The audit of a build left no verdict."""


class JobRefused(Refusal):
    """A job refused its input; see `DEFINITE_JOB_ERRORS`."""


class PublicationForbidden(Refusal):
    """The audit of a build forbids its publication."""


class JobUnknown(Refusal):
    """The workspace has no job, or more than one job, of the name."""


class JobRunCancelled(Refusal):
    """Someone cancelled the job run in the workspace."""


def job_failure(message: str, reasons: list[str]) -> Transient | Refusal:
    """Return the error for a failed job run: a refusal if one of its tasks failed for good."""
    definite = re.compile(rf"(?:[\w.]+\.)?(?:{'|'.join(DEFINITE_JOB_ERRORS)}):")
    text = f"{message}: {'; '.join(reasons)}"
    return JobRefused(text) if any(definite.match(reason) for reason in reasons) else JobFailed(text)
