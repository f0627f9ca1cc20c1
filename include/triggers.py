"""The provider's trigger, with a cancel that works from the first moment."""

from __future__ import annotations

from typing import Any

from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger


class JobRunTrigger(DatabricksExecutionTrigger):
    """Waits for a job run, and cancels it when a person clears, fails or skips the waiting task.

    Airflow calls `on_kill` for those only: a triggerer that restarts or hands the trigger over does not cancel.
    """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The provider's arguments under this class."""
        return f"{__name__}.{type(self).__name__}", super().serialize()[1]

    async def on_kill(self) -> None:
        """Cancel the job run."""
        # The provider cancels from a thread, where the connection cannot be looked up; it is only known there if
        # a first poll has come before the kill.
        await self.hook._a_cache_databricks_conn()
        await super().on_kill()
