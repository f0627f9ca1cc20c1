"""The routes of the Jobs API, 2.1 and 2.2."""

from typing import Any

from fastapi import APIRouter, Request

from local_workspace.arguments import Arguments, page_of
from local_workspace.errors import invalid, no_such_run
from local_workspace.jobs import Jobs
from local_workspace.redaction import Redactor
from local_workspace.runner import Runner
from local_workspace.store import TERMINAL, Row, Store
from local_workspace.views import job_view, run_view, single_task_view

_LOG_SHOWN = 1024 * 1024


def jobs_router(jobs: Jobs, store: Store, runner: Runner, redactor: Redactor) -> APIRouter:
    router = APIRouter()

    def base_url(request: Request) -> str:
        return str(request.base_url).rstrip("/")

    @router.post("/{version}/jobs/create")
    async def create(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        return {"job_id": jobs.create(arguments.all())}

    @router.post("/{version}/jobs/reset")
    async def reset(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        job_id, settings = arguments.required_integer("job_id"), arguments.take("new_settings")
        arguments.done()
        if not isinstance(settings, dict):
            raise invalid("new_settings is missing.")
        jobs.reset(job_id, settings)
        return {}

    @router.post("/{version}/jobs/update")
    async def update(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        job_id, changes = arguments.required_integer("job_id"), arguments.take("new_settings", {})
        removed = arguments.names("fields_to_remove") or []
        arguments.done()
        if not isinstance(changes, dict):
            raise invalid("new_settings must be an object.")
        jobs.update(job_id, changes, removed)
        return {}

    @router.get("/{version}/jobs/get")
    async def get(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        job_id, _ = arguments.required_integer("job_id"), arguments.take("page_token")
        arguments.done()
        return job_view(jobs.job(job_id))

    @router.get("/{version}/jobs/list")
    async def list_jobs(version: str, request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        limit = arguments.integer("limit", 20, 1, 100) or 20
        name, expanded = arguments.text("name"), arguments.flag("expand_tasks")
        token, offset = arguments.text("page_token"), arguments.integer("offset", 0) or 0
        arguments.flag("include_user_names")  # what Airflow's provider sends; names are always given
        arguments.done()
        page, more = page_of(jobs.named(name)[offset:], limit, token)
        answer: dict[str, Any] = {"jobs": [job_view(job, expanded=expanded) for job in page]} if page else {}
        if more:
            answer["next_page_token"] = more
        return answer | ({"has_more": more is not None} if version == "2.1" else {})

    @router.post("/{version}/jobs/delete")
    async def delete(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        job_id = arguments.required_integer("job_id")
        arguments.done()
        jobs.delete(job_id)
        return {}

    @router.post("/{version}/jobs/run-now")
    async def run_now(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        job_id = arguments.required_integer("job_id")
        token = arguments.take("idempotency_token")
        given = arguments.text_map("job_parameters")
        queue = arguments.take("queue")
        arguments.take("performance_target")
        arguments.done()
        if token is not None and (not isinstance(token, str) or len(token) > 64):
            raise invalid("idempotency_token must be a string of at most 64 characters.")
        if queue is not None and (not isinstance(queue, dict) or not isinstance(queue.get("enabled"), bool)):
            raise invalid('queue must be {"enabled": true} or {"enabled": false}.')
        run_id, number = jobs.run_now(job_id, given, token, queue["enabled"] if queue else None)
        return {"run_id": run_id, "number_in_job": number}

    def one_run(request: Request, run_id: int, *, history: bool) -> dict[str, Any]:
        task = store.task_run(run_id)
        if task:
            return single_task_view(jobs.run(task["parent_run_id"]), task, base_url(request))
        return run_view(store, jobs.run(run_id), base_url(request), history=history)

    @router.get("/{version}/jobs/runs/get")
    async def get_run(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        run_id = arguments.required_integer("run_id")
        history = arguments.flag("include_history")
        for ignored in ("page_token", "include_resolved_values"):  # all tasks are on the first page
            arguments.take(ignored)
        arguments.done()
        return one_run(request, run_id, history=history)

    @router.get("/{version}/jobs/runs/list")
    async def list_runs(version: str, request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        limit = arguments.integer("limit", 20, 1, 26) or 20
        job_id, token = arguments.integer("job_id"), arguments.text("page_token")
        active, completed = arguments.flag("active_only"), arguments.flag("completed_only")
        expanded, kind = arguments.flag("expand_tasks"), arguments.take("run_type", "JOB_RUN")
        earliest = arguments.integer("start_time_from", 0) or 0
        latest = arguments.integer("start_time_to", 2**62) or 2**62
        offset = arguments.integer("offset", 0) or 0
        arguments.done()
        if active and completed:
            raise invalid("active_only and completed_only exclude each other.")
        found = []
        rows = store.all(
            "select run_id, job_id, life_cycle, created from runs where ? is null or job_id = ? order by run_id desc",
            job_id,
            job_id,
        )
        for row in rows:
            ended = row["life_cycle"] in TERMINAL
            fits = kind == "JOB_RUN" and earliest <= row["created"] <= latest
            if fits and not (active and ended) and not (completed and not ended):
                found.append(row["run_id"])
        page, more = page_of(found[offset:], limit, token)
        views = [run_view(store, jobs.run(run_id), base_url(request), tasks=expanded) for run_id in page]
        answer: dict[str, Any] = {"runs": views} if views else {}
        if more:
            answer["next_page_token"] = more
        return answer | ({"has_more": more is not None} if version == "2.1" else {})

    @router.get("/{version}/jobs/runs/get-output")
    async def get_output(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        run_id = arguments.required_integer("run_id")
        arguments.done()
        task = store.task_run(run_id) or _only_task(run_id)
        run = jobs.run(task["parent_run_id"])
        logs, truncated = read_log(runner, redactor, task)
        answer: dict[str, Any] = {
            "metadata": single_task_view(run, task, base_url(request)),
            "logs": logs,
            "logs_truncated": truncated,
        }
        if task["error"]:
            answer |= {"error": task["error"], "error_trace": task["error_trace"] or ""}
        return answer

    def _only_task(run_id: int) -> Row:
        if store.run(run_id) is None:
            raise no_such_run(run_id)
        tasks = store.latest_attempts(run_id)
        if len(tasks) != 1:
            raise invalid(
                "Retrieving the output of runs with multiple tasks is not supported. Please retrieve the output of "
                "each individual task run instead."
            )
        return next(iter(tasks.values()))

    @router.post("/{version}/jobs/runs/cancel")
    async def cancel(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        run_id = arguments.required_integer("run_id")
        arguments.done()
        jobs.cancel(run_id)
        return {}

    @router.post("/{version}/jobs/runs/cancel-all")
    async def cancel_all(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        job_id, queued_only = arguments.integer("job_id"), arguments.flag("all_queued_runs")
        arguments.done()
        if job_id is None and not queued_only:
            raise invalid("Give job_id, or all_queued_runs.")
        if job_id is not None:
            jobs.job(job_id)
        jobs.cancel_all(job_id, queued_only=queued_only)
        return {}

    @router.post("/{version}/jobs/runs/delete")
    async def delete_run(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        run_id = arguments.required_integer("run_id")
        arguments.done()
        jobs.delete_run(run_id)
        return {}

    @router.post("/{version}/jobs/runs/repair")
    async def repair(request: Request) -> dict[str, Any]:
        arguments = await Arguments.of(request)
        values: dict[str, Any] = {
            "rerun_tasks": arguments.names("rerun_tasks"),
            "all_failed": arguments.flag("rerun_all_failed_tasks"),
            "dependents": arguments.flag("rerun_dependent_tasks"),
            "latest_repair_id": arguments.integer("latest_repair_id"),
            "given": arguments.text_map("job_parameters"),
        }
        run_id = arguments.required_integer("run_id")
        arguments.take("performance_target")
        arguments.done()
        return {"repair_id": jobs.repair(run_id, **values)}

    return router


def read_log(runner: Runner, redactor: Redactor, task: Row, most: int = _LOG_SHOWN) -> tuple[str, bool]:
    """The end of a task's log, and whether something before it was left out."""
    try:
        with runner.log_file(task).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most))
            return redactor.text(file.read().decode("utf-8", "replace")), size > most
    except OSError:
        return "", False
