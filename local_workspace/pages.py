"""Pages for people: jobs, runs with their logs, and the volumes."""

import json
import mimetypes
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from local_workspace.api_errors import ApiError
from local_workspace.auth import COOKIE, Auth, local_path
from local_workspace.dashboards.lakeview import Lakeview
from local_workspace.dashboards.pages import dashboard_routes
from local_workspace.dashboards.results import Results
from local_workspace.entities import Run
from local_workspace.paths import path_in_volumes, shown_name
from local_workspace.redaction import Redactor
from local_workspace.request_body import FORM_LIMIT, read_body
from local_workspace.runner import Runner
from local_workspace.store import Store, now_ms
from machine.state_folder import StateFolder

_TEMPLATES = Path(__file__).parent / "pages_html"
# Content-Security-Policy of the pages: one stylesheet and one script, both served here, and nothing of another origin.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# That of files on a volume. HTML such as Data Docs has inline styles. It is made from data, so none of its scripts may
# run: a script could read the pages with the reader's cookie.
_FILE_POLICY = (
    "sandbox allow-same-origin allow-popups; default-src 'none'; style-src 'unsafe-inline'; script-src 'none'; "
    "img-src data:; font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_LOG_LIMIT = 256 * 1024
_VOLUMES = "/explore/data/volumes"


def _moment(ms: int | None) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if ms else "–"


def _span(start: int | None, end: int | None) -> str:
    if not start:
        return "–"
    seconds = max(0.0, ((end or now_ms()) - start) / 1000)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _size(count: int) -> str:
    return f"{count:,} B" if count < 10_000 else f"{count / 1024:,.0f} KiB"


def pages_router(
    state: StateFolder,
    store: Store,
    runner: Runner,
    redactor: Redactor,
    auth: Auth,
    lakeview: Lakeview,
    results: Results,
) -> APIRouter:
    router = APIRouter()
    templates = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    templates.filters |= {"moment": _moment, "size": _size}
    templates.globals |= {"span": _span}

    def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
        spark = runner.spark
        text = templates.get_template(template).render(spark=spark.state if spark else "off", **values)
        # Parameters, errors and names may contain secrets.
        return HTMLResponse(redactor.text(text), status, headers=_headers(_PAGE_POLICY))

    def with_login(handler: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        async def inner(request: Request) -> Response:
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            if not auth.may_see_pages(request):
                return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)
            try:
                return await handler(request, **request.path_params)
            except (ApiError, ValueError, OverflowError) as error:
                return page("message.html", getattr(error, "status", 404), title="Not found", message=str(error))
            except OSError as error:
                return page("message.html", 404, title="Not found", message=f"{target}: {error.strerror}.")

        return inner

    async def login_form(request: Request) -> Response:
        return page("login.html", next=local_path(request.query_params.get("next", "/")), wrong=False)

    async def login(request: Request) -> Response:
        body = (await read_body(request, FORM_LIMIT)).decode("utf-8", "replace")
        fields = parse_qs(body)
        target = local_path((fields.get("next") or ["/"])[0])
        if not auth.is_token((fields.get("token") or [""])[0].strip()):
            return page("login.html", 403, next=target, wrong=True)
        answer = RedirectResponse(target, 303)
        answer.set_cookie(COOKIE, auth.cookie, httponly=True, samesite="strict", max_age=30 * 86400, path="/")
        return answer

    async def logout(_: Request) -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ("style.css", "live.js", "dashboard.css", "dashboard.js"):
            return page("message.html", 404, title="Not found", message=f"There is no {name}.")
        return FileResponse(
            _TEMPLATES / name, headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "max-age=300"}
        )

    async def front(_: Request) -> Response:
        jobs = sorted(store.jobs(), key=lambda job: job.name)
        last_runs = {run.job_id: run for job in jobs for run in store.runs(job_id=job.job_id, limit=1)}
        runs = store.runs(limit=30)
        return page("front.html", jobs=jobs, last_runs=last_runs, runs=runs, live=_any_active(runs))

    async def job_page(_: Request, job_id: str) -> Response:
        job = store.job(int(job_id), deleted=True)
        if job is None:
            raise ValueError(f"Job {job_id} does not exist.")
        runs = store.runs(job_id=job.job_id, limit=100)
        return page("job.html", job=job, runs=runs, live=_any_active(runs))

    async def any_run(_: Request, run_id: str) -> Response:
        run = store.run(int(run_id))
        if run is None:
            raise ValueError(f"There is no run {run_id}.")
        return RedirectResponse(f"/jobs/{run.job_id}/runs/{run.run_id}", 303)

    async def run_page(_: Request, job_id: str, run_id: str) -> Response:
        run = store.run(int(run_id))
        if run is None or run.job_id != int(job_id):
            raise ValueError(f"Job {job_id} has no run {run_id}.")
        task_runs = store.task_runs(run.run_id)
        logs = {task_run.run_id: runner.read_log(task_run, _LOG_LIMIT) for task_run in task_runs}
        results, rejection = _results(state, run), _rejection(state, run)
        shown: dict[str, Any] = {"tasks": task_runs, "logs": logs, "results": results, "rejection": rejection}
        return page("run.html", run=run, **shown, live=not run.is_over)

    async def explore(_: Request, path: str = "") -> Response:
        api_path = f"/Volumes/{path}".rstrip("/")
        depth = len([part for part in path.split("/") if part])
        target = path_in_volumes(state, api_path) if depth >= 3 else _above_volumes(state, path)
        if target.is_dir():
            entries = [
                {
                    "name": shown_name(child),
                    "folder": child.is_dir(),
                    "size": child.stat().st_size if child.exists() else 0,
                }
                for child in sorted(target.iterdir(), key=lambda child: (not child.is_dir(), child.name))[:5000]
            ]
            return page("folder.html", path=api_path, entries=entries, parts=_breadcrumbs(api_path))
        if not target.is_file():
            raise ValueError(f"{api_path} does not exist.")
        return _file(target)

    router.add_api_route("/login", login_form, methods=["GET"])
    router.add_api_route("/login", login, methods=["POST"])
    router.add_api_route("/logout", logout, methods=["POST"])
    router.add_api_route("/assets/{name}", asset, methods=["GET"])
    for path, handler in (
        ("/", front),
        ("/jobs/{job_id}", job_page),
        ("/jobs/{job_id}/runs/{run_id}", run_page),
        ("/runs/{run_id}", any_run),
        (_VOLUMES, explore),
        (_VOLUMES + "/{path:path}", explore),
        *dashboard_routes(state, lakeview, results, page),
    ):
        router.add_api_route(path, with_login(handler), methods=["GET"])
    return router


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _file(path: Path) -> Response:
    """Return a file of a volume, with a policy that keeps it from acting as one of the pages."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind in ("application/json", "text/csv", "text/plain") or path.suffix in (".log", ".md", ".yml"):
        kind = "text/plain; charset=utf-8"
    return FileResponse(path, media_type=kind, headers=_headers(_FILE_POLICY))


def _above_volumes(state: StateFolder, path: str) -> Path:
    """Return the folders of catalogs and schemas, above the volumes themselves."""
    base = state.volumes.resolve()
    target = (base / path).resolve()
    if not target.is_relative_to(base):
        raise ValueError(f"/Volumes/{path} leads out of the volumes.")
    return target


def _breadcrumbs(api_path: str) -> list[tuple[str, str]]:
    parts = [part for part in api_path.split("/") if part][1:]
    return [(part, "/".join([_VOLUMES, *map(quote, parts[: depth + 1])])) for depth, part in enumerate(parts)]


def _any_active(runs: list[Run]) -> bool:
    return any(not run.is_over for run in runs)


def _results(state: StateFolder, run: Run) -> list[tuple[str, str]]:
    """Return labels and links of what the run left on the ops volume: its verdict, its Data Docs, its publication."""
    links: list[tuple[str, str]] = []
    ops, run_id = _ops_volume(state, run), run.run_id
    if ops is None:
        return links
    for label, pattern in (
        ("Verdict", f"verdicts/*/{run_id}.json"),
        ("Data Docs", f"data_docs/*/{run_id}_*/index.html"),
        ("Publication", f"publications/{run_id}.json"),
        ("Build", f"builds/*/{run_id}.json"),
    ):
        for path in sorted(ops.glob(pattern)):
            links.append((label, f"{_VOLUMES}/" + quote(str(path.relative_to(state.volumes.resolve())))))
    return links


def _rejection(state: StateFolder, run: Run) -> list[str]:
    """Return why the verdict that the run left forbids publishing, for people; nothing where it allows it."""
    ops = _ops_volume(state, run)
    for path in sorted(ops.glob(f"verdicts/*/{run.run_id}.json")) if ops else ():
        try:
            verdict = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(verdict, dict) and verdict.get("success") is False:
            return [str(line) for line in verdict.get("explanation") or ["The verdict names no reason."]]
    return []


def _ops_volume(state: StateFolder, run: Run) -> Path | None:
    """Return the folder of the run's parameter `ops_root`; None where it names no folder of a volume."""
    root = next((parameter.value for parameter in run.parameters if parameter.name == "ops_root"), "")
    try:
        ops = Path(root).resolve() if root else None
        return ops if ops and ops.is_relative_to(state.volumes.resolve()) and ops.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # the caller's text, which need not be a path
        return None
