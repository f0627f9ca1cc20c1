"""Jobs and runs as the API shows them."""

from typing import Any

from local_workspace.entities import Execution, Job, LifeCycle, Result, Run, RunParameter, TaskRun
from local_workspace.users import USER_NAME

Json = dict[str, Any]
_TERMINATION = {
    Result.SUCCESS: ("SUCCESS", "SUCCESS"),
    Result.FAILED: ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    Result.CANCELED: ("USER_CANCELED", "SUCCESS"),
    Result.TIMEDOUT: ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    Result.UPSTREAM_FAILED: ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    Result.UPSTREAM_CANCELED: ("USER_CANCELED", "SUCCESS"),
    Result.EXCLUDED: ("SKIPPED", "SUCCESS"),
    Result.MAXIMUM_CONCURRENT_RUNS_REACHED: ("MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR"),
}
"""By result: the code and the type of `termination_details`."""


def job_view(job: Job, *, expanded: bool = True) -> Json:
    """Show a job. `expanded` adds what a list of jobs leaves out: tasks, environments and parameters."""
    settings = job.settings.as_json()
    if not expanded:
        for field in ("tasks", "environments", "parameters"):
            settings.pop(field, None)
    return {
        "job_id": job.job_id,
        "creator_user_name": job.creator,
        "run_as_user_name": job.creator,
        "created_time": job.created,
        "settings": settings,
    }


def run_view(
    run: Run, task_runs: list[TaskRun], base_url: str, *, history: bool = False, expanded: bool = True
) -> Json:
    """Show a run. `expanded` adds the tasks, `history` the repairs. `task_runs` are all attempts of all tasks."""
    view: Json = {
        "job_id": run.job_id,
        "run_id": run.run_id,
        "original_attempt_run_id": run.run_id,
        "number_in_job": run.run_id,
        "creator_user_name": USER_NAME,
        "run_name": run.job_name,
        "run_type": "JOB_RUN",
        "format": "MULTI_TASK",
        "trigger": "ONE_TIME",
        "run_page_url": _run_page_url(base_url, run),
        "job_parameters": [_parameter_view(parameter) for parameter in run.parameters],
        **_execution_view(run, run.started),
    }
    if expanded:
        view["tasks"] = [_task_view(run, task_run, base_url) for task_run in task_runs]
    if history:
        view["repair_history"] = _history(run, task_runs)
    return view


def task_run_view(run: Run, task_run: TaskRun, base_url: str) -> Json:
    """Show a task run that was asked for by its own id: it looks like a run."""
    return _task_view(run, task_run, base_url) | {
        "job_id": run.job_id,
        "parent_run_id": run.run_id,
        "run_type": "JOB_RUN",
        "run_name": task_run.task_key,
        "job_run_id": run.run_id,
        "job_parameters": [_parameter_view(parameter) for parameter in run.parameters],
    }


def _task_view(run: Run, task_run: TaskRun, base_url: str) -> Json:
    settings = run.settings.task(task_run.task_key)
    shown = settings.model_dump(mode="json", exclude_unset=True) if settings else {}
    if task_run.outcome:
        left, right = task_run.parameters
        shown["condition_task"] = shown.get("condition_task", {}) | {"left": left, "right": right}
        shown["condition_task"]["outcome"] = task_run.outcome
    if task_run.child_run_id and "run_job_task" in shown:
        shown["run_job_task"] |= {"run_id": task_run.child_run_id}
    return {
        **{name: value for name, value in shown.items() if name not in ("max_retries", "timeout_seconds")},
        "task_key": task_run.task_key,
        "run_id": task_run.run_id,
        "attempt_number": task_run.attempt,
        "run_page_url": f"{_run_page_url(base_url, run)}#task-{task_run.task_key}",
        **_execution_view(task_run, task_run.process_started or task_run.started),
    }


def _run_page_url(base_url: str, run: Run) -> str:
    return f"{base_url}/jobs/{run.job_id}/runs/{run.run_id}"


def _parameter_view(parameter: RunParameter) -> Json:
    view = {"name": parameter.name, "value": parameter.value}
    return view if parameter.default is None else view | {"default": parameter.default}


def _execution_view(execution: Execution, work_started: int | None) -> Json:
    """Show state and times. `work_started` is the end of the set-up: the moment of the call of the entry point, say."""
    created, started, ended = execution.created, execution.started, execution.ended
    return {
        "state": _state_view(execution),
        "status": _status_view(execution),
        "start_time": started or created,
        "end_time": ended or 0,
        "setup_duration": work_started - started if started and work_started else 0,
        "execution_duration": ended - work_started if ended and work_started else 0,
        "cleanup_duration": 0,
        "queue_duration": max(0, (started or ended or created) - created),
        "run_duration": ended - created if ended else 0,
    }


def _state_view(execution: Execution) -> Json:
    state: Json = {"life_cycle_state": execution.life_cycle, "state_message": execution.message}
    if execution.result:
        state["result_state"] = execution.result
    if execution.life_cycle == LifeCycle.QUEUED:
        state["queue_reason"] = execution.message
    state["user_cancelled_or_timedout"] = execution.result in (Result.CANCELED, Result.TIMEDOUT)
    return state


def _status_view(execution: Execution) -> Json:
    """Show the newer form of the state, which API 2.2 has beside the older one."""
    if not execution.is_over:
        view: Json = {"state": execution.life_cycle}
        if execution.life_cycle == LifeCycle.QUEUED:
            view["queue_details"] = {"code": "MAX_CONCURRENT_RUNS_REACHED", "message": execution.message}
        return view
    code, kind = _TERMINATION[execution.result] if execution.result else ("INTERNAL_ERROR", "INTERNAL_ERROR")
    return {"state": "TERMINATED", "termination_details": {"code": code, "type": kind, "message": execution.message}}


def _history(run: Run, task_runs: list[TaskRun]) -> list[Json]:
    """List the original attempt and each repair. Each ended as the next repair found it, the last as the run is now."""
    executions: list[Execution] = [*(repair.before for repair in run.repairs), run]
    original = [task_run.run_id for task_run in task_runs if task_run.repair_id is None]
    attempts: list[Json] = [{"type": "ORIGINAL", "start_time": run.started or run.created, "task_run_ids": original}]
    attempts += [
        {"type": "REPAIR", "id": repair.id, "start_time": repair.start_time, "task_run_ids": repair.task_run_ids}
        for repair in run.repairs
    ]
    return [
        attempt | {"state": _state_view(execution), "end_time": execution.ended or 0}
        for attempt, execution in zip(attempts, executions, strict=True)
    ]
