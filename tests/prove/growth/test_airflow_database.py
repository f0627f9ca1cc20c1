"""400 days of rows in a real database of Airflow: their number is flat once the retention is over."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from laptop.airflow_settings import airflow_environment
from laptop.laptop_state import LaptopState
from machine import airflow_cleanup
from tests.prove.budget import only_in_make_prove

pytestmark = only_in_make_prove("tests/cases/test_growth.py has the logs, and the names of the tables")

ROWS = ("log where event = 'run'", "job")
"""Airflow's command line adds rows to `log`."""
BEGIN = datetime(2018, 1, 1, tzinfo=UTC)


def test_rows_are_flat_and_what_a_killed_clean_up_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main_state = LaptopState.from_environment()
    state = main_state.with_own_data(tmp_path / "state")
    state.airflow_home.mkdir(parents=True)
    for name, value in airflow_environment(state).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", os.environ.get("HOME", str(tmp_path)))
    subprocess.run(["airflow", "db", "migrate"], check=True)
    sizes = {}
    for number in range(1, 401):
        day = BEGIN + timedelta(days=number)
        with sqlite3.connect(state.airflow_home / "airflow.db") as database:
            database.execute("insert into log (dttm, event) values (?, 'run')", [f"{day:%Y-%m-%d %H:%M:%S}.000000"])
            database.execute(
                "insert into job (state, job_type, start_date, latest_heartbeat) values ('success', 'Scheduler', ?, ?)",
                [f"{day:%Y-%m-%d %H:%M:%S}.000000"] * 2,
            )
            if number == 150:
                database.execute("create table _airflow_deleted__log__20180601000000 as select * from log")
        database.close()
        if number % 100 == 0:
            assert airflow_cleanup.clean(tmp_path / "logs", day - timedelta(days=90)) == 0
            with sqlite3.connect(state.airflow_home / "airflow.db") as database:
                tables = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
                counts = [database.execute(f"select count(*) from {rows}").fetchone()[0] for rows in ROWS]
            database.close()
            assert not [name for name in tables if name.startswith("_airflow_deleted")], tables
            sizes[number] = counts
    assert sizes[200] == sizes[300] == sizes[400]
    assert max(sizes[400]) <= 92
