"""The boundary to the jobs: the errors that the Airflow side retries exist under these names."""

from __future__ import annotations

import builtins
import inspect

import pytest

from spark_jobs.runtime import errors

failures = pytest.importorskip("include.failures", reason="Airflow is not installed")

RETRIED = {
    "NothingLanded",
    "LandingChanged",
    "LandingRefused",
    "ManifestMismatch",
    "UpstreamMissing",
    "PublicationConflict",
    "BuildUnreadable",
}
OURS = {
    name
    for name, error in vars(errors).items()
    if inspect.isclass(error) and issubclass(error, errors.LakehouseError) and error is not errors.LakehouseError
}


@pytest.mark.parametrize("name", sorted(OURS))
def test_of_the_jobs_own_errors_these_are_retried(name: str) -> None:
    assert (name in failures.TRANSIENT_JOB_ERRORS) == (name in RETRIED)


def test_every_other_retried_error_exists() -> None:
    import grpc._channel
    import pyspark.errors.exceptions.base
    import pyspark.errors.exceptions.connect
    import pyspark.sql.connect.client.retries

    spark = (pyspark.errors.exceptions.base, pyspark.errors.exceptions.connect, pyspark.sql.connect.client.retries)
    known = {name for module in (builtins, grpc._channel, *spark) for name in vars(module)}
    unknown = set(failures.TRANSIENT_JOB_ERRORS) - known - RETRIED
    # Of Delta's own Python package, which Databricks has.
    assert all("Concurrent" in name or name.endswith("ChangedException") for name in unknown)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("NothingLanded: landing dates have no file", failures.JobFailed),
        ("spark_jobs.runtime.errors.GateRejected: no verdict", failures.JobRefused),
        ("Exit status 137", failures.JobFailed),
        ("pyspark.errors.exceptions.connect.AnalysisException: org.apache.HiveException: away", failures.JobFailed),
        ("AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] The table or view `x`", failures.JobFailed),
        ("AnalysisException: [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column `x`", failures.JobRefused),
        ("AnalysisException: [DELTA_INSERT_COLUMN_ARITY_MISMATCH] Cannot write", failures.JobRefused),
        ("SparkException: [TASK_WRITE_FAILED] No space left on device", failures.JobFailed),
    ],
)
def test_what_a_job_run_failed_by_decides_about_a_retry(reason: str, expected: type[Exception]) -> None:
    assert type(failures.job_failure("Job run 1 ended as FAILED", [reason])) is expected
