"""One Spark Connect server for the whole suite, or the one that SPARK_REMOTE names."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from laptop.sources import dataco_file

REPO = Path(__file__).resolve().parents[1]


class Skipped(pytest.File):  # as a pytest.Directory it would have its conftest.py loaded first
    """A folder of tests that this environment cannot run."""

    def collect(self) -> Any:
        pytest.skip(f"tests/{self.path.name}: Spark is not installed here (it comes with requirements-dev.txt)")


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Where only Airflow is installed, as in Astro's image (`astro dev pytest`), its own tests run and no others."""
    only_airflow = importlib.util.find_spec("pyspark") is None
    if only_airflow and path.parent == Path(__file__).parent and path.name != "dags":
        return Skipped.from_parent(parent, path=path)
    return None


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Content goes by its length: an id of megabytes names nothing, and bytes that packing made may tell the time."""
    if isinstance(val, bytes) or (isinstance(val, str) and len(val) > 200):
        return f"{argname} of {len(val)}"
    return None


@pytest.fixture(scope="session")
def dataco() -> Path:
    """The real data set, compressed; skips where it is not available."""
    if not dataco_file().exists():
        pytest.skip(f"the DataCo data set is not available: LAKEHOUSE_DATA names its file, by default {dataco_file()}")
    return dataco_file()


BEGUN_FIRST = (
    *("spark/law", "e2e", "prove/crashes"),
    *("bundle", "spark/publishing", "prove/histories"),
    *("prove/gates", "prove/concurrency"),
)
"""The groups that take longest: one that came last would leave the other processes idle.

Each of three processes is given two groups at once, so the longest one shares its process with one of seconds.
"""


def _group(item: pytest.Item) -> str:
    return item.path.parent.relative_to(REPO / "tests").as_posix()


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests of a folder stay together where tests run side by side, those of a folder in it are another group.

    With a Spark on another machine, tests that hand it files of this one are skipped.
    """
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            item.add_marker(pytest.mark.xdist_group(_group(item)))
        items.sort(
            key=lambda item: BEGUN_FIRST.index(_group(item)) if _group(item) in BEGUN_FIRST else len(BEGUN_FIRST)
        )
    host = urlsplit(os.environ.get("SPARK_REMOTE", "")).hostname
    if host in (None, "localhost", "127.0.0.1"):
        return
    skip = pytest.mark.skip(reason=f"Spark at {host} cannot read this machine's files")
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if "spark" in fixtures and fixtures & {"tmp_path", "tmp_path_factory"}:
            item.add_marker(skip)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Raises UsageError where xdist did not take the groups: tests that build on each other would be torn apart."""
    if session.config.getoption("loadgroup", False) and hasattr(session.config, "workerinput"):
        alone = [item.nodeid for item in session.items if "@" not in item.nodeid]
        if alone:
            raise pytest.UsageError(f"pytest-xdist has put {len(alone)} tests into no group, such as {alone[0]}")


@pytest.fixture(scope="session")
def spark_remote(request: pytest.FixtureRequest) -> Iterator[str]:
    """The connection string of a Spark Connect server with Delta."""
    if remote := os.environ.get("SPARK_REMOTE"):
        yield remote
        return
    from tests.shared_spark import shared_spark

    folder: Path = request.getfixturevalue("tmp_path_factory").getbasetemp()
    beside_others = hasattr(request.config, "workerinput")  # xdist gives each process a folder in one of all
    with shared_spark(folder.parent if beside_others else folder) as remote:
        yield remote


@pytest.fixture(scope="session")
def spark(spark_remote: str) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    # Not getOrCreate: that gives back the session of another server, where one is left open in this process.
    session = SparkSession.builder.remote(spark_remote).create()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    yield session
    session.stop()
