"""Read the body of a request up to a limit: a larger one is refused before it fills memory or disk."""

from collections.abc import AsyncIterator
from typing import IO

from fastapi import Request

from local_workspace.api_errors import ApiError

MIB = 1024**2
FORM_LIMIT = 10_000
"""Bytes of the login form, which anybody may send."""
JSON_LIMIT = 10 * MIB
"""Bytes of JSON arguments, files in them included: the limit of the real `workspace/import`."""
FILE_LIMIT = 5 * 1024 * MIB
"""Bytes of a file that is streamed to disk: the limit of the real Files API."""


async def _chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body in chunks. Raises ApiError as soon as its announced or actual size exceeds the limit (bytes)."""
    too_large = ApiError(413, "REQUEST_TOO_LARGE", f"The request's body is larger than {limit:,} bytes, the limit.")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise too_large
        yield chunk


async def read_body(request: Request, limit: int = JSON_LIMIT) -> bytes:
    """Return the whole body. Raises ApiError if it exceeds the limit (bytes)."""
    return b"".join([chunk async for chunk in _chunks(request, limit)])


async def save_body(request: Request, file: IO[bytes], limit: int = FILE_LIMIT) -> None:
    """Write the body to an open file as it arrives. Raises ApiError if it exceeds the limit (bytes)."""
    async for chunk in _chunks(request, limit):
        file.write(chunk)
