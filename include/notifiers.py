"""Who is told that a task has failed for good. The notifier is named in the settings; by default it logs."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseNotifier


class LogNotifier(BaseNotifier):
    """Writes one line into the task's log. A notifier of your own needs no more than this: no arguments, `notify`."""

    def notify(self, context: Any) -> None:
        """Log which task of which run failed, and why."""
        ti, run = context["ti"], context["dag_run"]
        self.log.error(
            "FAILED: task %s of %s, run %s, landing dates %s up to %s: %s",
            ti.task_id,
            ti.dag_id,
            ti.run_id,
            run.data_interval_start.date() if run.data_interval_start else "none",
            run.data_interval_end.date() if run.data_interval_end else "none",
            " ".join(str(context.get("exception") or "no reason given").split())[:500],
        )
