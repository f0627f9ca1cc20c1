"""The deadline of the daily DAG: Airflow asks for it when a run begins, and calls `late` if the run has not ended by
then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.definitions.deadline import BaseDeadlineReference

CATCHING_UP = timedelta(days=1)


class LandingDateEnd(BaseDeadlineReference):
    """The midnight (UTC) that ends the landing dates of a scheduled run.

    None for manual runs, backfills, and a schedule that catches up: their dates are past, and each would be late.
    """

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        from airflow.models import DagRun
        from sqlalchemy import select

        run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        if run is None or run.data_interval_end is None or run.run_type != "scheduled":
            return None
        end: datetime = run.data_interval_end.astimezone(UTC)
        if datetime.now(UTC) - end > CATCHING_UP:
            return None
        return end.replace(hour=0, minute=0, second=0, microsecond=0)
