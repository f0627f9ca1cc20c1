"""A run that is killed before or after any commit, and at any moment: a retry ends in the same tables."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import SparkSession

from local_workspace.spark_sessions import SparkSessions
from tests.prove.budget import minutes, only_in_make_prove, rounds
from tests.spark.publishing.conftest import email_key  # noqa: F401
from tests.spark.publishing.lakehouse import Lakehouse, order_item

REPO = Path(__file__).resolve().parents[3]
DAYS = ("2018-01-01", "2018-01-03")
LAYERS = ("bronze", "silver", "gold")
IN_THE_SUITE = {"bronze": (9, "after"), "silver": (9, "before"), "gold": (10, "after")}
"""Where the suite's short version kills; the long one kills everywhere."""
USER = "lakehouse"


def deliver(lakehouse: Lakehouse, variant: int) -> None:
    """Two days in one of two variants that differ in every table."""
    changed = {"segment": "Corporate", "price": 120, "status": "CANCELED", "total": "50.00"} if variant else {}
    lakehouse.land("2018-01-01", *(order_item(n, customer=n, day=1) for n in range(1, 4)))
    bad = ["this is no order item"] * (1 + variant)
    more = [order_item(9, customer=4, product=7, day=2)] if variant else []
    lakehouse.land("2018-01-02", order_item(2, customer=2, day=2, **changed), *more, *bad)


class Killed:
    """Runs of a layer that die; each is followed by what Airflow does then."""

    def __init__(self, lakehouse: Lakehouse, spark_remote: str) -> None:
        self.lakehouse = lakehouse
        self._remote = spark_remote
        self._variant = 0
        self._killed_runs: list[str] = []
        self._expected: dict[int, dict[str, object]] = {}
        self.names: dict[str, dict[int, str]] = {layer: {} for layer in LAYERS}
        for variant in (1, 0):
            self._variant = variant
            deliver(lakehouse, variant)
            lakehouse.run(*DAYS, audited=False)
            self._expected[variant] = {layer: lakehouse.everything(layer) for layer in LAYERS}

    def turn(self, upstream_of: str = LAYERS[0]) -> None:
        """The other variant lands, and the layers upstream of that one take it over."""
        self._variant = 1 - self._variant
        deliver(self.lakehouse, self._variant)
        self.lakehouse.run(*DAYS, layers=LAYERS[: LAYERS.index(upstream_of)], audited=False)

    def die(self, layer: str, number: int, moment: str, seconds: float | None = None) -> bool:
        """Whether the run died there; then it is retried, and the tables must be those of a run that lived."""
        parameters = self.lakehouse.parameters(layer, *DAYS)
        session = str(uuid.uuid4())
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.prove.crashes.dying_run", json.dumps(parameters.as_texts()),
             f"{number} {moment}"],
            cwd=REPO, env=os.environ | {"SPARK_REMOTE": self._session(session)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            printed, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            printed, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors[-3000:]
        self._killed_runs.append(parameters.job_run_id)
        self._end_spark_work(session)
        for commit in re.finditer(r"commit (\d+): (.*)", printed):
            self.names[layer][int(commit[1])] = commit[2]
        if found := re.search(r"to publish: (.*)", printed):
            # It died while it published, or after: Airflow tries this very publish again.
            build_id, fingerprint = json.loads(found[1])
            self._publish_again(layer, parameters.job_run_id, build_id, fingerprint)
        else:
            self.lakehouse.run(*DAYS, layers=(layer,))
        expected = self._expected[self._variant][layer]
        assert self.lakehouse.everything(layer) == expected, f"killed {moment} commit {number} of {layer}"
        return process.returncode != 0

    def only_killed_builds_left_staging(self) -> None:
        """Which maintenance removes when it is old (tests/spark/law)."""
        builds = [f"{run}_" for run in self._killed_runs]
        left = [name for name in self.lakehouse.staging() if not any(build in name for build in builds)]
        assert not left, f"staging of builds that were published is left: {left}"

    def maintenance_leaves_no_staging(self) -> None:
        self.lakehouse.maintain("2099-01-01")
        assert self.lakehouse.staging() == [], "staging is left for ever"

    def commits(self, layer: str) -> str:
        return "\n".join(f"  {number}: {name}" for number, name in sorted(self.names[layer].items()))

    def _publish_again(self, layer: str, build_run: str, build_id: str, fingerprint: str) -> None:
        build = self.lakehouse.built(layer, build_run)
        assert build.build_id == build_id
        self.lakehouse.publish(build, fingerprint)

    def _session(self, session: str) -> str:
        return f"{self._remote};user_id={USER};session_id={session}"

    def _end_spark_work(self, session: str) -> None:
        """As the workspace does when a task's process is gone."""
        port, token = re.search(r":(\d+)/.*token=([^;]+)", self._remote).groups()  # type: ignore[union-attr]
        sessions = SparkSessions(int(port), token, USER)
        sessions.end(session, interrupt=True)
        sessions.close()


@pytest.fixture(scope="module")
def killed(
    spark: SparkSession,
    spark_remote: str,
    email_key: None,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Killed]:
    lakehouse = Lakehouse(spark, tmp_path_factory.mktemp("killed"), "killed_")
    yield Killed(lakehouse, spark_remote)
    lakehouse.drop()


@pytest.mark.skipif(minutes() is not None, reason="the long version kills at every commit")
def test_each_layer_killed_once_on_the_way(killed: Killed) -> None:
    killed.turn()
    for layer, (number, moment) in IN_THE_SUITE.items():
        assert killed.die(layer, number, moment), f"{layer} has no commit {number}: {killed.names[layer]}"
        print(f"{layer}: killed {moment} commit {number}; its commits:\n{killed.commits(layer)}")
    killed.only_killed_builds_left_staging()


@pytest.mark.timed
@only_in_make_prove("the test above")
@pytest.mark.parametrize("layer", LAYERS)
def test_killed_at_any_commit_and_at_any_moment(layer: str, killed: Killed) -> None:
    tried = 0

    def died(number: int, moment: str, seconds: float | None = None) -> bool:
        nonlocal tried
        killed.turn(upstream_of=layer)
        has_died = killed.die(layer, number, moment, seconds)
        tried += has_died
        return has_died

    for round_ in rounds():
        if round_ == 0:
            number = 1
            while died(number, "before") and died(number, "after"):
                number += 1
        else:
            died(0, "never", seconds=Random(round_).uniform(2, 15))
    killed.maintenance_leaves_no_staging()
    print(f"{layer}: killed {tried} times; its commits:\n{killed.commits(layer)}")
