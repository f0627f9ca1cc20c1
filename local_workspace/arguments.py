"""Read what a client sent: from the query and from the body alike, since the real API takes both."""

import base64
import binascii
import json
from typing import Any

from fastapi import Request

from local_workspace.bodies import read_body
from local_workspace.errors import ApiError, invalid, unsupported

_MISSING = object()


class Arguments:
    """The arguments of one request; those that nobody asked for are refused by name."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._asked: set[str] = set()

    @classmethod
    async def of(cls, request: Request) -> "Arguments":
        values: dict[str, Any] = dict(request.query_params)
        body = await read_body(request)
        if body.strip():
            try:
                sent = json.loads(body)
                # JSON can write halves of characters ("\ud800"), which nothing here can store or send back.
                json.dumps(sent, ensure_ascii=False).encode()
            except (ValueError, RecursionError) as error:
                raise ApiError(400, "MALFORMED_REQUEST", f"The request's body is not JSON: {error}.") from error
            if not isinstance(sent, dict):
                raise ApiError(400, "MALFORMED_REQUEST", "The request's body must be a JSON object.")
            values |= sent
        return cls(values)

    def take(self, name: str, default: Any = None) -> Any:
        self._asked.add(name)
        value = self._values.get(name, _MISSING)
        return default if value is _MISSING or value is None else value

    def all(self) -> dict[str, Any]:
        """Everything at once, for what checks its fields itself."""
        return self._values

    def text(self, name: str, default: str = "") -> str:
        value = self.take(name, default)
        if not isinstance(value, str):
            raise invalid(f"{name} must be a string, not {type(value).__name__}.")
        return value

    def integer(self, name: str, default: int | None = None, least: int = 0, most: int = 2**63 - 1) -> int | None:
        value = self.take(name)
        if value is None or value == "":
            return default
        try:
            # Airflow's provider sends numbers as strings, as the real API permits.
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            raise invalid(f"{name} must be a whole number from {least} to {most}, not {value!r}.")
        return number

    def required_integer(self, name: str) -> int:
        number = self.integer(name)
        if number is None:
            raise invalid(f"{name} is missing.")
        return number

    def flag(self, name: str) -> bool:
        value = self.take(name, False)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false, not {value!r}.")
        return value

    def text_map(self, name: str) -> dict[str, str]:
        value = self.take(name, {})
        if not isinstance(value, dict):
            raise invalid(f"{name} must map names to strings.")
        for key, item in value.items():
            if not isinstance(item, str):
                raise invalid(f"{name}: the value of {key!r} must be a string, not {type(item).__name__}.")
        return value

    def names(self, name: str) -> list[str] | None:
        value = self.take(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise invalid(f"{name} must be a list of strings.")
        return value

    def done(self) -> None:
        """Refuse whatever was sent and not taken: to ignore it would be to pretend."""
        for name in self._values:
            if name not in self._asked:
                raise unsupported(f"the argument {name!r} here")


def page_of(items: list[Any], limit: int, token: str | None) -> tuple[list[Any], str | None]:
    """One page of a list, and the token for the next."""
    start = 0
    if token:
        try:
            start = int(base64.urlsafe_b64decode(token.encode()).decode())
        except (binascii.Error, ValueError) as error:
            raise invalid(f"page_token {token!r} is not one that this API gave out.") from error
    end = start + limit
    more = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(items) else None
    return items[start:end], more
