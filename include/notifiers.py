"""Notifiers of tasks that failed for good; the setting LAKEHOUSE_NOTIFIER names the one to use."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseNotifier

from include.failures import IntervalRefused
from include.intervals import date_ranges, days, landing_dates


class LogNotifier(BaseNotifier):
    """Write one line into the task's log. Any notifier needs `notify`, and a constructor without arguments."""

    def notify(self, context: Any) -> None:
        """Log which task of which run failed, and why."""
        ti, run = context["ti"], context["dag_run"]
        self.log.error(
            "FAILED: task %s of %s, run %s, landing dates %s: %s",
            ti.task_id,
            ti.dag_id,
            ti.run_id,
            _landing_dates(run),
            " ".join(str(context.get("exception") or "no reason reported").split())[:500],
        )


def _landing_dates(run: Any) -> str:
    try:
        return date_ranges(days(*landing_dates(run)))
    except IntervalRefused:
        return "none"
