"""The provider's hook, made patient: an answer that was cut off on its way is asked for again.

The provider tries again after a refused connection, a time-out, 429 and 5xx, but not when a connection breaks while
an answer is on its way. One such break would end a wait for a job run of hours, or lose the id of a run that has just
been started. All calls of this project may be repeated: they read, cancel, or start a run under an idempotency token.
"""

from __future__ import annotations

import aiohttp
import requests
from airflow.providers.databricks.hooks.databricks import DatabricksHook


class LakehouseHook(DatabricksHook):
    """Calls the Databricks API; raises AirflowException when the last attempt has failed, too."""

    @staticmethod
    def _retryable_error(exception: BaseException) -> bool:
        cut = (requests.exceptions.ChunkedEncodingError, aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
        return isinstance(exception, cut) or DatabricksHook._retryable_error(exception)
