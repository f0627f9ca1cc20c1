"""The boundary to the jobs: the errors that the Airflow side does not retry exist under these names."""

from __future__ import annotations

import pytest

from spark_jobs.runtime import errors

failures = pytest.importorskip("include.failures", reason="Airflow is not installed")


@pytest.mark.parametrize("name", failures.DEFINITE_JOB_ERRORS)
def test_a_definite_job_error_is_a_refusal_of_the_jobs(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.LakehouseError)


def test_what_a_second_job_run_may_heal_is_retried() -> None:
    transient = {"PublicationConflict", "NothingLanded", "BaseMissing", "LandingRefused", "ManifestMismatch"}
    assert not transient & set(failures.DEFINITE_JOB_ERRORS)
