"""A month of the real data set through Airflow's own scheduler, in each way that Airflow knows: equal tables.

By its schedule, with a day that lands late and runs that are cleared in between; by backfills, forward and backwards;
and by hand, in pieces that overlap. Each begins with an empty lakehouse.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from laptop import service_processes as processes
from laptop.follow import failure_reasons
from laptop.services import DAG, service_environment
from tests.e2e.lake import Lake, days_of, running_lake
from tests.prove.budget import minutes, only_in_make_prove

pytestmark = [pytest.mark.timed, only_in_make_prove("tests/e2e clears a run and lands a day late")]

FIRST = date(2018, 1, 1)
LATE = FIRST + timedelta(days=1)
SECONDS_A_RUN = 60
NO_SCHEDULE = {"LAKEHOUSE_SCHEDULE_END": "2000-01-01"}


@cache
def month() -> list[date]:
    """All of January, or as many of its first days as the first test has time for: all tests compare the same days."""
    given = 60 * (minutes() or 0) / SECONDS_A_RUN
    return [FIRST + timedelta(days=number) for number in range(max(3, min(31, int(given))))]


NewLake = Callable[[Mapping[str, str]], AbstractContextManager[Lake]]


@pytest.fixture(scope="module")
def new_lake(dataco: Path, tmp_path_factory: pytest.TempPathFactory) -> NewLake:
    header, days = days_of(dataco, set(month()))
    source = header + b"".join(line for day in days.values() for line in day.lines)

    @contextmanager
    def made(settings: Mapping[str, str]) -> Iterator[Lake]:
        with running_lake(tmp_path_factory.mktemp("month"), source, settings) as lake:
            yield lake

    return made


@pytest.fixture(scope="module")
def one_run(new_lake: NewLake) -> dict[str, list[str]]:
    """The tables of one single run."""
    with new_lake(NO_SCHEDULE) as lake:
        lake.client.unpause(DAG)
        lake.run_to_success(month()[0], month()[-1] + timedelta(days=1))
        return lake.contents()


def runs(lake: Lake) -> dict[str, dict[str, Any]]:
    found = lake.client.get(f"/dags/{DAG}/dagRuns", limit=100)["dag_runs"]
    return {run["dag_run_id"]: run for run in found}


def wait_for_successes(lake: Lake, number: int) -> list[str]:
    """The ids of the runs that have succeeded, once they are `number`. Raises AssertionError as soon as one failed."""
    deadline = time.monotonic() + number * 10 * SECONDS_A_RUN
    while time.monotonic() < deadline:
        states = {run_id: run["state"] for run_id, run in runs(lake).items()}
        for run_id, state in states.items():
            if state == "failed":
                raise AssertionError("\n".join(failure_reasons(lake.client, lake.follow(run_id))))
        done = sorted(run_id for run_id, state in states.items() if state == "success")
        if len(done) >= number:
            return done
        time.sleep(2)
    raise AssertionError(f"{len(done)} of {number} runs have succeeded: {states}")


def test_by_the_schedule_with_a_late_day_and_clears_in_between(
    new_lake: NewLake, one_run: dict[str, list[str]]
) -> None:
    bounds = {"LAKEHOUSE_SCHEDULE_START": FIRST, "LAKEHOUSE_SCHEDULE_END": month()[-1] + timedelta(days=1)}
    patience = {"LAKEHOUSE_LANDING_RETRIES": "1000", "LAKEHOUSE_LANDING_RETRY_DELAY": "15"}
    with new_lake({name: str(day) for name, day in bounds.items()} | patience) as lake:
        folder = lake.state.landing / f"dt={LATE}"
        hidden = folder.rename(folder.with_name(".late"))
        lake.client.unpause(DAG)
        done = wait_for_successes(lake, (len(month()) - 1) // 2 + 1)
        hidden.rename(folder)
        for run_id in done[::5]:
            lake.clear(run_id)
        wait_for_successes(lake, len(month()))
        late = next(run_id for run_id, run in runs(lake).items() if run["data_interval_start"].startswith(str(LATE)))
        tries = {task["task_id"]: task["try_number"] for task in lake.client.task_instances(DAG, late)}
        assert tries["check_landing"] > 1, "the late day was not late"
        assert len(runs(lake)) == len(month())
        assert lake.contents() == one_run
        print(f"by the schedule: {len(month())} runs, {len(done[::5])} cleared, one day late: equal")


@pytest.mark.parametrize(
    "options",
    [["--max-active-runs", "10"], ["--max-active-runs", "1", "--run-backwards"]],
    ids=["forward", "backwards"],
)
def test_by_backfill(new_lake: NewLake, one_run: dict[str, list[str]], options: list[str]) -> None:
    with new_lake(NO_SCHEDULE) as lake:
        lake.client.unpause(DAG)
        command = [str(lake.state.venv("airflow") / "bin" / "airflow"), "backfill", "create", "--dag-id", DAG]
        command += ["--from-date", str(month()[0]), "--to-date", str(month()[-1]), *options]
        environment = processes.clean_environment() | service_environment(lake.state) | NO_SCHEDULE
        subprocess.run(command, env=environment, check=True, capture_output=True)
        wait_for_successes(lake, len(month()))
        assert lake.contents() == one_run
        print(f"by backfill {' '.join(options)}: {len(month())} runs: equal")


def test_by_hand_in_pieces_that_overlap(new_lake: NewLake, one_run: dict[str, list[str]]) -> None:
    random, days = Random(0), len(month())
    starts = random.sample(range(0, days, 3), k=len(range(0, days, 3)))
    with new_lake(NO_SCHEDULE) as lake:
        lake.client.unpause(DAG)
        for start in starts:
            end = min(days, start + random.randint(3, 7))
            lake.trigger(month()[start], month()[0] + timedelta(days=end))
        wait_for_successes(lake, len(starts))
        assert lake.contents() == one_run
        print(f"by hand: {len(starts)} runs that overlap: equal")
