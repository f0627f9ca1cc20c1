"""The part of the Workspace API that the deployment of a bundle needs: the current user, and files under /Workspace."""

import base64
import binascii
import shutil
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from local_workspace.api_errors import ApiError, invalid, no_such_path, unsupported
from local_workspace.arguments import Arguments, Flag
from local_workspace.paths import path_in_files, shown_name, written
from local_workspace.request_body import save_body
from local_workspace.users import USER_NAME
from machine.state_folder import StateFolder


class FilePath(Arguments):
    path: str


class GetStatus(FilePath):
    return_export_info: Any = None  # files have none


class Delete(FilePath):
    recursive: Flag = False


class Export(FilePath):
    direct_download: Flag = False
    format: str = "AUTO"


class Import(FilePath):
    content: str = ""
    format: str = "AUTO"
    overwrite: Flag = False


def workspace_router(state: StateFolder) -> APIRouter:
    router = APIRouter()

    def status(path: Path, api_path: str) -> dict[str, Any]:
        if not path.exists():
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({api_path}) doesn't exist.")
        details = path.stat()
        view: dict[str, Any] = {"path": api_path, "object_id": details.st_ino, "resource_id": str(details.st_ino)}
        if path.is_dir():
            return view | {"object_type": "DIRECTORY"}
        modified = int(details.st_mtime * 1000)
        return view | {"object_type": "FILE", "size": details.st_size, "modified_at": modified, "created_at": modified}

    def writable(api_path: str, overwrite: bool) -> Path:
        path = path_in_files(state, api_path)
        if path.is_dir():
            raise invalid(f"{api_path} is a directory.")
        if path.exists() and not overwrite:
            raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"Path ({api_path}) already exists.")
        if not path.parent.is_dir():
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"The parent folder of {api_path} doesn't exist.")
        return path

    @router.get("/2.0/preview/scim/v2/Me")
    async def me() -> dict[str, Any]:
        return {"id": "1", "userName": USER_NAME, "displayName": "Local user", "active": True, "emails": []}

    @router.get("/2.0/workspace/get-status")
    async def get_status(request: Request) -> dict[str, Any]:
        api_path = (await GetStatus.read(request)).path
        return status(path_in_files(state, api_path), api_path)

    @router.get("/2.0/workspace/list")
    async def list_folder(request: Request) -> dict[str, Any]:
        api_path = (await FilePath.read(request)).path
        path = path_in_files(state, api_path)
        status(path, api_path)
        children = sorted(path.iterdir()) if path.is_dir() else []
        return {"objects": [status(child, f"{api_path.rstrip('/')}/{shown_name(child)}") for child in children]}

    @router.post("/2.0/workspace/mkdirs")
    async def mkdirs(request: Request) -> dict[str, Any]:
        api_path = (await FilePath.read(request)).path
        try:
            path_in_files(state, api_path).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"{api_path}: a file is in the way.") from error
        return {}

    @router.post("/2.0/workspace/delete")
    async def delete(request: Request) -> dict[str, Any]:
        arguments = await Delete.read(request)
        path = path_in_files(state, arguments.path)
        status(path, arguments.path)
        if path == state.files.resolve():
            raise invalid("The root folder cannot be deleted.")
        if path.is_dir() and arguments.recursive:
            shutil.rmtree(path)
        elif path.is_dir():
            if any(path.iterdir()):
                raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"Folder ({arguments.path}) is not empty.")
            path.rmdir()
        else:
            path.unlink()
        return {}

    @router.get("/2.0/workspace/export")
    async def export(request: Request) -> Any:
        arguments = await Export.read(request)
        if arguments.format not in ("AUTO", "SOURCE", "RAW"):
            raise unsupported("exports in that format")
        path = path_in_files(state, arguments.path)
        if not path.is_file():
            raise no_such_path(arguments.path)
        content = path.read_bytes()
        if arguments.direct_download:
            return Response(content, media_type="application/octet-stream")
        return {"content": base64.b64encode(content).decode(), "file_type": path.suffix.lstrip(".")}

    @router.post("/2.0/workspace/import")
    async def import_encoded(request: Request) -> dict[str, Any]:
        arguments = await Import.read(request)
        if arguments.format not in ("AUTO", "RAW"):
            raise unsupported("notebooks: import files, with format AUTO or RAW")
        try:
            content = base64.b64decode(arguments.content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(f"content is not base64: {error}.") from error
        with written(writable(arguments.path, arguments.overwrite)) as file:
            file.write(content)
        return {}

    @router.post("/2.0/workspace-files/import-file/{path:path}")
    async def import_file(path: str, request: Request) -> dict[str, Any]:
        overwrite = request.query_params.get("overwrite", "false").lower() == "true"
        api_path = "/" + path.lstrip("/")
        with written(writable(api_path, overwrite)) as file:
            await save_body(request, file)
        return {}

    return router
