"""JSON over HTTP to a server of this machine, never through a proxy."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from machine.command_line import UserError

NO_ANSWER = 0


class HttpError(UserError):
    """The server refused a request (`status` is the HTTP status), or gave no answer (NO_ANSWER)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpClient:
    """Requests to one server; `server` is its name in messages, such as "Airflow"."""

    def __init__(self, server: str, url: str, token: str | None = None) -> None:
        self._server = server
        self._url = url.rstrip("/")
        self.token = token
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, body: Any = None, *, timeout: float = 60) -> Any:
        """Send a request, and return the answer, parsed; {} where it has no content. `body` is sent as JSON, or as it
        is where it is bytes.

        Raises HttpError.
        """
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            message = f"{self._server} answered {method} {path.partition('?')[0]}: {error.code} {_reason(error)}"
            raise HttpError(error.code, message) from None
        except (OSError, HTTPException, ValueError) as error:
            message = f"{self._server} at {self._url} does not answer ({error}): start it with `make up`."
            raise HttpError(NO_ANSWER, message) from None


def _reason(error: urllib.error.HTTPError) -> str:
    """Return the text that Databricks' API (`message`) or Airflow's (`detail`) gives as the reason."""
    text = error.read().decode(errors="replace")
    try:
        answer = json.loads(text)
        reason = answer["message"] if "message" in answer else answer["detail"]
    except (ValueError, KeyError, TypeError):
        return text[:500]
    return reason if isinstance(reason, str) else json.dumps(reason)[:500]
