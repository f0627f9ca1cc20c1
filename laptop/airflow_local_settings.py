"""Airflow's own hook for settings, for its SQLite database. Airflow reads a copy of this file in AIRFLOW_HOME/config.

A savepoint outside a transaction begins one that may only read. If another process commits before that transaction
writes, SQLite refuses at once, whatever its time-out (https://www.sqlite.org/rescode.html#busy_snapshot), and a
backfill over existing runs ends with "database is locked". So the transaction begins as one that writes, for which
SQLite does wait.
"""

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

__all__: list[str] = []  # nothing here is one of Airflow's settings


@event.listens_for(Engine, "savepoint")
def _begin_to_write(connection: Any, _name: str) -> None:
    in_transaction = getattr(connection.connection.dbapi_connection, "in_transaction", True)
    if connection.dialect.name == "sqlite" and not in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
