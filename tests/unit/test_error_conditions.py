"""Error conditions of Spark, by which the jobs know what happened."""

from __future__ import annotations

import pytest
from pyspark.errors.exceptions.connect import SparkConnectGrpcException

from spark_jobs.storage import delta


@pytest.mark.parametrize(
    ("given", "message", "expected"),
    [
        ("DELTA_CONCURRENT_APPEND.WITHOUT_HINT", "Transaction conflict", "DELTA_CONCURRENT_APPEND.WITHOUT_HINT"),
        (
            None,
            "(java.util.concurrent.ExecutionException) org.apache.spark.SparkException:"
            " [FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading [A_FILE]",
            "FAILED_READ_FILE.FILE_NOT_EXIST",
        ),
        (None, "Job aborted due to stage failure: [x] [1] [é]", ""),
    ],
)
def test_a_condition_is_found_where_only_the_message_has_it(given: str | None, message: str, expected: str) -> None:
    """Spark wraps the errors of its broadcasts and subqueries."""
    error = SparkConnectGrpcException(message, errorClass=given, messageParameters={} if given else None)
    assert delta.condition(error) == expected


def test_other_errors_have_no_condition() -> None:
    assert delta.condition(ValueError("[FAILED_READ_FILE] said by somebody else")) == ""


@pytest.mark.parametrize(
    ("given", "message", "unreadable", "hidden"),
    [
        (None, "Exception thrown in awaitResult: ", False, True),
        (None, "Exception thrown in awaitResult: [FAILED_READ_FILE.FILE_NOT_EXIST] File", True, False),
        ("SOMETHING_ELSE", "[SOMETHING_ELSE] because of [DELTA_MISSING_CHANGE_DATA] Error", True, False),
        ("DELTA_CONCURRENT_APPEND", "Transaction conflict", False, False),
    ],
)
def test_what_may_be_unreadable_is_told_from_what_is(
    given: str | None, message: str, unreadable: bool, hidden: bool
) -> None:
    error = SparkConnectGrpcException(message, errorClass=given, messageParameters={} if given else None)
    assert (delta.is_unreadable(error), delta.hides_its_reason(error)) == (unreadable, hidden)
