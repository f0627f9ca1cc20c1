"""Jobs, runs, task runs and idempotency tokens in SQLite: what survives a restart."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from local_workspace.entities import ACTIVE, TERMINAL, Job, Run, TaskRun
from machine.state_folder import private_folder

_SCHEMA = """
create table if not exists sequence (next integer not null);
create table if not exists jobs (
    job_id integer primary key, name text not null, settings text not null, wheels text not null,
    creator text not null, created integer not null, deleted integer not null default 0,
    pipeline text not null default 'null');
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
    parameters text not null default '[]', error text, error_trace text, "values" text not null default '{}',
    outcome text, child_run_id integer);
create index if not exists task_runs_by_parent on task_runs (parent_run_id);
create table if not exists tokens (token text primary key, job_id integer not null, run_id integer not null);
"""
_JSON_COLUMNS = ("settings", "wheels", "parameters", "repairs", "values", "pipeline")
_ADDED_COLUMNS = {
    "jobs": {"pipeline": "text not null default 'null'"},
    "task_runs": {"values": "text not null default '{}'", "outcome": "text", "child_run_id": "integer"},
}
"""By table: columns that files of earlier versions do not have."""
_TABLES: dict[type, tuple[str, str]] = {
    Job: ("jobs", "job_id"),
    Run: ("runs", "run_id"),
    TaskRun: ("task_runs", "run_id"),
}
_ADAPTERS: dict[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in _TABLES}
Entity = TypeVar("Entity", Job, Run, TaskRun)


def now_ms() -> int:
    return int(time.time() * 1000)


def _listed(states: Sequence[str]) -> str:
    return ", ".join(f"'{state}'" for state in states)


class Store:
    """All access is serialised by one lock; `transaction` groups reads and writes that belong together."""

    def __init__(self, path: Path) -> None:
        private_folder(path.parent)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        self._connection.row_factory = sqlite3.Row
        self._execute("pragma journal_mode = wal")
        # A crash of the machine may lose the last instant, never the file; fsyncs would cost latency.
        self._execute("pragma synchronous = normal")
        self._connection.executescript(_SCHEMA)
        for table, columns in _ADDED_COLUMNS.items():
            present = {row["name"] for row in self._execute(f"pragma table_info({table})")}
            for name in columns.keys() - present:
                self._execute(f'alter table {table} add column "{name}" {columns[name]}')
        # Earlier versions wrote repairs in another format; only the history of those runs' repairs is lost.
        self._execute("update runs set repairs = '[]' where repairs like '%life_cycle_state%'")
        if not self._execute("select next from sequence"):
            # Build ids are made from run ids and must never be reused, even if this file was deleted and the
            # tables were not: so ids start from the present second.
            self._execute("insert into sequence values (?)", int(time.time()))

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

    def new_id(self) -> int:
        (row,) = self._execute("update sequence set next = next + 1 returning next - 1")
        return int(row[0])

    def insert(self, entity: Job | Run | TaskRun) -> None:
        columns = _columns(entity)
        names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join("?" for _ in columns)
        table, _ = _TABLES[type(entity)]
        self._execute(f"insert into {table} ({names}) values ({marks})", *columns.values())  # noqa: S608 - own names

    def update(self, entity: Entity, **changes: Any) -> Entity:
        """Write these fields alone, so that another thread's change of another field stays. Return the new entity."""
        changed = replace(entity, **changes)
        columns = {name: value for name, value in _columns(changed).items() if name in changes}
        assignments = ", ".join(f'"{name}" = ?' for name in columns)
        table, key = _TABLES[type(entity)]
        self._execute(
            f"update {table} set {assignments} where {key} = ?",  # noqa: S608 - own names
            *columns.values(),
            getattr(entity, key),
        )
        return changed

    def job(self, job_id: int, *, deleted: bool = False) -> Job | None:
        """Return the job, or None; `deleted` finds a deleted one too."""
        return self._first(Job, "where job_id = ? and deleted <= ?", job_id, deleted)

    def jobs(self, name: str = "") -> list[Job]:
        """Return all jobs, or those of that name (in upper or lower case, as the real filter); the newest first."""
        return self._select(
            Job,
            "where not deleted and pipeline = 'null' and (? = '' or lower(name) = lower(?)) order by job_id desc",
            name,
            name,
        )

    def pipelines(self) -> list[Job]:
        """Return the jobs that stand for pipelines, the newest first."""
        return self._select(Job, "where not deleted and pipeline <> 'null' order by job_id desc")

    def run(self, run_id: int) -> Run | None:
        return self._first(Run, "where run_id = ?", run_id)

    def runs(self, *, job_id: int | None = None, limit: int) -> list[Run]:
        """Return the newest runs, of one job or of all."""
        return self._select(Run, "where ? is null or job_id = ? order by run_id desc limit ?", job_id, job_id, limit)

    def run_ids(self, job_id: int | None, created: tuple[int, int], *, active: bool, completed: bool) -> list[int]:
        """Return the runs that were created between two moments, the newest first."""
        rows = self._execute(
            f"select run_id from runs where (? is null or job_id = ?) and created between ? and ?"  # noqa: S608
            f" and not (? and life_cycle in ({_listed(TERMINAL)}))"
            f" and not (? and life_cycle not in ({_listed(TERMINAL)})) order by run_id desc",
            *(job_id, job_id, *created, active, completed),
        )
        return [row["run_id"] for row in rows]

    def unfinished_runs(self) -> list[Run]:
        return self._select(Run, f"where life_cycle not in ({_listed(TERMINAL)}) order by run_id")

    def active_run_count(self, job_id: int) -> int:
        (row,) = self._execute(
            f"select count(*) from runs where job_id = ? and life_cycle in ({_listed(ACTIVE)})",  # noqa: S608
            job_id,
        )
        return int(row[0])

    def has_queued_run(self, job_id: int) -> bool:
        return bool(self._execute("select 1 from runs where job_id = ? and life_cycle = 'QUEUED' limit 1", job_id))

    def delete_run(self, run_id: int) -> None:
        with self.transaction():
            self._execute("delete from task_runs where parent_run_id = ?", run_id)
            self._execute("delete from runs where run_id = ?", run_id)

    def run_ids_ended_before(self, moment: int) -> list[int]:
        """Return the runs that ended before a moment, in milliseconds since 1970."""
        condition = f"life_cycle in ({_listed(TERMINAL)}) and ended < ?"
        rows = self._execute(f"select run_id from runs where {condition}", moment)  # noqa: S608 - own names
        return [row["run_id"] for row in rows]

    def all_run_ids(self) -> list[int]:
        return [row["run_id"] for row in self._execute("select run_id from runs")]

    def used_wheels(self) -> set[str]:
        """Return the sha256 of each wheel that a job, or a run that is kept, was defined with."""
        rows = self._execute("select wheels from jobs where not deleted union select wheels from runs")
        return {digest for row in rows for digests in json.loads(row["wheels"]).values() for digest in digests}

    def delete_lost_tokens(self) -> None:
        """Remove the idempotency tokens of runs that are gone."""
        self._execute("delete from tokens where run_id not in (select run_id from runs)")

    def task_run(self, run_id: int) -> TaskRun | None:
        return self._first(TaskRun, "where run_id = ?", run_id)

    def task_runs(self, run_id: int) -> list[TaskRun]:
        """Return every attempt of every task of a run, the oldest first."""
        return self._select(TaskRun, "where parent_run_id = ? order by run_id", run_id)

    def latest_attempts(self, run_id: int) -> dict[str, TaskRun]:
        """Return the latest attempt of each task of a run, by task key."""
        return {task_run.task_key: task_run for task_run in self.task_runs(run_id)}

    def task_runs_with_process(self) -> list[TaskRun]:
        return self._select(TaskRun, f"where pid is not null and life_cycle in ({_listed(ACTIVE)})")

    def add_token(self, token: str, job_id: int, run_id: int) -> None:
        self._execute("insert into tokens values (?, ?, ?)", token, job_id, run_id)

    def token(self, token: str) -> tuple[int, int] | None:
        """Return the job id and the run id for which the idempotency token was used."""
        rows = self._execute("select job_id, run_id from tokens where token = ?", token)
        return (rows[0]["job_id"], rows[0]["run_id"]) if rows else None

    def _execute(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def _select(self, kind: type[Entity], condition: str, *values: Any) -> list[Entity]:
        table, _ = _TABLES[kind]
        rows = self._execute(f"select * from {table} {condition}", *values)  # noqa: S608 - own names
        return [_ADAPTERS[kind].validate_python(_decoded(row)) for row in rows]

    def _first(self, kind: type[Entity], condition: str, *values: Any) -> Entity | None:
        return next(iter(self._select(kind, condition, *values)), None)


def _columns(entity: Job | Run | TaskRun) -> dict[str, Any]:
    values = _ADAPTERS[type(entity)].dump_python(entity, mode="json", exclude_unset=True)
    return {name: json.dumps(value) if name in _JSON_COLUMNS else value for name, value in values.items()}


def _decoded(row: sqlite3.Row) -> dict[str, Any]:
    return {name: json.loads(row[name]) if name in _JSON_COLUMNS else row[name] for name in row.keys()}  # noqa: SIM118
