"""Wait for a job run in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.failures import CALL_ERRORS, RunOutOfSight
from include.hook import LakehouseHook
from include.patience import Patience

SETTLE_SECONDS = 5
"""Time between the deferral of a task and the first poll. The scheduler must notice the end of the process that
deferred before the task resumes; otherwise it takes the task for lost and repeats its try. Only a job run that ends
within these seconds ends its task late, and the wait in the task ends all short ones."""


class JobRunTrigger(BaseTrigger):
    """Wait for a job run, and cancel it when a person clears, fails or skips the deferred task.

    Airflow calls `on_kill` for those only: a triggerer that restarts or hands the trigger over does not cancel.
    """

    def __init__(
        self,
        run_id: int,
        connection_id: str,
        poll_seconds: float,
        poll_patience: float,
        api_retries: int,
        api_retry_delay: float,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        super().__init__()
        self.run_id = run_id
        self.connection_id = connection_id
        self.poll_seconds = poll_seconds
        self.poll_patience = poll_patience
        self.api_retries = api_retries
        self.api_retry_delay = api_retry_delay
        self.settle_seconds = settle_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments from which a triggerer makes this trigger."""
        names = ("run_id", "connection_id", "poll_seconds", "poll_patience", "api_retries", "api_retry_delay")
        arguments = {name: getattr(self, name) for name in (*names, "settle_seconds")}
        return f"{__name__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: how the job run ended, or why it cannot be observed any more."""
        await asyncio.sleep(self.settle_seconds)
        patience = Patience(self.run_id, self.poll_patience)
        async with self._new_hook() as hook:
            while True:
                try:
                    state, event = await hook.a_outcome(self.run_id)
                    patience.poll_succeeded()
                    if state.is_terminal:
                        yield TriggerEvent(event)
                        return
                except CALL_ERRORS as error:
                    self.log.warning("A poll of job run %s failed: %s", self.run_id, error)
                    try:
                        patience.poll_failed(error)
                    except RunOutOfSight as out_of_sight:
                        yield TriggerEvent({"run_id": self.run_id, "out_of_sight": str(out_of_sight)})
                        return
                await asyncio.sleep(self.poll_seconds)

    async def on_kill(self) -> None:
        """Cancel the job run."""
        self.log.info("Cancelling job run %s.", self.run_id)
        async with self._new_hook() as hook:  # that of `run` may be closed, or have no session yet
            await hook.a_cancel_run(self.run_id)

    def _new_hook(self) -> LakehouseHook:
        return LakehouseHook(
            self.connection_id,
            retry_limit=self.api_retries,
            retry_delay=self.api_retry_delay,
            caller=type(self).__name__,
        )
