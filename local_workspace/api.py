"""The application: routes, access to them, and every failure in the shape of the real API."""

import errno
import logging
import os
import re
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from local_workspace.api_errors import ApiError
from local_workspace.auth import Auth, is_local_host
from local_workspace.dashboards.dashboard_pages import vega_script
from local_workspace.dashboards.definition import Dashboard
from local_workspace.dashboards.lakeview import Lakeview
from local_workspace.dashboards.lakeview_api import lakeview_router
from local_workspace.dashboards.prefetch import keep_fetching
from local_workspace.dashboards.results import Results
from local_workspace.files_api import files_router
from local_workspace.jobs import Jobs
from local_workspace.jobs_api import jobs_router
from local_workspace.pages import pages_router
from local_workspace.pipelines import Pipelines
from local_workspace.pipelines_api import pipelines_router
from local_workspace.redaction import Redactor
from local_workspace.runner import Runner
from local_workspace.sql_alerts import Alerts
from local_workspace.sql_alerts_api import alerts_router
from local_workspace.store import Store
from local_workspace.workspace_api import workspace_router
from machine.state_folder import StateFolder

log = logging.getLogger(__name__)
_FILE_ERRORS = {
    errno.ENOENT: (404, "RESOURCE_DOES_NOT_EXIST"),
    errno.EEXIST: (409, "ALREADY_EXISTS"),
    errno.ENOTDIR: (409, "ALREADY_EXISTS"),  # a file where a folder is needed
    errno.EISDIR: (400, "INVALID_PARAMETER_VALUE"),
    errno.ENAMETOOLONG: (400, "INVALID_PARAMETER_VALUE"),
    errno.ELOOP: (400, "INVALID_PARAMETER_VALUE"),
    errno.EACCES: (403, "PERMISSION_DENIED"),
    errno.EPERM: (403, "PERMISSION_DENIED"),
    errno.ENOSPC: (507, "RESOURCE_EXHAUSTED"),
    errno.EDQUOT: (507, "RESOURCE_EXHAUSTED"),
}
_JOBS_VERSION = re.compile(r"/api/([^/]+)/jobs/")


def build_app(state: StateFolder, store: Store, runner: Runner, redactor: Redactor) -> FastAPI:
    auth = Auth(state.secret("workspace_token"))
    jobs = Jobs(state, store, runner)
    results = Results(state, lambda: runner.spark)

    def check(dashboard: Dashboard) -> None:
        results.check(dashboard)
        # Made while nobody waits for it.
        threading.Thread(target=vega_script, args=(state,), daemon=True).start()

    lakeview = Lakeview(state, check)
    # The generated documentation pages load their scripts from a CDN, which is not wanted here.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.scope["path"]  # the path that is routed; the request's URL is made of the client's headers
        try:
            if not is_local_host(request):
                raise ApiError(403, "PERMISSION_DENIED", "This workspace answers to 127.0.0.1 and localhost only.")
            if path.startswith("/api/"):
                auth.check_api(request)
                version = _JOBS_VERSION.match(path)
                if version and version.group(1) not in ("2.1", "2.2"):
                    raise _unknown_endpoint(request)
            return await call_next(request)
        except ApiError as error:
            return JSONResponse(error.body(), error.status)
        except ClientDisconnect:
            return Response(status_code=400)  # the client has gone
        except Exception:
            log.exception("%s %s", request.method, path)
            message = "The local workspace failed; its log (logs/workspace.log) says why."
            return JSONResponse({"error_code": "INTERNAL_ERROR", "message": message}, 500)

    @app.exception_handler(ApiError)
    async def api_error(_: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.body(), error.status)

    @app.exception_handler(OSError)
    async def file_error(request: Request, error: OSError) -> JSONResponse:
        """Answer what the file system refuses; any other of its errors is a fault of the workspace."""
        if error.errno not in _FILE_ERRORS:
            raise error
        status, code = _FILE_ERRORS[error.errno]
        message = f"{request.method} {request.scope['path']}: {os.strerror(error.errno)}."
        return JSONResponse(ApiError(status, code, message).body(), status)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        status = error.status_code if error.status_code != 405 else 404
        return JSONResponse(_unknown_endpoint(request).body(), status)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Report the state, for scripts that wait for the workspace. It needs no token, so it reveals nothing else."""
        spark = runner.spark
        return {"status": "ok", "spark": spark.state if spark else "off"}

    @app.get("/.well-known/databricks-config")
    async def discovery(request: Request) -> dict[str, Any]:
        base = str(request.base_url).rstrip("/")
        # Clients warn at every call if no OAuth endpoint is named. The named one answers that it is not supported.
        return {"host_type": "workspace", "workspace_id": "1", "workspace_url": base, "oidc_endpoint": f"{base}/oidc"}

    app.state.prefetch = partial(keep_fetching, lakeview, results)
    app.include_router(jobs_router(jobs, store, runner), prefix="/api")
    app.include_router(pipelines_router(Pipelines(state, store, jobs, runner)), prefix="/api")
    app.include_router(alerts_router(Alerts(state)), prefix="/api")
    app.include_router(files_router(state), prefix="/api")
    app.include_router(workspace_router(state), prefix="/api")
    app.include_router(lakeview_router(lakeview), prefix="/api")
    app.include_router(pages_router(state, store, runner, redactor, auth, lakeview, results))
    return app


def _unknown_endpoint(request: Request) -> ApiError:
    return ApiError(
        404, "ENDPOINT_NOT_FOUND", f"The local workspace has no {request.method} {request.url.path}: not supported."
    )
