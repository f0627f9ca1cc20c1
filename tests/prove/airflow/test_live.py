"""A day that lands in pieces, found by the live DAG on its schedule, has the tables of the day by one daily run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest

from laptop.services import DAG
from tests.e2e.lake import LIVE_DAG, SERVICES, Day, Lake, days_of, running_lake
from tests.prove.budget import minutes, only_in_make_prove, rounds

pytestmark = [pytest.mark.timed, only_in_make_prove("tests/e2e runs the live DAG once, beside a daily run")]

FIRST, DAYS = date(2018, 1, 1), 2
PIECES, SECONDS_BETWEEN = 6, 20
ENDED = {"success", "skipped", "failed", "upstream_failed"}
SETTINGS = {
    "LAKEHOUSE_SCHEDULE_END": "2000-01-01",
    "LAKEHOUSE_LIVE_SCHEDULE": "* * * * *",
    "LAKEHOUSE_RETRIES": "4",
}


def live_runs(lake: Lake) -> list[str]:
    """The states of the live DAG's task `run`, of all its runs."""
    runs = lake.client.get(f"/dags/{LIVE_DAG}/dagRuns", limit=1000)["dag_runs"]
    found = []
    for run in runs:
        tasks = {task["task_id"]: task["state"] for task in lake.client.task_instances(LIVE_DAG, run["dag_run_id"])}
        found.append(str(tasks.get("run")))
    return found


def wait_until_all_is_published(lake: Lake, files: int, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds

    def published() -> int:
        table = "bronze.landed_files"
        return lake.spark.table(table).count() if lake.spark.catalog.tableExists(table) else 0

    while published() < files or not set(states := live_runs(lake)) <= ENDED:
        assert time.monotonic() < deadline, f"not published within {seconds:.0f} s"
        time.sleep(5)
    assert "success" in states


def test_a_day_in_pieces_by_the_live_dag_is_the_day_by_a_daily_run(
    dataco: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each landing is found within a minute; services die, and daily runs of the same date are asked for meanwhile."""
    header, days = days_of(dataco, {FIRST + timedelta(days=number) for number in range(DAYS)})
    last = FIRST + timedelta(days=DAYS - 1)

    def lake_in(name: str, settings: Mapping[str, str]) -> AbstractContextManager[Lake]:
        source = header + b"".join(line for day in days.values() if day.day != last for line in day.lines)
        return running_lake(tmp_path_factory.mktemp(name), source, settings)

    for round_ in rounds():
        random = Random(round_)
        with lake_in("live", SETTINGS) as lake:
            _land_in_pieces(lake, header, days[last], random)
            in_pieces = lake.contents()
        with lake_in("daily", SETTINGS | {"LAKEHOUSE_LIVE_SCHEDULE": "0 0 1 1 *"}) as lake:
            lake.client.unpause(DAG)
            for piece in range(PIECES):
                lake.land(last, header, days[last].lines[piece::PIECES], f"{piece}.csv")
            lake.run_to_success(FIRST, FIRST + timedelta(days=DAYS))
            assert lake.contents() == in_pieces, f"round {round_}"
    print(f"in {minutes()} minutes")


def _land_in_pieces(lake: Lake, header: bytes, day: Day, random: Random) -> None:
    daily, killed = random.randrange(1, PIECES), random.randrange(1, PIECES)
    lake.client.unpause(DAG)
    lake.client.unpause(LIVE_DAG)
    for piece in range(PIECES):
        lake.land(day.day, header, day.lines[piece::PIECES], f"{piece}.csv")
        if piece == daily:
            lake.trigger(day.day, day.day + timedelta(days=1))
        if piece == killed:
            lake.kill(random.choice(SERVICES))
            lake.reconnect()
        time.sleep(SECONDS_BETWEEN)
    wait_until_all_is_published(lake, files=1 + PIECES)
