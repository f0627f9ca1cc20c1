"""A tiny Databricks workspace over HTTP, with the parts of the Jobs and Files API that the DAGs use.

A job run lasts `duration` seconds (None: until it is cancelled). At its end a build writes the verdict that `verdict`
returns, the job of all layers one for each layer that it has `audited`, and publish writes a publication. `requests`
records all requests for assertions.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PUBLISHED_TABLES: dict[str, list[str]] = json.loads(
    (Path(__file__).resolve().parents[2] / "include" / "published_tables.json").read_text(encoding="utf-8")
)
SIGN_IN, PAGE = "/sign-in", b"<!doctype html><title>Sign in</title>"
TASK_RUN = 5000  # The id of a job run's only task run is this much above its own.
LAYERS = ("bronze", "silver", "gold")
TOKEN = "tiny-secret-token"
OPS = "/Volumes/spark_catalog/ops/files"
LANDING = "/Volumes/spark_catalog/landing/files"
FOUND_DATES = {"interval_start": "2018-01-01", "interval_end": "2018-01-08"}
"""Those that the job ecommerce_medallion finds to be run."""


def good_verdict(layer: str, run_id: int, parameters: dict[str, str]) -> dict[str, Any]:
    """Return a verdict that allows publication, as the audit writes it."""
    return {
        "layer": layer,
        "build_id": f"{run_id}_0",
        "job_run_id": str(run_id),
        "success": True,
        "interval_start": parameters["interval_start"][:10],
        "interval_end": parameters["interval_end"][:10],
        "fingerprint": f"{run_id:064x}",
        "statistics": {"evaluated": 57, "successful": 57, "failed": 0, "warnings": 0},
        "failures": [],
        "warnings": [],
        "notes": [],
        "rows": {"landed": 10, "valid": 10, "quarantined": 0},
        "data_docs": f"data_docs/{layer}/{run_id}_0/index.html",
    }


def verdict_with_anomaly(layer: str, run_id: int, parameters: dict[str, str]) -> dict[str, Any]:
    """Return one that allows publication, in bronze with an anomaly."""
    anomaly = {
        "table": "metrics",
        "rule": "metrics_lie_in_their_bands",
        "severity": "warning",
        "landing_date": "2018-01-03",
        "message": "34 orders, expected 52 to 81",
        "alert": True,
    }
    return good_verdict(layer, run_id, parameters) | {"warnings": [anomaly] if layer == "bronze" else []}


class TinyWorkspace:
    """The server, its jobs, job runs and files."""

    def __init__(self, port: int = 0) -> None:
        self.jobs = {
            name: n
            for n, name in enumerate(
                (*(f"{x}_build" for x in LAYERS), "publish", "maintenance", "ecommerce_medallion", "decide"),
                start=11,
            )
        }
        self.runs: dict[int, dict[str, Any]] = {}
        self.tokens: dict[str, int] = {}
        self.cancelled: list[int] = []
        self.files: dict[str, bytes] = {}
        self.modified: dict[str, int] = {}  # of files, in milliseconds since 1970
        self.folders: dict[str, list[str]] = {LANDING: [], OPS: []}
        self.requests: list[tuple[str, str]] = []
        self.page_size = 1000
        # Replaces an answer by status, content, content type and headers, where it returns them.
        self.spoil: Callable[[str, str], tuple[int, Any, str, dict[str, str]] | None] = lambda *_: None
        self.doubled_job_id: int | None = None  # of a second job of every name
        self.token = TOKEN  # the one that it accepts today
        self.duration: float | None = 0.5
        self.result = "SUCCESS"
        self.error = "Spark died"  # of a job run that fails
        self.audited: tuple[str, ...] = LAYERS  # by a run of ecommerce_medallion
        self.children: dict[int, int] = {}  # job run -> the job run that its task has started
        self.verdict: Callable[[str, int, dict[str, str]], dict[str, Any] | None] = good_verdict
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def connection(self) -> str:
        """Return the Airflow connection to this workspace as JSON."""
        return json.dumps(
            {
                "conn_type": "databricks",
                "host": "127.0.0.1",
                "port": self.port,
                "schema": "http",
                "password": self.token,
            }
        )

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def write(self, path: str, content: Any) -> None:
        """Write a file; content other than bytes is written as JSON."""
        self.files[path] = content if isinstance(content, bytes) else json.dumps(content).encode()

    def state(self, run: dict[str, Any]) -> dict[str, str]:
        """Return the job run's state. The first call after its end writes its files."""
        over = self.duration is not None and time.monotonic() - run["started"] >= self.duration
        if run["result"] is None and over:
            run["result"] = self.result
            if self.result == "SUCCESS" or run["job"] == "ecommerce_medallion":
                self._write_files(run)
        if run["result"] is None:
            return {"life_cycle_state": "RUNNING", "state_message": "In run"}
        return {"life_cycle_state": "TERMINATED", "result_state": run["result"], "state_message": ""}

    def _file(self, path: str) -> dict[str, Any]:
        size = len(self.files.get(path, b"a file"))
        return {"is_directory": False, "file_size": size, "last_modified": self.modified.get(path, 1)}

    def _write_files(self, run: dict[str, Any]) -> None:
        run_id, parameters = run["run_id"], run["parameters"]
        if run["job"].endswith("_build"):
            self._write_verdict(run["job"].removesuffix("_build"), run_id, parameters)
        elif run["job"] == "ecommerce_medallion":
            for layer in self.audited:
                self._write_verdict(layer, run_id, FOUND_DATES)
        elif run["job"] == "decide":
            path = f"{OPS}/verdicts/{parameters['layer']}/{parameters['build_id'].partition('_')[0]}.json"
            text = f"{parameters['decided_by']} decided to {parameters['decision']}: {parameters['reason']}"
            decision = {name: parameters[name] for name in ("decision", "fingerprint")} | {"text": text}
            self.write(path, json.loads(self.files[path]) | {"decision": decision})
        elif run["job"] == "publish":
            layer = parameters["layer"]
            tables = PUBLISHED_TABLES[layer]
            self.write(
                f"{OPS}/publications/{run_id}.json",
                {
                    "layer": layer,
                    "seq": 1,
                    "interval_start": "2018-01-01",
                    "interval_end": "2018-01-08",
                    "fingerprint": parameters["fingerprint"],
                    "build_id": parameters["build_id"],
                    "job_run_id": str(run_id),
                    "already_published": False,
                    "tables": {f"{layer}.{t}": {"version": 3, "rows": 100 + n} for n, t in enumerate(tables)},
                },
            )

    def _write_verdict(self, layer: str, run_id: int, interval: dict[str, str]) -> None:
        verdict = self.verdict(layer, run_id, interval)
        if verdict is not None:
            self.write(f"{OPS}/verdicts/{layer}/{run_id}.json", verdict)

    def _tasks(self, run: dict[str, Any], state: dict[str, str]) -> list[dict[str, Any]]:
        states = {"t": state}
        if run["job"] == "ecommerce_medallion":
            states |= {f"{layer}_build": {"result_state": "SUCCESS"} for layer in self.audited}
        return [
            {"task_key": key, "run_id": run["run_id"] + TASK_RUN, "attempt_number": 0, "state": of_task}
            for key, of_task in states.items()
        ]

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/api/2.2/jobs/list":
            found = [n for n in self.jobs if n == body.get("name")]
            ids = [self.jobs[n] for n in found] + ([self.doubled_job_id] if self.doubled_job_id and found else [])
            jobs = [{"job_id": job_id, "settings": {"name": body["name"]}} for job_id in ids]
            return 200, {"jobs": jobs} if jobs else {}  # an empty list is left out
        if path == "/api/2.2/jobs/run-now":
            token = body.get("idempotency_token", "")
            if token not in self.tokens:
                run_id = 1000 + len(self.runs)
                self.tokens[token] = run_id
                job = next(n for n, j in self.jobs.items() if j == int(body["job_id"]))
                self.runs[run_id] = {
                    "run_id": run_id,
                    "job": job,
                    "parameters": body.get("job_parameters", {}),
                    "token": token,
                    "started": time.monotonic(),
                    "result": None,
                }
            return 200, {"run_id": self.tokens[token]}
        if path.startswith("/api/2.2/jobs/runs/"):
            run = self.runs.get(int(body["run_id"]) % TASK_RUN)
            if run is None:
                return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}
            if path.endswith("/get-output"):
                if child := self.children.get(run["run_id"]):
                    return 200, {"error": f"Run {child} ended as FAILED", "run_job_output": {"run_id": child}}
                return 200, {"error": self.error, "metadata": {}}
            if path.endswith("/cancel"):
                self.cancelled.append(run["run_id"])
                run["result"] = run["result"] or "CANCELED"
                return 200, {}
            state = self.state(run)
            return 200, {
                "run_id": run["run_id"],
                "job_id": self.jobs[run["job"]],
                "run_page_url": f"http://127.0.0.1:{self.port}/jobs/{self.jobs[run['job']]}/runs/{run['run_id']}",
                "state": state,
                "tasks": self._tasks(run, state),
            }
        if path.startswith("/api/2.0/fs/files/"):
            content = self.files.get(unquote(path.removeprefix("/api/2.0/fs/files")))
            return (200, content) if content is not None else (404, {"error_code": "NOT_FOUND", "message": "no file"})
        if path.startswith("/api/2.0/fs/directories/"):
            folder = unquote(path.removeprefix("/api/2.0/fs/directories"))
            parent, _, name = folder.rpartition("/")
            names = self.folders.get(folder, ["orders.csv"] if name in self.folders.get(parent, []) else None)
            if names is None:
                return 404, {"error_code": "NOT_FOUND", "message": "no folder"}
            start = int(body.get("page_token") or 0)
            page: dict[str, Any] = {
                "contents": [
                    {"name": n, "path": f"{folder}/{n}"}
                    | ({"is_directory": True} if n.startswith("dt=") and "." not in n else self._file(f"{folder}/{n}"))
                    for n in names[start : start + self.page_size]
                ]
            }
            if start + self.page_size < len(names):
                page["next_page_token"] = str(start + self.page_size)
            return 200, page
        return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": path}

    def _handler(workspace) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                url = urlsplit(self.path)
                body: dict[str, Any] = {k: v[0] for k, v in parse_qs(url.query).items()}
                if length := int(self.headers.get("Content-Length") or 0):
                    body.update(json.loads(self.rfile.read(length)))
                kind, headers = "application/json", dict[str, str]()
                answer: Any
                if url.path == SIGN_IN:
                    status, answer, kind = 200, PAGE, "text/html"
                elif spoilt := workspace.spoil(self.command, url.path):
                    status, answer, kind, headers = spoilt
                elif self.headers.get("Authorization") != f"Bearer {workspace.token}":
                    status, answer = 401, {"error_code": "UNAUTHENTICATED", "message": "no token"}
                else:
                    with workspace.lock:
                        workspace.requests.append((self.command, url.path))
                        status, answer = workspace._answer(self.command, url.path, body)
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _serve  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
