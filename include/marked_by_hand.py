"""Cancels the job run of a task that a person marks as failed, successful or skipped (an Airflow listener).

While a task is deferred, its trigger does this. But a trigger that the triggerer has not picked up yet, in the first
second or two or while no triggerer runs, is deleted without ever having run, so nobody would cancel. Airflow tells
listeners in the API server of every mark by hand, and only of those with no previous state.
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
    """A task has failed, or was marked so."""
    _marked(previous_state, task_instance)


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:
    """A task has succeeded, or was marked so."""
    _marked(previous_state, task_instance)


@hookimpl
def on_task_instance_skipped(previous_state: Any, task_instance: Any) -> None:
    """A task was skipped, or was marked so."""
    _marked(previous_state, task_instance)


def _marked(previous_state: Any, ti: Any) -> None:
    if previous_state is not None or getattr(ti, "operator", None) not in JOB_OPERATORS:
        return
    # not in the request that marks the task: the workspace may be slow or away
    names = (ti.dag_id, ti.task_id, ti.run_id, ti.map_index)
    threading.Thread(target=cancel_run_of, args=names, daemon=True).start()


def cancel_run_of(dag_id: str, task_id: str, run_id: str, map_index: int) -> None:
    """Cancel the newest job run of a task, if it still goes on. Runs where Airflow's database is at hand."""
    from airflow.models.connection import Connection
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    try:
        with create_session() as session:
            pushed = session.scalar(
                select(XComModel.value).where(
                    XComModel.dag_id == dag_id,
                    XComModel.task_id == task_id,
                    XComModel.run_id == run_id,
                    XComModel.map_index == map_index,
                    XComModel.key == "run_id",
                )
            )
        if pushed is None:
            return
        hook = LakehouseHook(SETTINGS.connection_id, retry_limit=SETTINGS.api_retries, caller="MarkedByHand")
        # The usual look-up asks a task's supervisor, which the API server does not have.
        hook.__dict__["databricks_conn"] = Connection.get_connection_from_secrets(SETTINGS.connection_id)
        job_run_id = int(pushed)
        if not hook.get_run_state(job_run_id).is_terminal:
            log.warning("%s of %s was marked by hand: cancelling job run %s.", task_id, run_id, job_run_id)
            hook.cancel_run(job_run_id)
    except Exception:
        log.exception("The job run of %s of %s, marked by hand, could not be cancelled.", task_id, run_id)
