"""Airflow's SQLite database: a savepoint that reads first may still write when another process wrote meanwhile."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

import laptop.airflow_local_settings  # noqa: F401 - its listener is what is tested


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
