"""One Spark Connect server for the whole suite, the groups of tests that run in parallel, and the skips CI may have."""

from __future__ import annotations

import importlib.util
import os
import re
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from laptop.sources import dataco_file

REPO = Path(__file__).resolve().parents[1]


class AllowedSkip(NamedTuple):
    """A skip that CI may have: of tests whose id begins with `tests`, with a reason in which `reason` is found."""

    tests: str
    reason: str
    why: str


ALLOWED_SKIPS = (
    AllowedSkip("tests/", "may not mount", "it needs an administrator's rights"),
    AllowedSkip("tests/bundle/test_cli.py", "Databricks CLI", "the job `bundle` of checks.yml runs them"),
    AllowedSkip("tests/bundle/test_wheel.py", r"Python 3\.12", "the test job for Python 3.12 has it"),
    AllowedSkip(
        "tests/spark/dashboards/", "no Chromium", "a development machine needs no browser that pages can drive"
    ),
    AllowedSkip("tests/deploy/test_compose.py", "docker compose", "a development machine needs no Docker"),
    AllowedSkip("tests/deploy/test_workflows.py", "actionlint", "the job `lint` of checks.yml runs it"),
    AllowedSkip("tests/", "DataCo data set", "it is too large for the repository, and CI has no copy"),
    AllowedSkip("tests/prove/", "long version", "`make prove` runs the long versions; the suite runs the short ones"),
    AllowedSkip("tests/dags/test_alerts.py", "aiosmtpd is not installed", "it comes with requirements-dev.txt"),
    AllowedSkip("tests/", "Spark is not installed", "where only Airflow is installed, the DAG tests run alone"),
    AllowedSkip("tests/", "cannot read this machine's files", "SPARK_REMOTE names a Spark on another machine"),
)
"""Any other skip fails the run where CI=true, and is named at the end of the run elsewhere."""


def is_allowed_skip(test: str, reason: str) -> bool:
    """Whether ALLOWED_SKIPS has this skip."""
    return any(test.startswith(skip.tests) and re.search(skip.reason, reason) for skip in ALLOWED_SKIPS)


def _unexpected_skip(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """The reason of a skip that is not allowed; None for everything else."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return None if is_allowed_skip(report.nodeid, reason) else reason.removeprefix("Skipped: ")


def _fail_unexpected_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = _unexpected_skip(report)
    if reason is not None and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"CI must not skip this ({reason}): make it run, or add it to ALLOWED_SKIPS in {__file__}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_unexpected_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_unexpected_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    unexpected = {
        report.nodeid: reason
        for report in terminalreporter.stats.get("skipped", [])
        if (reason := _unexpected_skip(report)) is not None
    }
    if unexpected:
        terminalreporter.section("skips that fail in CI (ALLOWED_SKIPS in tests/conftest.py)")
        for test, reason in unexpected.items():
            terminalreporter.line(f"{test}: {reason}")
    if terminalreporter.config.getoption("dist", "no") == "loadgroup":
        terminalreporter.section("seconds by group (BEGUN_FIRST in tests/conftest.py)")
        for group, seconds in _seconds_by_group(terminalreporter.stats):
            terminalreporter.line(f"{seconds:7.0f} {group}")


def _seconds_by_group(reports: dict[str, list[Any]]) -> list[tuple[str, float]]:
    """Return the groups of the tests with their seconds, the longest first."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in (report for of_category in reports.values() for report in of_category):
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid.rpartition("@")[2]] += report.duration
    return sorted(seconds.items(), key=lambda item: -item[1])


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
    *("spark/law", "e2e", "spark/publishing/test_publish", "prove/other_writers", "prove/crashes"),
    *("spark/dashboards", "spark/publishing/test_decisions", "prove/histories", "spark/publishing/test_anomalies"),
    *("prove/gates", "cases/test_growth", "cases/test_dates", "cases/test_odd_keys", "benchmarks", "deploy"),
    *("spark/audit", "spark/publishing/test_worked_example", "spark/gold", "cases/test_no_data", "workspace"),
)
"""The groups that take longest, the longest first: one that came last would leave the other processes idle.

The end of `make test` shows the seconds of each group. A process is given its next group while it is at the last two
tests of one, so a group of few tests takes another one with it.
"""


SEPARATE_FILES = ("cases", "spark/publishing")


def _group(item: pytest.Item) -> str:
    """Return the item's folder; its file where the files of a folder share nothing but Spark, and take long."""
    folder = item.path.parent.relative_to(REPO / "tests").as_posix()
    return f"{folder}/{item.path.stem}" if folder in SEPARATE_FILES else folder


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests of a group stay together where tests run side by side; a folder in a folder is another group.

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


@pytest.fixture(scope="session", autouse=True)
def folder_of_the_run(request: pytest.FixtureRequest) -> Path:
    """The folder of all processes of the run. What they start in it ends with them, even if they are killed."""
    from tests.left_behind import watch

    # Not as an argument: each test would count as one that shares files with Spark.
    folder: Path = request.getfixturevalue("tmp_path_factory").getbasetemp()
    if hasattr(request.config, "workerinput"):  # xdist gives each process a folder in one of all
        folder = folder.parent
        watch(os.getppid(), folder)
    else:
        watch(os.getpid(), folder)
    return folder


@pytest.fixture(scope="session")
def spark_remote(folder_of_the_run: Path) -> Iterator[str]:
    """The connection string of a Spark Connect server with Delta."""
    if remote := os.environ.get("SPARK_REMOTE"):
        yield remote
        return
    from tests.shared_spark import shared_spark

    with shared_spark(folder_of_the_run) as remote:
        yield remote


@pytest.fixture(scope="session")
def spark(spark_remote: str) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    # Not getOrCreate: that gives back the session of another server, where one is left open in this process.
    session = SparkSession.builder.remote(spark_remote).create()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    yield session
    session.stop()
