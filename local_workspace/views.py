"""Jobs and runs as the API shows them."""

from typing import Any

from local_workspace.store import TERMINAL, Row, Store

_TERMINATION = {
    "SUCCESS": ("SUCCESS", "SUCCESS"),
    "FAILED": ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "CANCELED": ("USER_CANCELED", "SUCCESS"),
    "TIMEDOUT": ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "UPSTREAM_FAILED": ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "UPSTREAM_CANCELED": ("USER_CANCELED", "SUCCESS"),
    "MAXIMUM_CONCURRENT_RUNS_REACHED": ("MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR"),
}


def job_view(job: Row, *, expanded: bool = True) -> dict[str, Any]:
    settings = dict(job["settings"])
    if not expanded:
        for field in ("tasks", "environments", "parameters"):
            settings.pop(field, None)
    return {
        "job_id": job["job_id"],
        "creator_user_name": job["creator"],
        "run_as_user_name": job["creator"],
        "created_time": job["created"],
        "settings": settings,
    }


def run_page_url(base_url: str, run: Row, task: Row | None = None) -> str:
    page = f"{base_url}/jobs/{run['job_id']}/runs/{run['run_id']}"
    return f"{page}#task-{task['task_key']}" if task else page


def state_view(row: Row) -> dict[str, Any]:
    state: dict[str, Any] = {"life_cycle_state": row["life_cycle"], "state_message": row["message"] or ""}
    if row["result"]:
        state["result_state"] = row["result"]
    if row["life_cycle"] == "QUEUED":
        state["queue_reason"] = row["message"]
    state["user_cancelled_or_timedout"] = row["result"] in ("CANCELED", "TIMEDOUT")
    return state


def status_view(row: Row) -> dict[str, Any]:
    """The newer form of the state, in API 2.2 beside the older."""
    if row["life_cycle"] not in TERMINAL:
        view: dict[str, Any] = {"state": row["life_cycle"]}
        if row["life_cycle"] == "QUEUED":
            view["queue_details"] = {"code": "MAX_CONCURRENT_RUNS_REACHED", "message": row["message"]}
        return view
    code, kind = _TERMINATION.get(row["result"] or "", ("INTERNAL_ERROR", "INTERNAL_ERROR"))
    if row["life_cycle"] == "SKIPPED":
        code = "SKIPPED" if row["result"] is None else code
    return {"state": "TERMINATED", "termination_details": {"code": code, "type": kind, "message": row["message"] or ""}}


def _times(row: Row) -> dict[str, Any]:
    started, ended = row["started"], row["ended"]
    entered = row.get("process_started") or started  # a task's process calls the entry point after its imports
    return {
        "start_time": started or row["created"],
        "end_time": ended or 0,
        "setup_duration": (entered - started) if started else 0,
        "execution_duration": (ended - entered) if started and ended else 0,
        "cleanup_duration": 0,
        "queue_duration": max(0, (started or ended or row["created"]) - row["created"]),
        "run_duration": (ended - row["created"]) if ended else 0,
    }


def task_view(run: Row, task: Row, base_url: str) -> dict[str, Any]:
    settings: dict[str, Any] = next((s for s in run["settings"]["tasks"] if s["task_key"] == task["task_key"]), {})
    return {
        **{name: value for name, value in settings.items() if name not in ("max_retries", "timeout_seconds")},
        "task_key": task["task_key"],
        "run_id": task["run_id"],
        "attempt_number": task["attempt"],
        "state": state_view(task),
        "status": status_view(task),
        "run_page_url": run_page_url(base_url, run, task),
        **_times(task),
    }


def run_view(store: Store, run: Row, base_url: str, *, history: bool = False, tasks: bool = True) -> dict[str, Any]:
    rows = store.tasks_of(run["run_id"])
    view: dict[str, Any] = {
        "job_id": run["job_id"],
        "run_id": run["run_id"],
        "original_attempt_run_id": run["run_id"],
        "number_in_job": run["run_id"],
        "creator_user_name": "local@localhost",
        "run_name": run["job_name"],
        "run_type": "JOB_RUN",
        "format": "MULTI_TASK",
        "trigger": "ONE_TIME",
        "state": state_view(run),
        "status": status_view(run),
        "run_page_url": run_page_url(base_url, run),
        "job_parameters": run["parameters"],
        **_times(run),
    }
    if tasks:
        view["tasks"] = [task_view(run, row, base_url) for row in rows]
    if history:
        view["repair_history"] = _history(run, rows)
    return view


def _history(run: Row, tasks: list[Row]) -> list[dict[str, Any]]:
    repairs = run["repairs"]
    first_state = repairs[0]["before"] if repairs else {"state": state_view(run), "end_time": run["ended"]}
    original = {
        "type": "ORIGINAL",
        "start_time": run["started"] or run["created"],
        "end_time": first_state["end_time"] or 0,
        "state": first_state["state"],
        "task_run_ids": [task["run_id"] for task in tasks if task["repair_id"] is None],
    }
    history = [original]
    for repair in repairs:
        shown = {name: value for name, value in repair.items() if name != "before"}
        history.append({"type": "REPAIR", "state": state_view(run), "end_time": 0, **shown})
    return history


def single_task_view(run: Row, task: Row, base_url: str) -> dict[str, Any]:
    """A task run, asked for by its own id, looks like a run."""
    view = task_view(run, task, base_url)
    return {**view, "job_id": run["job_id"], "parent_run_id": run["run_id"], "run_type": "JOB_RUN"} | {
        "run_name": task["task_key"],
        "job_run_id": run["run_id"],
        "job_parameters": run["parameters"],
    }
