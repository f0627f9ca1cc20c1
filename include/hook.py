"""The provider's Databricks hook, with retries of everything that is not an answer of the API, and of refusals.

The provider retries after a refused connection, a time-out, 429 and 5xx, but not when a connection breaks during an
answer, nor when a proxy answers in the place of the API: with a page, an empty body, JSON that is cut off, JSON of
another shape, or a redirect to any of these. One such answer would end the wait for a job run of hours, or lose the id
of a job run that has just started. 401, 403 and 404 are asked again as well, with the connection looked up again:
tokens are rotated, and a gateway that restarts answers with them. All calls of this project are safe to repeat: they
read, cancel, or start a job run under an idempotency token.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import requests
from airflow.providers.databricks.exceptions import DatabricksApiError
from airflow.providers.databricks.hooks.databricks import CANCEL_RUN_ENDPOINT, DatabricksHook, RunState
from airflow.providers.databricks.utils.databricks import (
    extract_failed_task_errors,
    extract_failed_task_errors_async,
)
from airflow.sdk.exceptions import AirflowException
from tenacity import RetryError

from include.failures import CALL_ERRORS, NoAnswer

REFUSALS = {
    401: "the workspace refuses the token",
    403: "the token may not do this",
    404: "the workspace knows no such thing",
}
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
SHAPES: dict[str, Callable[[dict[str, Any], dict[str, Any]], bool]] = {
    # An empty list is left out.
    "jobs/list": lambda _, answer: not answer or not {"jobs", "has_more", "next_page_token"}.isdisjoint(answer),
    "jobs/run-now": lambda _, answer: isinstance(answer.get("run_id"), int),
    # The id is in the body of the request, by which no cache in between tells two requests apart.
    "jobs/runs/get": lambda asked, answer: (
        "life_cycle_state" in (answer.get("state") or {}) and answer.get("run_id", asked["run_id"]) == asked["run_id"]
    ),
    "fs/directories": lambda _, answer: not answer or "contents" in answer or "next_page_token" in answer,
}
"""By endpoint: whether an answer to a request is one of the API."""


class LakehouseHook(DatabricksHook):
    """Call the Databricks API.

    Raises DatabricksApiError if the last attempt is refused by a status, `NoAnswer` if it brings no answer of the API,
    and AirflowException if it fails in another way.
    """

    @staticmethod
    def _retryable_error(exception: BaseException) -> bool:
        if isinstance(exception, DatabricksApiError):
            return exception.http_status_code in REFUSALS or not _is_of_the_api(exception)
        return isinstance(exception, (*BROKEN_OFF, *NOT_JSON, NoAnswer)) or DatabricksHook._retryable_error(exception)

    def _do_api_call(
        self, endpoint_info: tuple[str, str], json: dict[str, Any] | None = None, wrap_http_errors: bool = True
    ) -> Any:
        try:
            for attempt in self._get_retry_object():
                with attempt, self._looking_up_after_refusals():
                    return _checked(endpoint_info, json, super()._do_api_call(endpoint_info, json, wrap_http_errors))
        except (AirflowException, RetryError) as error:
            raise _explained(error, endpoint_info) from error

    async def _a_do_api_call(self, endpoint_info: tuple[str, str], json: dict[str, Any] | None = None) -> Any:
        try:
            async for attempt in self._a_get_retry_object():
                with attempt, self._looking_up_after_refusals():
                    return _checked(endpoint_info, json, await super()._a_do_api_call(endpoint_info, json))
        except (AirflowException, RetryError) as error:
            raise _explained(error, endpoint_info) from error

    @contextmanager
    def _looking_up_after_refusals(self) -> Iterator[None]:
        """Forget connection and tokens where a call is refused, so that the next attempt takes a token of today."""
        try:
            yield
        except DatabricksApiError:
            for looked_up in ("databricks_conn", "host"):
                self.__dict__.pop(looked_up, None)
            self.oauth_tokens.clear()
            raise

    def get_run_output(self, run_id: int) -> dict[str, Any]:
        """Return the output of a task; of one that has started another job run, with why that one failed."""
        output: dict[str, Any] = super().get_run_output(run_id)
        started = _started_run(output)
        return output | _error_of(self.outcome(started)[1]) if started else output

    async def a_get_run_output(self, run_id: int) -> dict[str, Any]:
        """Do the same as `get_run_output` on an event loop."""
        output: dict[str, Any] = await super().a_get_run_output(run_id)
        started = _started_run(output)
        return output | _error_of((await self.a_outcome(started))[1]) if started else output

    async def a_cancel_run(self, run_id: int) -> None:
        """Do the same as `cancel_run` on an event loop."""
        await self._a_do_api_call(CANCEL_RUN_ENDPOINT, {"run_id": run_id})

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


def _started_run(output: dict[str, Any]) -> int | None:
    return (output.get("run_job_output") or {}).get("run_id")


def _error_of(event: dict[str, Any]) -> dict[str, str]:
    """Return the error of a job run as in an output: its exception comes first, which decides about a retry."""
    reasons = [str(failed["error"]) for failed in event["errors"]]
    return {"error": "; ".join(reasons)} if reasons else {}


def _event(run_id: int, run: dict[str, Any], state: RunState, errors: list[Any]) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "run_page_url": run.get("run_page_url", ""),
        "run_state": state.to_json(),
        "errors": errors,
        "succeeded_tasks": [
            task["task_key"] for task in run.get("tasks", []) if task.get("state", {}).get("result_state") == "SUCCESS"
        ],
    }


def _checked(endpoint_info: tuple[str, str], asked: dict[str, Any] | None, answer: Any) -> Any:
    endpoint = endpoint_info[1].partition("/")[2]
    if endpoint.startswith("fs/files/"):
        return answer  # the content of any file
    shapes = [has_shape for name, has_shape in SHAPES.items() if f"{endpoint}/".startswith(f"{name}/")]
    try:
        if isinstance(answer, dict) and all(has_shape(asked or {}, answer) for has_shape in shapes):
            return answer
    except TypeError:
        pass
    raise NoAnswer(f"{endpoint} answered with JSON of another shape: {answer!r:.100}")


def _is_of_the_api(refusal: DatabricksApiError) -> bool:
    """Return whether a status that refuses a call is the API's, which gives an error code, and not a gateway's."""
    cause = refusal.__cause__
    if isinstance(cause, aiohttp.ClientResponseError):  # without the body
        return "json" in str(cause.headers and cause.headers.get("Content-Type"))
    try:
        return "error_code" in cause.response.json()  # type: ignore[union-attr]
    except (AttributeError, TypeError, ValueError):
        return False


def _explained(error: AirflowException | RetryError, endpoint_info: tuple[str, str]) -> Exception:
    """Return the error to raise: `NoAnswer` with a likely reason where the last attempt brought no answer."""
    retry = error if isinstance(error, RetryError) else error.__cause__
    last = retry.last_attempt.exception() if isinstance(retry, RetryError) else error
    if isinstance(last, DatabricksApiError):
        status, endpoint = last.http_status_code, endpoint_info[1]
        if not _is_of_the_api(last):
            return NoAnswer(f"{endpoint} answered {status}: {_content(last)}: is a proxy or a sign-in in between?")
        if status in REFUSALS:
            return DatabricksApiError(f"{endpoint}: {REFUSALS[status]}. {last}", http_status_code=status)
        return last
    if isinstance(last, NoAnswer):
        return last
    if isinstance(last, NOT_JSON):
        return NoAnswer(f"{endpoint_info[1]} answered {_content(last)}: is a proxy or a sign-in in between?")
    return error


def _content(error: BaseException) -> str:
    if isinstance(error, (requests.exceptions.TooManyRedirects, aiohttp.TooManyRedirects)):
        return "redirects without end"
    refused = isinstance(error, DatabricksApiError)
    if refused:
        text = str(getattr(getattr(error.__cause__, "response", None), "text", "<")).strip()
    else:
        text = str(getattr(error, "doc", "")).strip()
    if isinstance(error, aiohttp.ContentTypeError) or text.startswith("<"):
        return "a page, not JSON"
    if not text:
        return "an empty body, not JSON"
    return f"JSON without error code ({text[:40]!r})" if refused and text[0] == "{" else f"not JSON ({text[:40]!r})"
