"""A small client of Airflow's REST API, version 2: start runs, follow them, read logs."""

from __future__ import annotations

import time
import urllib.parse
from datetime import UTC, datetime
from typing import Any

from laptop.airflow_settings import USER
from laptop.laptop_state import LaptopState
from machine.command_line import UserError
from machine.http_client import HttpClient, HttpError

FINAL_RUN_STATES = ("success", "failed")
ATTEMPTS = 3


class AirflowClient:
    """Requests to the API server of one state folder, as its one user. Every method but `health` raises HttpError."""

    def __init__(self, state: LaptopState) -> None:
        self._state = state
        self._http = HttpClient("Airflow", state.airflow_url)

    def health(self) -> dict[str, str]:
        """Return the state of each component, such as {"scheduler": "healthy"}; empty if nothing answers."""
        try:
            components = self._http.call("GET", "/api/v2/monitor/health", timeout=10)
        except HttpError:
            return {}
        return {name: str(component.get("status")) for name, component in components.items()}

    def get(self, path: str, **query: Any) -> Any:
        """Return the answer to a GET below /api/v2."""
        text = urllib.parse.urlencode(query, doseq=True)
        return self.call("GET", f"{path}?{text}" if text else path)

    def ensure_pool(self, name: str, slots: int) -> None:
        """Make a pool that counts deferred tasks; an existing one stays as it is."""
        try:
            self.get(f"/pools/{name}")
        except HttpError as error:
            if error.status != 404:
                raise
            description = "Job runs at a time, deferred tasks included"
            body = {"name": name, "slots": slots, "include_deferred": True, "description": description}
            self.call("POST", "/pools", body)

    def wait_for_dag(self, dag_id: str, seconds: float = 90.0) -> dict[str, Any]:
        """Return the DAG, as soon as the dag-processor has read its file. Raises UserError after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return dict(self.get(f"/dags/{dag_id}"))
            except HttpError as error:
                if error.status != 404:
                    raise
            errors = self.get("/importErrors")["import_errors"]
            if errors:
                lines = str(errors[0]["stack_trace"]).strip().splitlines()
                raise UserError(f"the DAG file {errors[0]['filename']} cannot be read: {lines[-1] if lines else ''}")
            if time.monotonic() > deadline:
                raise UserError(f"Airflow has not found the DAG {dag_id} after {seconds:.0f} s; see dag-processor.log.")
            time.sleep(0.5)

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG; again where the server gave up a commit, as it may while many tasks start."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})
            except HttpError as error:
                if error.status != 500 or attempt == ATTEMPTS:
                    raise
            else:
                return

    def trigger(self, dag_id: str, start: datetime, end: datetime, note: str) -> str:
        """Start a run over a data interval, and return its id."""
        # The logical date only names the run: two runs of one DAG must differ in it.
        body = {
            "logical_date": datetime.now(UTC).isoformat(),
            "data_interval_start": start.isoformat(),
            "data_interval_end": end.isoformat(),
            "note": note,
        }
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return dict(self.get(f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}"))

    def tasks(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the DAG's tasks, upstream tasks first."""
        tasks = {task["task_id"]: task for task in self.get(f"/dags/{dag_id}/tasks")["tasks"]}
        downstream = {task_id: task["downstream_task_ids"] for task_id, task in tasks.items()}
        return [tasks[task_id] for task_id in upstream_first(downstream)]

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances"
        return list(self.get(path, limit=1000)["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return the value of a task's XCom, or None."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self.get(path, deserialize="false")["value"]
        except HttpError as error:
            if error.status == 404:
                return None
            raise

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[dict[str, Any]]:
        """Return the events of one try's log."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/logs/{try_number}"
        content = self.get(path, full_content="true", map_index=-1)["content"]
        return [event if isinstance(event, dict) else {"event": str(event)} for event in content]

    def run_page(self, dag_id: str, run_id: str) -> str:
        return f"{self._state.airflow_url}/dags/{dag_id}/runs/{urllib.parse.quote(run_id, safe='')}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer to a request below /api/v2; log in first where that is needed."""
        if self._http.token is not None:
            try:
                return self._http.call(method, f"/api/v2{path}", body)
            except HttpError as error:
                if error.status != 401:  # else the token has expired
                    raise
        self._http.token = None
        login = {"username": USER, "password": self._state.secret("airflow_password")}
        self._http.token = str(self._http.call("POST", "/auth/token", login)["access_token"])
        return self._http.call(method, f"/api/v2{path}", body)


def upstream_first(downstream: dict[str, list[str]]) -> list[str]:
    """Return the task ids, each after all of its upstream tasks; `downstream` gives the direct ones.

    Ties keep their order.
    """
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


def _quoted(run_id: str) -> str:
    return urllib.parse.quote(run_id, safe="")
