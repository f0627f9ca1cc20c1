"""What a client sends, read up to a limit: a body that is too large is refused before it fills memory or disk."""

from collections.abc import AsyncIterator
from typing import BinaryIO

from fastapi import Request

from local_workspace.errors import ApiError

MIB = 1024**2
FORM_LIMIT = 10_000
"""The log-in form, in bytes. Anybody may send it."""
JSON_LIMIT = 10 * MIB
"""Arguments, and files within them: what the real `workspace/import` takes."""
FILE_LIMIT = 5 * 1024 * MIB
"""A file of its own, which goes to disk as it comes: what the real Files API takes."""


async def _chunks(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body piece by piece; an error as soon as it is announced, or turns out, to be longer than `most` bytes."""
    refused = ApiError(413, "REQUEST_TOO_LARGE", f"The request's body is larger than {most:,} bytes, the most here.")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most:
        raise refused
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise refused
        yield chunk


async def read_body(request: Request, most: int = JSON_LIMIT) -> bytes:
    """The whole body, in memory."""
    return b"".join([chunk async for chunk in _chunks(request, most)])


async def save_body(request: Request, file: BinaryIO, most: int = FILE_LIMIT) -> None:
    """Write the body to an open file."""
    async for chunk in _chunks(request, most):
        file.write(chunk)
