"""Read the arguments of a request: from its query and from its body alike, since the real API takes both."""

import json
import reprlib
from typing import Annotated, Any, Self, TypeVar

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUseDefault

from local_workspace.api_errors import ApiError, from_validation, invalid
from local_workspace.request_body import read_body

Item = TypeVar("Item")


def _number_from_text(value: Any) -> Any:
    """Parse a number that is a string: Airflow's provider sends such, as the real API permits."""
    if value == "":
        raise PydanticUseDefault
    try:
        return int(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _flag_from_text(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


Number = Annotated[int, Field(ge=0, le=2**63 - 1), BeforeValidator(_number_from_text)]
Flag = Annotated[bool, BeforeValidator(_flag_from_text)]


class Arguments(BaseModel):
    """Base of the arguments of each endpoint. An argument that the endpoint does not know is refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @classmethod
    async def read(cls, request: Request) -> Self:
        """Read and check the arguments. Raises ApiError."""
        values = await read_values(request)
        try:
            return cls.model_validate({name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            raise from_validation(error, "argument") from error


async def read_values(request: Request) -> dict[str, Any]:
    """Return everything that was sent, unchecked. Raises ApiError for a body that is not a JSON object."""
    values: dict[str, Any] = dict(request.query_params)
    body = await read_body(request)
    if body.strip():
        try:
            content = json.loads(body)
            # JSON can write halves of characters ("\ud800"), which can be neither stored nor sent back.
            json.dumps(content, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "MALFORMED_REQUEST", f"The request's body is not JSON: {error}.") from error
        if not isinstance(content, dict):
            raise ApiError(400, "MALFORMED_REQUEST", "The request's body must be a JSON object.")
        values |= content
    return values


def page_of(items: list[Item], limit: int, token: str) -> tuple[list[Item], str | None]:
    """Return one page of a list, and the token for the next page. Raises ApiError for a token that is no offset."""
    if token and not (token.isascii() and token.isdecimal() and len(token) < 20):
        raise invalid(f"page_token {reprlib.repr(token)} is not one that this API gave out.")
    start = int(token or 0)
    end = start + limit
    return items[start:end], str(end) if end < len(items) else None
