"""The part of the Workspace API that a bundle's deployment needs: who am I, and files under /Workspace."""

import base64
import shutil
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from local_workspace.arguments import Arguments
from local_workspace.errors import ApiError, invalid, no_such_path, unsupported
from local_workspace.jobs import USER_NAME
from local_workspace.paths import path_in_files
from local_workspace.state import StateFolder, private_file


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

    def write(path: Path, api_path: str, content: bytes, overwrite: bool) -> None:
        if path.is_dir():
            raise invalid(f"{api_path} is a directory.")
        if path.exists() and not overwrite:
            raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"Path ({api_path}) already exists.")
        if not path.parent.is_dir():
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"The parent folder of {api_path} doesn't exist.")
        draft = path.with_name(f".{path.name}.uploading")
        with private_file(draft) as file:
            file.write(content)
        draft.replace(path)

    @router.get("/2.0/preview/scim/v2/Me")
    async def me() -> dict[str, Any]:
        return {"id": "1", "userName": USER_NAME, "displayName": "Local user", "active": True, "emails": []}

    @router.get("/2.0/workspace/get-status")
    async def get_status(request: Request) -> dict[str, Any]:
        api_path = await _path(request, "return_export_info")
        return status(path_in_files(state, api_path), api_path)

    @router.get("/2.0/workspace/list")
    async def list_folder(request: Request) -> dict[str, Any]:
        api_path = await _path(request)
        path = path_in_files(state, api_path)
        status(path, api_path)
        children = sorted(path.iterdir()) if path.is_dir() else []
        return {"objects": [status(child, f"{api_path.rstrip('/')}/{child.name}") for child in children]}

    @router.post("/2.0/workspace/mkdirs")
    async def mkdirs(request: Request) -> dict[str, Any]:
        api_path = await _path(request)
        try:
            path_in_files(state, api_path).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"{api_path}: there is a file in the way.") from error
        return {}

    @router.post("/2.0/workspace/delete")
    async def delete(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        api_path, recursive = arguments.take("path", ""), arguments.flag("recursive")
        arguments.done()
        path = path_in_files(state, api_path)
        status(path, api_path)
        if path == state.files.resolve():
            raise invalid("The root folder cannot be deleted.")
        if path.is_dir() and recursive:
            shutil.rmtree(path)
        elif path.is_dir():
            if any(path.iterdir()):
                raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"Folder ({api_path}) is not empty.")
            path.rmdir()
        else:
            path.unlink()
        return {}

    @router.get("/2.0/workspace/export")
    async def export(request: Request) -> Any:
        arguments = await Arguments.of(request)
        api_path, direct = arguments.take("path", ""), arguments.flag("direct_download")
        if arguments.take("format", "AUTO") not in ("AUTO", "SOURCE", "RAW"):
            raise unsupported("exports in that format")
        arguments.done()
        path = path_in_files(state, api_path)
        if not path.is_file():
            raise no_such_path(api_path)
        content = path.read_bytes()
        if direct:
            return Response(content, media_type="application/octet-stream")
        return {"content": base64.b64encode(content).decode(), "file_type": path.suffix.lstrip(".")}

    @router.post("/2.0/workspace/import")
    async def import_encoded(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        api_path, overwrite = arguments.take("path", ""), arguments.flag("overwrite")
        content = arguments.take("content", "")
        if arguments.take("format", "AUTO") not in ("AUTO", "RAW"):
            raise unsupported("notebooks: import files, with format AUTO or RAW")
        arguments.done()
        write(path_in_files(state, api_path), api_path, base64.b64decode(content), overwrite)
        return {}

    @router.post("/2.0/workspace-files/import-file/{path:path}")
    async def import_file(path: str, request: Request) -> dict[str, Any]:
        overwrite = request.query_params.get("overwrite", "false").lower() == "true"
        api_path = "/" + path.lstrip("/")
        write(path_in_files(state, api_path), api_path, await request.body(), overwrite)
        return {}

    async def _path(request: Request, *also_allowed: str) -> str:
        arguments = await Arguments.of(request)
        api_path = arguments.take("path", "")
        for name in also_allowed:
            arguments.take(name)
        arguments.done()
        if not isinstance(api_path, str) or not api_path:
            raise invalid("path is missing.")
        return api_path

    return router
