"""Jobs, runs, task runs and idempotency tokens in SQLite: what survives a restart."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine.state_folder import private_folder

_TABLES = """
create table if not exists sequence (next integer not null);
create table if not exists jobs (
    job_id integer primary key, name text not null, settings text not null, wheels text not null,
    creator text not null, created integer not null, deleted integer not null default 0);
create table if not exists runs (
    run_id integer primary key, job_id integer not null, job_name text not null, settings text not null,
    wheels text not null, parameters text not null, life_cycle text not null, result text, message text not null,
    created integer not null, started integer, ended integer, repair_count integer not null default 0,
    repairs text not null default '[]', cancel_requested integer not null default 0,
    timed_out integer not null default 0, attempt_started integer);
create index if not exists runs_by_job on runs (job_id, run_id);
create index if not exists runs_by_life_cycle on runs (life_cycle);
create table if not exists task_runs (
    run_id integer primary key, parent_run_id integer not null, task_key text not null, attempt integer not null,
    repair_id integer, life_cycle text not null, result text, message text not null, created integer not null,
    started integer, process_started integer, ended integer, pid integer, pid_started real, session_id text not null,
    parameters text not null default '[]', error text, error_trace text);
create index if not exists task_runs_by_parent on task_runs (parent_run_id);
create table if not exists tokens (token text primary key, job_id integer not null, run_id integer not null);
"""
_JSON = ("settings", "wheels", "parameters", "repairs")
TERMINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
Row = dict[str, Any]


def now_ms() -> int:
    return int(time.time() * 1000)


class Store:
    """All access is serialised by one lock; `transaction` groups reads and writes that belong together."""

    def __init__(self, path: Path) -> None:
        private_folder(path.parent)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("pragma journal_mode = wal")
        # A crash of the machine may lose the last instant, never the file; fsyncs would cost latency.
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(_TABLES)
        if self.one("select next from sequence") is None:
            # Build ids are made from run ids and are never reused (design section 2), not even when this
            # file was deleted and the tables were not: so ids start from the present second.
            self.execute("insert into sequence values (?)", int(time.time()))

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def execute(self, sql: str, *values: Any) -> None:
        with self._lock:
            self._connection.execute(sql, values)

    def all(self, sql: str, *values: Any) -> list[Row]:
        with self._lock:
            rows = self._connection.execute(sql, values).fetchall()
        return [_decoded(dict(row)) for row in rows]

    def one(self, sql: str, *values: Any) -> Row | None:
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def new_id(self) -> int:
        with self.transaction():
            row = self.one("select next from sequence")
            if row is None:
                raise RuntimeError("the workspace's store has no id sequence: the file is damaged")
            self.execute("update sequence set next = next + 1")
            return int(row["next"])

    def insert(self, table: str, **values: Any) -> None:
        names = ", ".join(values)
        marks = ", ".join("?" for _ in values)
        encoded = [_encoded(name, value) for name, value in values.items()]
        self.execute(f"insert into {table} ({names}) values ({marks})", *encoded)  # noqa: S608 - our own names

    def update(self, table: str, key: int, **values: Any) -> None:
        changes = ", ".join(f"{name} = ?" for name in values)
        column = "job_id" if table == "jobs" else "run_id"
        encoded = [_encoded(name, value) for name, value in values.items()]
        self.execute(f"update {table} set {changes} where {column} = ?", *encoded, key)  # noqa: S608

    def job(self, job_id: int) -> Row | None:
        return self.one("select * from jobs where job_id = ? and not deleted", job_id)

    def run(self, run_id: int) -> Row | None:
        return self.one("select * from runs where run_id = ?", run_id)

    def task_run(self, run_id: int) -> Row | None:
        return self.one("select * from task_runs where run_id = ?", run_id)

    def tasks_of(self, run_id: int) -> list[Row]:
        """Every attempt of every task, oldest first."""
        return self.all("select * from task_runs where parent_run_id = ? order by run_id", run_id)

    def latest_attempts(self, run_id: int) -> dict[str, Row]:
        return {task["task_key"]: task for task in self.tasks_of(run_id)}

    def unfinished_runs(self) -> list[Row]:
        return self.all(
            "select * from runs where life_cycle not in ('TERMINATED', 'SKIPPED', 'INTERNAL_ERROR') order by run_id"
        )


def _encoded(name: str, value: Any) -> Any:
    return json.dumps(value) if name in _JSON else value


def _decoded(row: Row) -> Row:
    for name in _JSON:
        if isinstance(row.get(name), str):
            row[name] = json.loads(row[name])
    return row
