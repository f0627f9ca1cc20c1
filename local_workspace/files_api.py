"""The Files API for the volumes: `fs/files` and `fs/directories`."""

import mimetypes
import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field

from local_workspace.api_errors import ApiError, invalid, no_such_path
from local_workspace.arguments import Arguments, Number, page_of
from local_workspace.paths import path_in_volumes, shown_name, written
from local_workspace.request_body import save_body
from machine.state_folder import StateFolder


class ListDirectory(Arguments):
    page_size: Annotated[Number, Field(ge=1, le=1000)] = 1000
    page_token: str = ""


def files_router(state: StateFolder) -> APIRouter:
    router = APIRouter()

    def existing_file(api_path: str) -> Path:
        path = path_in_volumes(state, api_path)
        if path.is_dir():
            raise invalid(f"{api_path} is a directory, not a file.")
        if not path.is_file():
            raise no_such_path(api_path, "file")
        return path

    @router.api_route("/2.0/fs/files{path:path}", methods=["GET", "HEAD"])
    async def download(path: str) -> Response:
        file = existing_file(path)
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        # Starlette answers Range and HEAD requests.
        return FileResponse(file, media_type=kind)

    @router.put("/2.0/fs/files{path:path}", status_code=204)
    async def upload(path: str, request: Request) -> Response:
        target = path_in_volumes(state, path)
        overwrite = request.query_params.get("overwrite", "false").lower() == "true"
        if target.is_dir():
            raise invalid(f"{path} is a directory.")
        target.parent.mkdir(parents=True, exist_ok=True)
        path_in_volumes(state, path)  # the new folders change what it checks
        try:
            with written(target, overwrite=overwrite) as file:
                await save_body(request, file)
        except FileExistsError as error:
            raise ApiError(409, "ALREADY_EXISTS", f"The file {path} exists already.") from error
        return Response(status_code=204)

    @router.delete("/2.0/fs/files{path:path}", status_code=204)
    async def delete(path: str) -> Response:
        existing_file(path).unlink()
        return Response(status_code=204)

    def existing_directory(api_path: str) -> Path:
        path = path_in_volumes(state, api_path)
        if not path.is_dir():
            raise no_such_path(api_path, "directory")
        return path

    @router.head("/2.0/fs/directories{path:path}")
    async def directory_metadata(path: str) -> Response:
        existing_directory(path)
        return Response(status_code=200)

    @router.get("/2.0/fs/directories{path:path}")
    async def list_directory(path: str, request: Request) -> dict[str, Any]:
        directory = existing_directory(path)
        arguments = await ListDirectory.read(request)
        names = sorted(os.listdir(directory))  # noqa: PTH208 - only names are needed
        page, token = page_of(names, arguments.page_size, arguments.page_token)
        entries = [_entry(directory / name, path) for name in page]
        view: dict[str, Any] = {"contents": [entry for entry in entries if entry]}
        return view | ({"next_page_token": token} if token else {})

    @router.put("/2.0/fs/directories{path:path}", status_code=204)
    async def create_directory(path: str) -> Response:
        target = path_in_volumes(state, path)
        try:
            target.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ApiError(409, "ALREADY_EXISTS", f"{path}: a file is in the way.") from error
        return Response(status_code=204)

    @router.delete("/2.0/fs/directories{path:path}", status_code=204)
    async def delete_directory(path: str) -> Response:
        try:
            existing_directory(path).rmdir()
        except OSError as error:
            raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"The directory {path} is not empty.") from error
        return Response(status_code=204)

    return router


def _entry(path: Path, parent: str) -> dict[str, Any] | None:
    """Return the listing's entry for a file or folder; None if it was deleted in the meantime."""
    try:
        details = path.lstat()
    except FileNotFoundError:
        return None
    name = shown_name(path)
    entry: dict[str, Any] = {
        "name": name,
        "path": f"{parent.rstrip('/')}/{name}",
        "is_directory": path.is_dir(),
        "last_modified": int(details.st_mtime * 1000),
    }
    return entry if entry["is_directory"] else entry | {"file_size": details.st_size}
