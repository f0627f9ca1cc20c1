"""A small client of Airflow's REST API (v2): start runs, follow them, read logs."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from typing import Any

from laptop.airflow_settings import USER
from laptop.problems import Problem
from laptop.state import State

FINAL_RUN_STATES = ("success", "failed")


class AirflowError(Problem):
    """Airflow refused a request; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class AirflowClient:
    """Talks to the API server of one state folder as its one user."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._token: str | None = None

    def health(self) -> dict[str, str]:
        """The state of each component, such as {"scheduler": "healthy"}; empty if nothing answers."""
        try:
            answer = self._send("GET", "/api/v2/monitor/health", None, None)
        except (OSError, ValueError):
            return {}
        return {name: str(part.get("status")) for name, part in answer.items()}

    def get(self, path: str, **query: Any) -> Any:
        """GET below /api/v2."""
        text = urllib.parse.urlencode(query, doseq=True)
        return self._call("GET", f"{path}?{text}" if text else path)

    def ensure_pool(self, name: str, slots: int) -> None:
        """A pool that counts deferred tasks; one that is there is left as it is."""
        try:
            self.get(f"/pools/{name}")
        except AirflowError as error:
            if error.status != 404:
                raise
            description = "Job runs at a time, deferred tasks included"
            body = {"name": name, "slots": slots, "include_deferred": True, "description": description}
            self._call("POST", "/pools", body)

    def wait_for_dag(self, dag_id: str, seconds: float = 90.0) -> dict[str, Any]:
        """The DAG, as soon as the dag-processor has read its file."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return dict(self.get(f"/dags/{dag_id}"))
            except AirflowError as error:
                if error.status != 404:
                    raise
            errors = self.get("/importErrors")["import_errors"]
            if errors:
                lines = str(errors[0]["stack_trace"]).strip().splitlines()
                raise Problem(f"the DAG file {errors[0]['filename']} cannot be read: {lines[-1] if lines else ''}")
            if time.monotonic() > deadline:
                raise Problem(f"Airflow has not found the DAG {dag_id} after {seconds:.0f} s; see dag-processor.log.")
            time.sleep(0.5)

    def unpause(self, dag_id: str) -> None:
        self._call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})

    def trigger(self, dag_id: str, start: datetime, end: datetime, note: str) -> str:
        """Start a run over a data interval; the id of the run."""
        # The logical date only names the run: two runs of one DAG must differ in it.
        body = {
            "logical_date": datetime.now(UTC).isoformat(),
            "data_interval_start": start.isoformat(),
            "data_interval_end": end.isoformat(),
            "note": note,
        }
        return str(self._call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return dict(self.get(f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}"))

    def clear_run(self, dag_id: str, run_id: str) -> None:
        """Clear a finished run, so that all its tasks run again."""
        self._call("POST", f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/clear", {"dry_run": False})

    def tasks(self, dag_id: str) -> list[dict[str, Any]]:
        """The DAG's tasks, each after those that it waits for."""
        tasks = {task["task_id"]: task for task in self.get(f"/dags/{dag_id}/tasks")["tasks"]}
        return [tasks[task_id] for task_id in in_order({k: t["downstream_task_ids"] for k, t in tasks.items()})]

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances"
        return list(self.get(path, limit=1000)["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """A value that a task has left, or None."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self.get(path, deserialize="false")["value"]
        except AirflowError as error:
            if error.status == 404:
                return None
            raise

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[dict[str, Any]]:
        """The events of one try's log."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/logs/{try_number}"
        content = self.get(path, full_content="true", map_index=-1)["content"]
        return [event if isinstance(event, dict) else {"event": str(event)} for event in content]

    def run_page(self, dag_id: str, run_id: str) -> str:
        return f"{self._state.airflow_url}/dags/{dag_id}/runs/{urllib.parse.quote(run_id, safe='')}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        for attempt in (1, 2):
            if self._token is None:
                login = {"username": USER, "password": self._state.secret("airflow_password")}
                self._token = str(self._send("POST", "/auth/token", login, None)["access_token"])
            try:
                return self._send(method, f"/api/v2{path}", body, self._token)
            except urllib.error.HTTPError as error:
                if error.code == 401 and attempt == 1:
                    self._token = None  # it has expired: log in again
                    continue
                raise AirflowError(error.code, f"Airflow answered {method} {path}: {_detail(error)}") from None
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                raise AirflowError(0, f"Airflow at {self._state.airflow_url} does not answer ({error}).") from None
        raise AssertionError("unreachable")

    def _send(self, method: str, path: str, body: Any, token: str | None) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._state.airflow_url + path, data, headers, method=method)
        # Never through a proxy: this is our own machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else {}


def in_order(downstream: dict[str, list[str]]) -> list[str]:
    """Task ids such that each comes after those that lead to it; ties stay in the given order."""
    waiting = dict.fromkeys(downstream, 0)
    for followers in downstream.values():
        for follower in followers:
            waiting[follower] += 1
    ordered: list[str] = []
    ready = [task for task, count in waiting.items() if count == 0]
    while ready:
        task = ready.pop(0)
        ordered.append(task)
        for follower in downstream[task]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
    return ordered


def _detail(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {text[:300]}"
    return f"{error.code} {detail if isinstance(detail, str) else json.dumps(detail)[:500]}"


def _quoted(run_id: str) -> str:
    return urllib.parse.quote(run_id, safe="")
