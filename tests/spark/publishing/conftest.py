"""Lakehouses for single tests or modules, on the one Spark of the suite."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta

import pytest
from pyspark.sql import SparkSession

from spark_jobs.runtime.secret_store import SECRETS_FOLDER
from tests.spark.publishing.lakehouse import Lakehouse

_numbers = itertools.count()


@pytest.fixture(scope="session")
def email_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    secrets = tmp_path_factory.mktemp("secrets")
    key = secrets / "lakehouse" / "email-hmac-key"
    key.parent.mkdir()
    key.touch(mode=0o600)
    key.write_text("a key for tests")
    before = os.environ.get(SECRETS_FOLDER)
    os.environ[SECRETS_FOLDER] = str(secrets)
    yield
    if before is None:
        del os.environ[SECRETS_FOLDER]
    else:
        os.environ[SECRETS_FOLDER] = before


@pytest.fixture(scope="module")
def new_lakehouse(
    spark: SparkSession, email_key: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Lakehouse]]:
    made: list[Lakehouse] = []

    def new() -> Lakehouse:
        number = next(_numbers)
        lakehouse = Lakehouse(spark, tmp_path_factory.mktemp("lakehouse"), f"t{os.getpid()}_{number}_")
        made.append(lakehouse)
        return lakehouse

    yield new
    for lakehouse in made:
        lakehouse.drop()


@pytest.fixture(scope="module")
def lakehouse(new_lakehouse: Callable[[], Lakehouse]) -> Lakehouse:
    """An empty lakehouse for all tests of a module."""
    return new_lakehouse()


@pytest.fixture(scope="module")
def free_dates() -> Iterator[tuple[str, str, int]]:
    """Landing dates that no other test of the module has, each with the day after and the first of its item ids."""
    starts = (date(2018, 1, 1) + timedelta(days=number) for number in itertools.count())
    return ((str(start), str(start + timedelta(days=1)), 100 * number) for number, start in enumerate(starts, 1))
