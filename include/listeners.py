"""Airflow listeners: cancel the job run of a task that a person marks by hand, and make the pools that a run needs.

The trigger cancels the job run of a deferred task, and `on_kill` that of a running one. Neither works for a trigger
that no triggerer has picked up yet: Airflow deletes it before it runs. The API server notifies listeners of every mark
by hand; only those notifications come without a previous state.

Tasks of a pool that does not exist wait for ever without a word, and so do those of a run whose logical date lies
ahead. The scheduler notifies listeners of every run that begins: the pools are made, and the run gets a note.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from airflow.listeners import hookimpl

from include.hook import LakehouseHook
from include.operators import JobRunOperator, MedallionOperator, PublishOperator
from include.settings import SETTINGS

log = logging.getLogger(__name__)
JOB_OPERATORS = {operator.__name__ for operator in (JobRunOperator, MedallionOperator, PublishOperator)}


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:  # noqa: ARG001
    """Handle a run that begins: in the scheduler, in the transaction that begins it, which must not commit here."""
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return
    _ensure_pools(session)
    if dag_run.logical_date and dag_run.logical_date > datetime.now(UTC) and not dag_run.note:
        dag_run.note = (
            f"Airflow begins no task before the logical date of this run, {dag_run.logical_date.isoformat()}."
        )


def _ensure_pools(session: Any) -> None:
    """Make the pools that are missing; one that exists stays as it is."""
    from airflow.models.pool import Pool
    from sqlalchemy import select
    from sqlalchemy.dialects import postgresql, sqlite

    existing = set(session.scalars(select(Pool.pool).where(Pool.pool.in_(SETTINGS.pools))))
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    description = "Runs at a time, deferred tasks included"
    for pool, slots in SETTINGS.pools.items():
        if pool in existing:
            continue
        row = {"pool": pool, "slots": slots, "description": description, "include_deferred": True}
        # Another scheduler may be making it as well.
        session.execute(dialect.insert(Pool).values(row).on_conflict_do_nothing())
        log.warning("There was no pool %r for the job runs: it was made; slots: %d.", pool, slots)


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:  # noqa: ARG001
    """Handle a task that failed, or that a person marked as failed."""
    _cancel_if_marked_by_hand(previous_state, task_instance)


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:
    """Handle a task that succeeded, or that a person marked as successful."""
    _cancel_if_marked_by_hand(previous_state, task_instance)


@hookimpl
def on_task_instance_skipped(previous_state: Any, task_instance: Any) -> None:
    """Handle a task that was skipped, or that a person marked as skipped."""
    _cancel_if_marked_by_hand(previous_state, task_instance)


def _cancel_if_marked_by_hand(previous_state: Any, ti: Any) -> None:
    if previous_state is not None or getattr(ti, "operator", None) not in JOB_OPERATORS:
        return
    # In a thread, because the request that marks the task must not wait for a workspace that is slow or away.
    key = (ti.dag_id, ti.task_id, ti.run_id, ti.map_index)
    threading.Thread(target=cancel_job_run, args=key, daemon=True).start()


class _ApiServerHook(LakehouseHook):
    """Looks the connection up without the supervisor of a task, which the API server does not have."""

    @cached_property
    def databricks_conn(self) -> Any:
        from airflow.models.connection import Connection

        return Connection.get_connection_from_secrets(self.databricks_conn_id)


def cancel_job_run(dag_id: str, task_id: str, run_id: str, map_index: int) -> None:
    """Cancel the newest job run of a task if it has not ended. Needs access to Airflow's database.

    Logs every error: no caller could handle one.
    """
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    try:
        with create_session() as session:
            job_run_id = session.scalar(
                select(XComModel.value).where(
                    XComModel.dag_id == dag_id,
                    XComModel.task_id == task_id,
                    XComModel.run_id == run_id,
                    XComModel.map_index == map_index,
                    XComModel.key == "run_id",
                )
            )
        if job_run_id is None:
            return
        hook = _ApiServerHook(SETTINGS.connection_id, retry_limit=SETTINGS.api_retries, caller="Listeners")
        if not hook.get_run_state(int(job_run_id)).is_terminal:
            log.warning("%s of %s was marked by hand: cancelling job run %s.", task_id, run_id, job_run_id)
            hook.cancel_run(int(job_run_id))
    except Exception:
        log.exception("The job run of %s of %s, marked by hand, could not be cancelled.", task_id, run_id)
