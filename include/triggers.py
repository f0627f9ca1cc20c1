"""The provider's trigger, with a cancel that works from the first moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

from include.hook import LakehouseHook

SETTLE_SECONDS = 5
"""No run is reported as ended sooner. A task that is resumed before the scheduler has noticed the end of the process
that deferred it looks lost to the scheduler, which then repeats its try. Runs that are this short are rare."""


class JobRunTrigger(DatabricksExecutionTrigger):
    """Waits for a job run, and cancels it when a person clears, fails or skips the waiting task.

    Airflow calls `on_kill` for those only: a triggerer that restarts or hands the trigger over does not cancel.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hook = LakehouseHook(
            self.databricks_conn_id,
            retry_limit=self.retry_limit,
            retry_delay=self.retry_delay,
            retry_args=self.retry_args,
            caller=self.caller,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The provider's arguments under this class."""
        return f"{__name__}.{type(self).__name__}", super().serialize()[1]

    async def run(self) -> AsyncIterator[Any]:
        """Wait for the end of the run."""
        await asyncio.sleep(SETTLE_SECONDS)
        async for event in super().run():
            yield event

    async def on_kill(self) -> None:
        """Cancel the job run."""
        # The provider cancels from a thread, where the connection cannot be looked up; it is only known there if
        # a first poll has come before the kill.
        await self.hook._a_cache_databricks_conn()
        await super().on_kill()
