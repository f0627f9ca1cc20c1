"""A service killed at any moment of a DAG run: the run ends right, with the tables of a run that was left in peace."""

from __future__ import annotations

import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest

from laptop.services import DAG
from tests.e2e.lake import SERVICES, days_of, running_lake
from tests.prove.budget import only_in_make_prove, rounds

pytestmark = [pytest.mark.timed, only_in_make_prove("tests/e2e kills all services at once")]

FIRST, DAYS = date(2018, 1, 1), 3
NO_SCHEDULE = {"LAKEHOUSE_SCHEDULE_END": "2000-01-01", "LAKEHOUSE_RETRIES": "4", "LAKEHOUSE_SPARK_FEW_ROWS": "true"}


def test_services_killed_at_any_moment(dataco: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    header, days = days_of(dataco, {FIRST + timedelta(days=number) for number in range(DAYS)})
    source = header + b"".join(line for day in days.values() for line in day.lines)
    last = f"dt={FIRST + timedelta(days=DAYS - 1)}"
    killed: Counter[str] = Counter()
    victims_in_turn = [*((service,) for service in SERVICES), SERVICES]
    with running_lake(tmp_path_factory.mktemp("killed"), source, NO_SCHEDULE) as lake:
        lake.client.unpause(DAG)
        # Two states of the last day, so that every run has something to do in every layer.
        files = {True: (lake.state.landing / last / "orders.csv").read_bytes(), False: header}
        expected = {}
        for full in (True, False):
            (lake.state.landing / last / "orders.csv").write_bytes(files[full])
            lake.run_to_success(FIRST, FIRST + timedelta(days=DAYS))
            expected[full] = lake.contents()
        assert expected[True] != expected[False]
        for round_ in rounds():
            moment, full = Random(round_).uniform(3, 80), round_ % 2 == 0
            (lake.state.landing / last / "orders.csv").write_bytes(files[full])
            run_id = lake.trigger(FIRST, FIRST + timedelta(days=DAYS))
            time.sleep(moment)
            victims = victims_in_turn[round_ % len(victims_in_turn)]
            lake.kill(*victims)
            lake.follow_to_success(run_id)
            lake.reconnect()
            assert lake.contents() == expected[full], f"round {round_}: {victims}"
            assert lake.job_processes() == [], f"round {round_}: a job's process outlived its run"
            killed[", ".join(victims)] += 1
    print("killed " + "; ".join(f"{name}: {times} times" for name, times in sorted(killed.items())))
