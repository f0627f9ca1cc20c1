"""The provider's Databricks hook, with retries of answers that break off on their way.

The provider retries after a refused connection, a time-out, 429 and 5xx, but not when a connection breaks during an
answer. One such break would end the wait for a job run of hours, or lose the id of a job run that has just started.
All calls of this project are safe to repeat: they read, cancel, or start a job run under an idempotency token.
"""

from __future__ import annotations

import aiohttp
import requests
from airflow.providers.databricks.hooks.databricks import DatabricksHook


class LakehouseHook(DatabricksHook):
    """Call the Databricks API; raise AirflowException when the last attempt fails, too."""

    @staticmethod
    def _retryable_error(exception: BaseException) -> bool:
        broken_off = (
            requests.exceptions.ChunkedEncodingError,
            aiohttp.ClientConnectionError,
            aiohttp.ClientPayloadError,
        )
        return isinstance(exception, broken_off) or DatabricksHook._retryable_error(exception)
