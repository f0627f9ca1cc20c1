"""The provider's Databricks hook, with retries of everything that is not an answer of the API.

The provider retries after a refused connection, a time-out, 429 and 5xx, but not when a connection breaks during an
answer, nor when a proxy answers in the place of the API: with a page, an empty body, JSON that is cut off, JSON of
another shape, or a redirect to any of these. One such answer would end the wait for a job run of hours, or lose the id
of a job run that has just started. All calls of this project are safe to repeat: they read, cancel, or start a job run
under an idempotency token.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Callable
from typing import Any

import aiohttp
import requests
from airflow.providers.databricks.exceptions import DatabricksApiError
from airflow.providers.databricks.hooks.databricks import DatabricksHook, RunState
from airflow.providers.databricks.utils.databricks import (
    extract_failed_task_errors,
    extract_failed_task_errors_async,
)
from airflow.sdk.exceptions import AirflowException
from tenacity import RetryError

from include.failures import NoAnswer

# Errors of a call that failed, whatever the reason: the connection, the answer, or a status that refuses it.
CALL_ERRORS = (AirflowException, requests.exceptions.RequestException, aiohttp.ClientError, TimeoutError)
BROKEN_OFF = (
    requests.exceptions.ChunkedEncodingError,
    aiohttp.ClientConnectionError,
    aiohttp.ClientPayloadError,
)
NOT_JSON = (
    requests.exceptions.TooManyRedirects,
    aiohttp.TooManyRedirects,
    aiohttp.ContentTypeError,
    json_module.JSONDecodeError,  # also the base of the one of requests
    UnicodeDecodeError,
)
SHAPES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "jobs/list": lambda answer: "jobs" in answer or "has_more" in answer,
    "jobs/run-now": lambda answer: isinstance(answer.get("run_id"), int),
    "jobs/runs/get": lambda answer: "life_cycle_state" in (answer.get("state") or {}),
}


class LakehouseHook(DatabricksHook):
    """Call the Databricks API.

    Raises DatabricksApiError for a status that refuses the call, `NoAnswer` if the last attempt brings no answer of
    the API, and AirflowException if the last attempt fails in another way.
    """

    @staticmethod
    def _retryable_error(exception: BaseException) -> bool:
        return isinstance(exception, (*BROKEN_OFF, *NOT_JSON, NoAnswer)) or DatabricksHook._retryable_error(exception)

    def _do_api_call(
        self, endpoint_info: tuple[str, str], json: dict[str, Any] | None = None, wrap_http_errors: bool = True
    ) -> Any:
        try:
            for attempt in self._get_retry_object():
                with attempt:
                    return _checked(endpoint_info, super()._do_api_call(endpoint_info, json, wrap_http_errors))
        except (AirflowException, RetryError) as error:
            raise _explained(error, endpoint_info) from error

    async def _a_do_api_call(self, endpoint_info: tuple[str, str], json: dict[str, Any] | None = None) -> Any:
        try:
            async for attempt in self._a_get_retry_object():
                with attempt:
                    return _checked(endpoint_info, await super()._a_do_api_call(endpoint_info, json))
        except (AirflowException, RetryError) as error:
            raise _explained(error, endpoint_info) from error

    def outcome(self, run_id: int) -> tuple[RunState, dict[str, Any]]:
        """Return the state of a job run, and the event that reports its end if it has ended."""
        run = self.get_run(run_id)
        state = RunState(**run["state"])
        try:
            errors = extract_failed_task_errors(self, run, state)
        except CALL_ERRORS as error:
            errors = [{"error": f"{state.state_message} (its output could not be read: {error})"}]
        return state, _event(run_id, run, state, errors)

    async def a_outcome(self, run_id: int) -> tuple[RunState, dict[str, Any]]:
        """Do the same as `outcome` on an event loop."""
        run = await self.a_get_run(run_id)
        state = RunState(**run["state"])
        try:
            errors = await extract_failed_task_errors_async(self, run, state)
        except CALL_ERRORS as error:
            errors = [{"error": f"{state.state_message} (its output could not be read: {error})"}]
        return state, _event(run_id, run, state, errors)


def _event(run_id: int, run: dict[str, Any], state: RunState, errors: list[Any]) -> dict[str, Any]:
    page = run.get("run_page_url", "")
    return {"run_id": run_id, "run_page_url": page, "run_state": state.to_json(), "errors": errors}


def _checked(endpoint_info: tuple[str, str], answer: Any) -> Any:
    endpoint = endpoint_info[1].partition("/")[2]
    if endpoint.startswith("fs/files/"):
        return answer  # the content of any file
    has_shape = SHAPES.get(endpoint, lambda _: True)
    try:
        if isinstance(answer, dict) and has_shape(answer):
            return answer
    except TypeError:
        pass
    raise NoAnswer(f"{endpoint} answered with JSON of another shape: {answer!r:.100}")


def _explained(error: AirflowException | RetryError, endpoint_info: tuple[str, str]) -> Exception:
    """Return the error to raise: `NoAnswer` with a likely reason where the last attempt brought no answer."""
    if isinstance(error, DatabricksApiError):
        return error
    retry = error if isinstance(error, RetryError) else error.__cause__
    last = retry.last_attempt.exception() if isinstance(retry, RetryError) else None
    if isinstance(last, NoAnswer):
        return last
    if isinstance(last, NOT_JSON):
        return NoAnswer(f"{endpoint_info[1]} answered with {_content(last)}: is a proxy or a sign-in in between?")
    return error


def _content(error: BaseException) -> str:
    if isinstance(error, (requests.exceptions.TooManyRedirects, aiohttp.TooManyRedirects)):
        return "redirects without end"
    text = str(getattr(error, "doc", "")).strip()
    if isinstance(error, aiohttp.ContentTypeError) or text.startswith("<"):
        return "a page, not JSON"
    return f"something that is not JSON ({text[:40]!r})" if text else "an empty body, not JSON"
