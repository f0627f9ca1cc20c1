"""Pages for people: jobs, runs with their logs, and the volumes."""

import mimetypes
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from local_workspace.auth import COOKIE, Auth, local_path
from local_workspace.bodies import FORM_LIMIT, read_body
from local_workspace.errors import ApiError
from local_workspace.jobs_api import read_log
from local_workspace.paths import path_in_volumes, shown_name
from local_workspace.redaction import Redactor
from local_workspace.runner import Runner
from local_workspace.store import TERMINAL, Row, Store, now_ms
from machine.state_folder import StateFolder

_HERE = Path(__file__).parent / "pages_html"
# Nothing from another origin, ever. Our own pages use one stylesheet and one script, both files of ours.
_OWN_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# HTML out of a volume (Data Docs) brings its styles inline. It is made from data, so no script of it runs: one could
# read our pages in the reader's name.
_FILE_POLICY = (
    "sandbox allow-same-origin allow-popups; default-src 'none'; style-src 'unsafe-inline'; script-src 'none'; "
    "img-src data:; font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_SHOWN_LOG = 256 * 1024


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


def pages_router(state: StateFolder, store: Store, runner: Runner, redactor: Redactor, auth: Auth) -> APIRouter:
    router = APIRouter()
    templates = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)
    templates.filters |= {"moment": _moment, "size": _size}
    templates.globals |= {"span": _span, "terminal": TERMINAL}

    def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
        spark = runner.spark
        text = templates.get_template(template).render(spark=spark.state if spark else "off", **values)
        # Whatever a page shows (parameters, errors, names), no secret is in it.
        return HTMLResponse(redactor.text(text), status, headers=_headers(_OWN_POLICY))

    def guarded(handler: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        async def inner(request: Request) -> Response:
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            if not auth.may_see_pages(request):
                return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)
            try:
                return await handler(request, **request.path_params)
            except (ApiError, ValueError, OverflowError) as error:
                return page("message.html", getattr(error, "status", 404), title="Not found", message=str(error))
            except OSError as error:
                return page("message.html", 404, title="Not found", message=f"{wanted}: {error.strerror}.")

        return inner

    async def login_form(request: Request) -> Response:
        return page("login.html", next=local_path(request.query_params.get("next", "/")), wrong=False)

    async def login(request: Request) -> Response:
        body = (await read_body(request, FORM_LIMIT)).decode("utf-8", "replace")
        fields = parse_qs(body)
        wanted = local_path((fields.get("next") or ["/"])[0])
        if not auth.is_token((fields.get("token") or [""])[0].strip()):
            return page("login.html", 403, next=wanted, wrong=True)
        answer = RedirectResponse(wanted, 303)
        answer.set_cookie(COOKIE, auth.cookie, httponly=True, samesite="strict", max_age=30 * 86400, path="/")
        return answer

    async def logout(_: Request) -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ("style.css", "live.js"):
            return page("message.html", 404, title="Not found", message=f"There is no {name}.")
        return FileResponse(_HERE / name, headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "max-age=300"})

    async def front(_: Request) -> Response:
        jobs = store.all("select * from jobs where not deleted order by name")
        for job in jobs:
            job["last"] = store.one("select * from runs where job_id = ? order by run_id desc limit 1", job["job_id"])
        runs = store.all("select * from runs order by run_id desc limit 30")
        return page("front.html", jobs=jobs, runs=runs, live=_any_live(runs))

    async def job_page(_: Request, job_id: str) -> Response:
        job = store.one("select * from jobs where job_id = ?", int(job_id))
        if job is None:
            raise ValueError(f"Job {job_id} does not exist.")
        runs = store.all("select * from runs where job_id = ? order by run_id desc limit 100", job["job_id"])
        return page("job.html", job=job, runs=runs, live=_any_live(runs))

    async def run_page(_: Request, job_id: str, run_id: str) -> Response:
        run = store.run(int(run_id))
        if run is None or run["job_id"] != int(job_id):
            raise ValueError(f"Job {job_id} has no run {run_id}.")
        tasks = store.tasks_of(run["run_id"])
        for task in tasks:
            task["log"], task["log_cut"] = read_log(runner, redactor, task, _SHOWN_LOG)
            task["settings"] = next(
                (s for s in run["settings"]["tasks"] if s["task_key"] == task["task_key"]), {"python_wheel_task": {}}
            )
        return page("run.html", run=run, tasks=tasks, results=_results(state, run), live=_any_live([run]))

    async def explore(_: Request, path: str = "") -> Response:
        api_path = f"/Volumes/{path}".rstrip("/")
        depth = len([part for part in path.split("/") if part])
        target = path_in_volumes(state, api_path) if depth >= 3 else _above_volumes(state, path)
        if target.is_dir():
            entries = [
                {"name": shown_name(c), "folder": c.is_dir(), "size": c.stat().st_size if c.exists() else 0}
                for c in sorted(target.iterdir(), key=lambda c: (not c.is_dir(), c.name))[:5000]
            ]
            return page("folder.html", path=api_path, entries=entries, parts=_crumbs(api_path))
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
        ("/explore/data/volumes", explore),
        ("/explore/data/volumes/{path:path}", explore),
    ):
        router.add_api_route(path, guarded(handler), methods=["GET"])
    return router


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _file(path: Path) -> Response:
    """A file of a volume; whatever it is, it cannot act as one of our pages."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind in ("application/json", "text/csv", "text/plain") or path.suffix in (".log", ".md", ".yml"):
        kind = "text/plain; charset=utf-8"
    return FileResponse(path, media_type=kind, headers=_headers(_FILE_POLICY))


def _above_volumes(state: StateFolder, path: str) -> Path:
    """The folders of catalogs and schemas, above the volumes themselves."""
    base = state.volumes.resolve()
    target = (base / path).resolve()
    if not target.is_relative_to(base):
        raise ValueError(f"/Volumes/{path} leads out of the volumes.")
    return target


def _crumbs(api_path: str) -> list[tuple[str, str]]:
    parts = [part for part in api_path.split("/") if part][1:]
    return [
        (part, "/explore/data/volumes/" + "/".join(quote(p) for p in parts[: n + 1])) for n, part in enumerate(parts)
    ]


def _any_live(runs: list[Row]) -> bool:
    return any(run["life_cycle"] not in TERMINAL for run in runs)


def _results(state: StateFolder, run: Row) -> list[tuple[str, str]]:
    """Links to what the run left on a volume: its verdict, its Data Docs, its publication."""
    found = []
    parameters = {item["name"]: item["value"] for item in run["parameters"]}
    root = parameters.get("ops_root", "")
    base = state.volumes.resolve()
    try:
        ops = Path(root).resolve() if root else None
        if ops is None or not ops.is_relative_to(base) or not ops.is_dir():
            return []
    except (OSError, RuntimeError, ValueError):  # anybody's text: what cannot be a path holds no results
        return []
    run_id = str(run["run_id"])
    for label, pattern in (
        ("Verdict", f"verdicts/*/{run_id}.json"),
        ("Data Docs", f"data_docs/*/{run_id}_*/index.html"),
        ("Publication", f"publications/{run_id}.json"),
        ("Build", f"builds/*/{run_id}.json"),
    ):
        for path in sorted(ops.glob(pattern)):
            found.append((label, "/explore/data/volumes/" + quote(str(path.relative_to(base)))))
    return found
