"""The workspace's OpenAPI: the routes as FastAPI describes them, and the arguments that their handlers take.

The handlers read arguments from the query and from the body alike, as the real API does, so FastAPI knows none of
them. A route without an entry in `arguments` is an error: whoever adds a route adds what to try on it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from local_workspace.api import build_app
from local_workspace.redaction import Redactor
from local_workspace.runner import Runner
from local_workspace.store import Store
from machine.state_folder import StateFolder

JSON = dict[str, Any]
VOLUME = "/Volumes/spark_catalog/ops/files"
WHEEL = "/Workspace/Shared/tiny-1.0-py3-none-any.whl"

TEXT: JSON = {"type": "string"}
FLAG: JSON = {"type": "boolean"}
NUMBER: JSON = {"type": "integer"}


def one(*values: Any) -> JSON:
    """One of these values. (Beside them in an `anyOf`, a schema that holds for them too would swallow them.)"""
    return {"enum": list(values)}


def either(*schemas: JSON) -> JSON:
    return {"anyOf": list(schemas)}


def record(*required: str, **fields: JSON) -> JSON:
    return {"type": "object", "properties": fields, "required": list(required)}


def items(item: JSON, least: int = 0) -> JSON:
    return {"type": "array", "items": item, "minItems": least, "maxItems": 2}


TEXT_MAP: JSON = {"type": "object", "additionalProperties": TEXT, "maxProperties": 3}
NAME = one("main", "other", "default", "p", "", "a b", "\x00")
LONG = "x" * 300
PATHS = (
    *(f"{VOLUME}{more}" for more in ("", "/", "/a.json", "/folder", "/folder/b", "/a.json/below", "/new/n.txt", "/é")),
    *("/Volumes", "/Volumes/a/b", "/Volumes/a/b/c", f"{VOLUME}/{LONG}", f"{VOLUME}/" + "y/" * 3000, "/etc", "x", "/"),
)
IN_PATHS: dict[str, tuple[str, ...]] = {
    "version": ("2.2", "2.2", "2.2", "2.1", "2.1", "2.1", "2.0", "2.2/../2.2"),
    "path": PATHS,
    "name": ("style.css", "live.js", "dashboard.js", "../api.py", "a/b", "\x00"),
    "pipeline_id": ("no-such", "../jobs", "a/b", "\x00"),
    "update_id": ("no-such", "\x00"),
    "dashboard_id": ("no-such", "0" * 32, "../jobs", "a/b", "\x00"),
    "alert_id": ("no-such", "0" * 32, "../jobs", "a/b", "\x00"),
    "warehouse_id": ("local", "no-such", "\x00"),
    "dataset": ("orders", "a/b", "\x00"),
}
"""What is put in place of `{...}` in a path: schemathesis makes nothing up there that has a `/` in it."""
FILE = either(
    one("/", "/Workspace", "/Shared", WHEEL, "/Shared/a.txt", "/Shared/a.txt/below", "/f/g/h", f"/{LONG}", "", "a"),
    {"type": "string", "pattern": "^/Shared/free/[^/]+$"},
)
TASK = record(
    *("task_key", "max_retries", "environment_key", "python_wheel_task"),
    task_key=NAME,
    max_retries=one(0, 0, 0, 1),
    environment_key=one("default", "default", "default", "p"),
    depends_on=items(record("task_key", task_key=NAME)),
    timeout_seconds=one(0, 1, 2**70),
    python_wheel_task=record(
        *("package_name", "entry_point"),
        package_name=one("tiny", ""),
        entry_point=one("ok", "fail", "gone", "\x00"),
        parameters=items(one("{{job.parameters.p}}", "{{job.run_id}}", "{{", "\x00", "-c", LONG * 1000)),
    ),
)
ENVIRONMENT = record(
    *("environment_key", "spec"),
    environment_key=one("default", "p"),
    spec=record(
        "dependencies",
        environment_version=one("4"),
        dependencies=items(one(WHEEL, WHEEL, "/Workspace/Shared/x.whl", f"/Workspace/{LONG}.whl", "/Volumes/a.whl"), 1),
    ),
)
SETTINGS = record(
    *("tasks", "environments", "description"),  # the description keeps it apart from `WORKING`
    description=TEXT,
    name=TEXT,
    tasks=items(TASK, 1),
    environments=items(ENVIRONMENT, 1),
    parameters=items(record("name", "default", name=NAME, default=TEXT)),
    max_concurrent_runs=one(0, 1, 2**70),
    queue=record(enabled=FLAG),
    tags=TEXT_MAP,
    timeout_seconds=one(0, 1, 2**70),
)
WORKING: JSON = {
    "name": "works",
    "tasks": [
        {
            "task_key": "main",
            "max_retries": 0,
            "environment_key": "default",
            "python_wheel_task": {"package_name": "tiny", "entry_point": "ok", "parameters": ["{{job.parameters.p}}"]},
        }
    ],
    "environments": [{"environment_key": "default", "spec": {"dependencies": [WHEEL]}}],
    "parameters": [{"name": "p", "default": ""}],
}
PIPELINE = record(
    *("name", "libraries"),
    name=NAME,
    catalog=NAME,
    schema=NAME,
    serverless=FLAG,
    channel=one("CURRENT", "x"),
    configuration=TEXT_MAP,
    libraries=items(record(glob=record(include=FILE), file=record(path=FILE))),
)
SQL_ALERT = record(
    *("display_name", "query_text", "warehouse_id", "evaluation", "schedule"),
    display_name=NAME,
    query_text=one("SELECT 1 AS n", ""),
    warehouse_id=one("local", ""),
    evaluation=record(
        *("source", "comparison_operator"),
        source=record("name", name=NAME, aggregation=one("MAX", "x")),
        comparison_operator=one("EQUAL", "x"),
        threshold=record(value=record(double_value=one(0, 1.5, 2**70))),
    ),
    schedule=record(
        *("quartz_cron_schedule", "timezone_id"), quartz_cron_schedule=one("0 0 * * * ?", ""), timezone_id=one("UTC")
    ),
    parent_path=FILE,
)
DRAFT = record(
    "display_name",
    display_name=TEXT,
    parent_path=FILE,
    serialized_dashboard=either(
        one("{", "[]", "{}", '{"datasets": 1}', '{"datasets": [{"name": "d", "query": "SELECT 1 AS n"}]}'),
        one('{"datasets": [{"name": "d", "query": "DROP TABLE t"}]}', '{"pages": [{"name": "p", "layout": [{}]}]}'),
        TEXT,
    ),
    warehouse_id=TEXT,
    etag=TEXT,
    dataset_catalog=one("spark_catalog", "a b", ""),
    dataset_schema=one("published", "a; b", ""),
)
TOKEN = one("10", "-5", "1" + "0" * 18, "9" * 40, "", "?", "ä", "²", "1e3")
PAGE = {"limit": one(1, 20, 26, 100, 0), "page_token": TOKEN, "offset": one(0, 1, 2**62, 2**63, -1)}


def arguments(job: int, run: int) -> dict[str, JSON]:
    """By `METHOD path`: the arguments of the route. Those of a GET go into the query, the others into the body."""
    job_id, run_id = one(job, job, str(job), 1, 2**63 - 1), one(run, run, run + 1, 1, 2**63 - 1)
    other = one(1, 2**63 - 1, 2**63, -1, "", "1e3")  # what may be deleted: nothing that the others are tried on
    settings = either(one(WORKING), SETTINGS)
    jobs, files, folders = "/api/{version}/jobs", "/api/2.0/fs/files{path}", "/api/2.0/fs/directories{path}"
    workspace, pipelines = "/api/2.0/workspace", "/api/2.0/pipelines"
    pipeline = f"{pipelines}/{{pipeline_id}}"
    dashboards = "/api/2.0/lakeview/dashboards"
    dashboard = f"{dashboards}/{{dashboard_id}}"
    return {
        f"POST {jobs}/create": settings,
        f"POST {jobs}/reset": record("job_id", "new_settings", job_id=job_id, new_settings=settings),
        f"POST {jobs}/update": record(
            "job_id",
            job_id=job_id,
            new_settings=either(one({"tasks": [{"task_key": []}]}, {"environments": [{}]}), SETTINGS),
            fields_to_remove=items(one("tags", "tasks", "name", "queue", "a/b", "")),
        ),
        f"GET {jobs}/get": record("job_id", job_id=job_id, page_token=TOKEN),
        f"GET {jobs}/list": record(**PAGE, name=TEXT, expand_tasks=FLAG),
        f"POST {jobs}/delete": record("job_id", job_id=other),
        f"POST {jobs}/run-now": record(
            "job_id", job_id=job_id, job_parameters=TEXT_MAP, idempotency_token=TEXT, queue=record(enabled=FLAG)
        ),
        f"GET {jobs}/runs/get": record("run_id", run_id=run_id, include_history=FLAG, page_token=TOKEN),
        f"GET {jobs}/runs/list": record(
            **PAGE,
            job_id=job_id,
            active_only=FLAG,
            completed_only=FLAG,
            expand_tasks=FLAG,
            start_time_from=NUMBER,
            start_time_to=NUMBER,
            run_type=TEXT,
        ),
        f"GET {jobs}/runs/get-output": record("run_id", run_id=run_id),
        f"POST {jobs}/runs/cancel": record("run_id", run_id=run_id),
        f"POST {jobs}/runs/cancel-all": record(job_id=job_id, all_queued_runs=FLAG),
        f"POST {jobs}/runs/delete": record("run_id", run_id=other),
        f"POST {jobs}/runs/repair": record(
            "run_id",
            run_id=run_id,
            rerun_tasks=items(NAME),
            rerun_all_failed_tasks=FLAG,
            rerun_dependent_tasks=FLAG,
            latest_repair_id=NUMBER,
            job_parameters=TEXT_MAP,
        ),
        f"GET {files}": record(),
        f"HEAD {files}": record(),
        f"PUT {files}": record(overwrite=one("true", "false", "")),
        f"DELETE {files}": record(),
        f"GET {folders}": record(page_size=one(1, 1000, 1001), page_token=TOKEN),
        f"HEAD {folders}": record(),
        f"PUT {folders}": record(),
        f"DELETE {folders}": record(),
        "GET /api/2.0/preview/scim/v2/Me": record(),
        f"GET {workspace}/get-status": record("path", path=FILE, return_export_info=FLAG),
        f"GET {workspace}/list": record("path", path=FILE),
        f"POST {workspace}/mkdirs": record("path", path=FILE),
        f"POST {workspace}/delete": record("path", path=one("/Shared/a.txt", "/f", "/", "", "/gone"), recursive=FLAG),
        f"GET {workspace}/export": record("path", path=FILE, direct_download=FLAG, format=one("AUTO", "RAW", "DBC")),
        f"POST {workspace}/import": record(
            *("path", "content"),
            path=FILE,
            content=one("aGVsbG8=", "?", "a", "é", ""),
            overwrite=FLAG,
            format=one("AUTO", "SOURCE"),
        ),
        "POST /api/2.0/workspace-files/import-file/{path}": record(overwrite=one("true", "false", "")),
        f"POST {pipelines}": PIPELINE,
        f"GET {pipelines}": record(max_results=one(1, 250, 251, 0), page_token=TOKEN, filter=TEXT),
        f"GET {pipeline}": record(),
        f"PUT {pipeline}": PIPELINE,
        f"DELETE {pipeline}": record(),
        f"POST {pipeline}/updates": record(full_refresh=FLAG, validate_only=FLAG, refresh_selection=items(TEXT)),
        f"GET {pipeline}/updates": record(max_results=one(1, 251), page_token=TOKEN),
        f"GET {pipeline}/updates/{{update_id}}": record(),
        f"GET {pipeline}/events": record(max_results=one(1, 251), page_token=TOKEN, filter=TEXT),
        f"POST {pipeline}/stop": record(),
        "POST /api/2.0/alerts": SQL_ALERT,
        "GET /api/2.0/alerts": record(page_size=one(1, 100, 101, 0), page_token=TOKEN),
        "GET /api/2.0/alerts/{alert_id}": record(),
        "PATCH /api/2.0/alerts/{alert_id}": SQL_ALERT,
        "DELETE /api/2.0/alerts/{alert_id}": record(purge=FLAG),
        f"POST {dashboards}": DRAFT,
        f"GET {dashboards}": record(page_size=one(1, 1000, 1001, 0), page_token=TOKEN, show_trashed=FLAG),
        f"GET {dashboard}": record(),
        f"PATCH {dashboard}": DRAFT,
        f"DELETE {dashboard}": record(),
        f"POST {dashboard}/published": record(embed_credentials=FLAG, warehouse_id=TEXT),
        f"GET {dashboard}/published": record(),
        f"DELETE {dashboard}/published": record(),
        "GET /api/2.0/sql/warehouses": record(),
        "GET /api/2.0/sql/warehouses/{warehouse_id}": record(),
        "GET /dashboards": record(),
        "GET /dashboards/vega.js": record(),
        "GET /dashboardsv3/{dashboard_id}/published": record(page=TEXT),
        "GET /dashboardsv3/{dashboard_id}/rows/{dataset}": record(),
        "GET /dashboardsv3/{dashboard_id}/news": record(),
        "GET /health": record(),
        "GET /.well-known/databricks-config": record(),
        "GET /login": record(next=one("//[", "/jobs", "//evil.example", "/a//[", "")),
        "POST /login": record("next", token=TEXT, next=one("//[", "/jobs", "")),
        "POST /logout": record(),
        "GET /assets/{name}": record(),
        "GET /": record(),
        "GET /jobs/{job_id}": record(),
        "GET /jobs/{job_id}/runs/{run_id}": record(),
        "GET /runs/{run_id}": record(),
        "GET /explore/data/volumes": record(),
        "GET /explore/data/volumes/{path}": record(),
    }


def description(folder: Path, job: int, run: int) -> JSON:
    """The OpenAPI of the application, with all arguments; `job` and `run` exist in the workspace that is tried."""
    state = StateFolder(folder)
    redactor, store = Redactor(state), Store(state.database)
    app = build_app(state, store, Runner(state, store, redactor), redactor)
    found: JSON = app.openapi()
    store.close()
    known = arguments(job, run)
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            taken = known.pop(f"{method.upper()} {path}")
            named = re.findall(r"{(\w+)}", path)
            operation["parameters"] = [{"name": n, "in": "path", "required": True, "schema": TEXT} for n in named]
            is_upload = (method == "put" and "/fs/" in path) or "import-file" in path
            in_query = method in ("get", "head", "delete") or is_upload
            if in_query:
                operation["parameters"] += [
                    {"name": name, "in": "query", "schema": schema} for name, schema in taken["properties"].items()
                ]
            else:
                kind = "application/x-www-form-urlencoded" if path.startswith("/log") else "application/json"
                operation["requestBody"] = {"content": {kind: {"schema": taken}}}
            if is_upload:
                operation["requestBody"] = {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    assert not known, f"no route for: {sorted(known)}"
    return found
