"""Airflow's SQLite database: who waits for another writer, and for how long."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

import laptop.airflow_local_settings  # noqa: F401 - its listener is what is tested
from laptop.laptop_state import LaptopState
from laptop.services import service_commands
from machine.state_folder import REPO


def test_a_savepoint_waits_for_another_writer(tmp_path: Path) -> None:
    file = tmp_path / "airflow.db"
    with sqlite3.connect(file) as made:
        made.execute("PRAGMA journal_mode=wal")
        made.execute("CREATE TABLE runs (run)")
        made.execute("INSERT INTO runs VALUES ('old')")

    def write() -> None:
        with sqlite3.connect(file, timeout=20) as other:
            other.execute("INSERT INTO runs VALUES ('new')")

    other = threading.Thread(target=write)
    with Session(create_engine(f"sqlite:///{file}?timeout=20")) as session:
        with session.begin_nested():
            assert session.execute(text("SELECT count(*) FROM runs")).scalar() == 1
            other.start()
            other.join(0.5)
            session.execute(text("DELETE FROM runs"))  # "database is locked", had the other one written by now
        session.commit()
        other.join()
        assert session.execute(text("SELECT run FROM runs")).scalars().all() == ["new"]


def test_the_api_server_stands_still_for_seconds_only(tmp_path: Path) -> None:
    """What waits for the database in its one thread keeps the holder of the lock from ending."""
    state = LaptopState(tmp_path / "state", 1, 2, 3)
    state.ensure_secrets()
    urls = {
        command.name: command.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        for command in service_commands(state, REPO)
        if command.name.startswith("airflow-")
    }
    assert urls.pop("airflow-api-server").endswith("airflow.db?timeout=5")
    assert urls
    assert all(url.endswith("airflow.db?timeout=60") for url in urls.values())
