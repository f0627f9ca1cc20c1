"""Airflow listeners: cancel the job run of a task that a person marks as failed, successful or skipped.

The trigger cancels the job run of a deferred task, and `on_kill` that of a running one. Neither works for a trigger
that no triggerer has picked up yet: Airflow deletes it before it runs. The API server notifies listeners of every mark
by hand; only those notifications come without a previous state.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from airflow.listeners import hookimpl

from include.hook import LakehouseHook
from include.operators import JobRunOperator, PublishOperator
from include.settings import SETTINGS

log = logging.getLogger(__name__)
JOB_OPERATORS = {JobRunOperator.__name__, PublishOperator.__name__}


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


def cancel_job_run(dag_id: str, task_id: str, run_id: str, map_index: int) -> None:
    """Cancel the newest job run of a task if it has not ended. Needs access to Airflow's database.

    Logs every error: no caller could handle one.
    """
    from airflow.models.connection import Connection
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
        hook = LakehouseHook(SETTINGS.connection_id, retry_limit=SETTINGS.api_retries, caller="Listeners")
        # The usual connection look-up asks the supervisor of a task, which the API server does not have.
        hook.__dict__["databricks_conn"] = Connection.get_connection_from_secrets(SETTINGS.connection_id)
        if not hook.get_run_state(int(job_run_id)).is_terminal:
            log.warning("%s of %s was marked by hand: cancelling job run %s.", task_id, run_id, job_run_id)
            hook.cancel_run(int(job_run_id))
    except Exception:
        log.exception("The job run of %s of %s, marked by hand, could not be cancelled.", task_id, run_id)
