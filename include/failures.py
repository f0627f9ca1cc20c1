"""The errors of the Airflow side, and the one list of what may succeed on another try: everything else fails once."""

from __future__ import annotations

import re

import aiohttp
import requests
from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowRuntimeError,
    AirflowTaskTimeout,
)

CALL_ERRORS = (
    AirflowException,
    AirflowRuntimeError,
    requests.exceptions.RequestException,
    aiohttp.ClientError,
    TimeoutError,
)
"""Errors of a call of the Databricks API: the look-up of the connection, the network, the answer, a status that refuses
it."""

TRANSIENT_JOB_ERRORS = (
    # The jobs' own, of spark_jobs.runtime.errors.
    *("NothingLanded", "LandingChanged", "LandingRefused", "ManifestMismatch"),  # files that are still being delivered
    *("UpstreamMissing", "PublicationConflict"),  # other runs are under way
    "BuildUnreadable",  # a deploy came between build and audit, which are one job run
    # Of Spark: lost, or out of disk or memory. Errors with a reason in the data or the query have other names.
    *("RetryException", "SparkConnectException", "SparkConnectGrpcException", "SparkException", "UnknownException"),
    *("_InactiveRpcError", "_MultiThreadedRendezvous", "PySparkAssertionError"),
    # Of Delta: another writer was first.
    *("ConcurrentAppendException", "ConcurrentDeleteDeleteException", "ConcurrentDeleteReadException"),
    *("ConcurrentTransactionException", "ConcurrentWriteException", "DeltaConcurrentModificationException"),
    *("MetadataChangedException", "ProtocolChangedException"),
    # Of the machine.
    *("OSError", "BlockingIOError", "FileNotFoundError", "InterruptedError", "PermissionError", "TimeoutError"),
    *("BrokenPipeError", "ConnectionError", "ConnectionAbortedError", "ConnectionRefusedError", "ConnectionResetError"),
    "MemoryError",
)
"""The exceptions of a job that another job run may heal, by the names that Python prints. A job run that failed without
an exception is retried as well: its process or its compute was lost, or it took too long."""

TRANSIENT_ANALYSES = (
    None,  # no condition: the catalog did not answer
    # Others drop, create or alter a table, or remove its files, at this moment.
    *("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND", "PATH_NOT_FOUND", "TABLE_OR_VIEW_ALREADY_EXISTS"),
    *("DELTA_TABLE_NOT_FOUND", "DELTA_VERSION_NOT_FOUND", "DELTA_SCHEMA_CHANGE_SINCE_ANALYSIS"),
)
"""The error conditions with which Spark's AnalysisException is transient. Any other is a fault in the code or in a
table, which no retry heals."""

PRINTED_EXCEPTION = re.compile(r"(?:\w+\.)*(_?[A-Z]\w*[a-z]\w*)(?:$|:(?: \[([A-Z_]+)[].])?)", re.MULTILINE)
"""At the start of a reason: the name of an exception, as Python prints it, and the error condition if Spark has one."""


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
    """A run has no landing dates, or one that lies ahead."""


class BuildMissing(Refusal):
    """A layer has no build in this run that could be audited or published."""


class VerdictMissing(Refusal):
    """The audit of a build left no verdict."""


class JobRefused(Refusal):
    """A job failed by an exception that is not transient."""


class PublicationForbidden(Refusal):
    """The audit of a build forbids its publication."""


class JobUnknown(Refusal):
    """The workspace has no job, or more than one job, of the name."""


class JobRunCancelled(Refusal):
    """Someone cancelled the job run in the workspace."""


def job_failure(message: str, reasons: list[str]) -> Transient | Refusal:
    """Return the error for a failed job run: a refusal if one of its tasks failed for good."""
    text = f"{message}: {'; '.join(reasons)}"
    return JobFailed(text) if all(map(_is_transient, reasons)) else JobRefused(text)


def _is_transient(reason: str) -> bool:
    raised = PRINTED_EXCEPTION.match(reason)
    if raised and raised[1] == "AnalysisException":
        return raised[2] in TRANSIENT_ANALYSES
    return raised is None or raised[1] in TRANSIENT_JOB_ERRORS


TRANSIENT: list[type[BaseException] | str] = [Transient, *CALL_ERRORS, AirflowTaskTimeout, OSError]
"""The exceptions of a task that another try may heal. The provider raises AirflowException after its attempts."""

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(AirflowNotFoundException, RetryAction.FAIL, reason="There is no such connection"),
        RetryRule(TRANSIENT, RetryAction.RETRY, reason="Another try may succeed"),
    ],
    default=RetryAction.FAIL,
)
"""Of all tasks; Airflow asks it for every exception but a `Refusal`, which always fails once."""
