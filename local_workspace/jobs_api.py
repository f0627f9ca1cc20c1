"""The routes of the Jobs API, 2.1 and 2.2, each with its arguments."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from local_workspace.api_errors import invalid, no_such_run
from local_workspace.arguments import Arguments, Flag, Number, page_of, read_values
from local_workspace.entities import TaskRun
from local_workspace.job_settings import Queue
from local_workspace.jobs import Jobs
from local_workspace.runner import Runner
from local_workspace.store import Store
from local_workspace.views import Json, job_view, run_view, task_run_view

_LOG_LIMIT = 1024**2
"""Bytes of a task's log that `runs/get-output` returns, as in the real API."""


class JobId(Arguments):
    job_id: Number


class RunId(Arguments):
    run_id: Number


class Reset(JobId):
    new_settings: dict[str, Any]


class Update(JobId):
    new_settings: dict[str, Any] = Field(default_factory=dict)
    fields_to_remove: list[str] = Field(default_factory=list)


class GetJob(JobId):
    page_token: Any = None  # the first page has everything


class Page(Arguments):
    limit: Annotated[Number, Field(ge=1, le=100)] = 20
    page_token: str = ""
    offset: Number = 0
    expand_tasks: Flag = False


class ListJobs(Page):
    name: str = ""
    include_user_names: Flag = False  # sent by Airflow's provider; names are always given


class RunNow(JobId):
    idempotency_token: Annotated[str, Field(max_length=64)] = ""
    job_parameters: dict[str, str] = Field(default_factory=dict)
    queue: Queue | None = None
    performance_target: Any = None  # changes nothing on one machine


class GetRun(RunId):
    include_history: Flag = False
    include_resolved_values: Any = None  # parameters are always resolved
    page_token: Any = None  # the first page has everything


class ListRuns(Page):
    limit: Annotated[Number, Field(ge=1, le=26)] = 20
    job_id: Number | None = None
    active_only: Flag = False
    completed_only: Flag = False
    run_type: Any = "JOB_RUN"
    start_time_from: Number = 0
    start_time_to: Number = 2**63 - 1


class CancelAll(Arguments):
    job_id: Number | None = None
    all_queued_runs: Flag = False


class RepairRun(RunId):
    rerun_tasks: list[str] | None = None
    rerun_all_failed_tasks: Flag = False
    rerun_dependent_tasks: Flag = False
    latest_repair_id: Number | None = None
    job_parameters: dict[str, str] = Field(default_factory=dict)
    performance_target: Any = None  # changes nothing on one machine


def jobs_router(jobs: Jobs, store: Store, runner: Runner) -> APIRouter:
    router = APIRouter()

    @router.post("/{version}/jobs/create")
    async def create(request: Request) -> Json:
        return {"job_id": jobs.create(await read_values(request))}

    @router.post("/{version}/jobs/reset")
    async def reset(request: Request) -> Json:
        arguments = await Reset.read(request)
        jobs.reset(arguments.job_id, arguments.new_settings)
        return {}

    @router.post("/{version}/jobs/update")
    async def update(request: Request) -> Json:
        arguments = await Update.read(request)
        jobs.update(arguments.job_id, arguments.new_settings, arguments.fields_to_remove)
        return {}

    @router.get("/{version}/jobs/get")
    async def get(request: Request) -> Json:
        return job_view(jobs.job((await GetJob.read(request)).job_id))

    @router.get("/{version}/jobs/list")
    async def list_jobs(version: str, request: Request) -> Json:
        arguments = await ListJobs.read(request)
        found = store.jobs(arguments.name)[arguments.offset :]
        page, token = page_of(found, arguments.limit, arguments.page_token)
        views = [job_view(job, expanded=arguments.expand_tasks) for job in page]
        return _page_view(version, "jobs", views, token)

    @router.post("/{version}/jobs/delete")
    async def delete(request: Request) -> Json:
        jobs.delete((await JobId.read(request)).job_id)
        return {}

    @router.post("/{version}/jobs/run-now")
    async def run_now(request: Request) -> Json:
        arguments = await RunNow.read(request)
        queue = arguments.queue.enabled if arguments.queue else None
        run_id = jobs.run_now(arguments.job_id, arguments.job_parameters, arguments.idempotency_token, queue)
        return {"run_id": run_id, "number_in_job": run_id}

    @router.get("/{version}/jobs/runs/get")
    async def get_run(request: Request) -> Json:
        arguments = await GetRun.read(request)
        if task_run := store.task_run(arguments.run_id):
            return task_run_view(jobs.run(task_run.parent_run_id), task_run, _base_url(request))
        run = jobs.run(arguments.run_id)
        task_runs = store.task_runs(run.run_id)
        return run_view(run, task_runs, _base_url(request), history=arguments.include_history)

    @router.get("/{version}/jobs/runs/list")
    async def list_runs(version: str, request: Request) -> Json:
        arguments = await ListRuns.read(request)
        if arguments.active_only and arguments.completed_only:
            raise invalid("active_only and completed_only exclude each other.")
        found = store.run_ids(
            arguments.job_id,
            (arguments.start_time_from, arguments.start_time_to),
            active=arguments.active_only,
            completed=arguments.completed_only,
        )
        if arguments.run_type != "JOB_RUN":  # no other type exists here
            found = []
        page, token = page_of(found[arguments.offset :], arguments.limit, arguments.page_token)
        views = [
            run_view(jobs.run(run_id), store.task_runs(run_id), _base_url(request), expanded=arguments.expand_tasks)
            for run_id in page
        ]
        return _page_view(version, "runs", views, token)

    @router.get("/{version}/jobs/runs/get-output")
    async def get_output(request: Request) -> Json:
        run_id = (await RunId.read(request)).run_id
        task_run = store.task_run(run_id) or only_task_run(run_id)
        logs, truncated = runner.read_log(task_run, _LOG_LIMIT)
        view = {
            "metadata": task_run_view(jobs.run(task_run.parent_run_id), task_run, _base_url(request)),
            "logs": logs,
            "logs_truncated": truncated,
        }
        if task_run.child_run_id:
            view["run_job_output"] = {"run_id": task_run.child_run_id}
        if task_run.error:
            view |= {"error": task_run.error, "error_trace": task_run.error_trace or ""}
        return view

    def only_task_run(run_id: int) -> TaskRun:
        if store.run(run_id) is None:
            raise no_such_run(run_id)
        task_runs = list(store.latest_attempts(run_id).values())
        if len(task_runs) != 1:
            raise invalid(
                "Retrieving the output of runs with multiple tasks is not supported. Please retrieve the output of "
                "each individual task run instead."
            )
        return task_runs[0]

    @router.post("/{version}/jobs/runs/cancel")
    async def cancel(request: Request) -> Json:
        jobs.cancel((await RunId.read(request)).run_id)
        return {}

    @router.post("/{version}/jobs/runs/cancel-all")
    async def cancel_all(request: Request) -> Json:
        arguments = await CancelAll.read(request)
        if arguments.job_id is None and not arguments.all_queued_runs:
            raise invalid("Give job_id, or all_queued_runs.")
        if arguments.job_id is not None:
            jobs.job(arguments.job_id)
        jobs.cancel_all(arguments.job_id, queued_only=arguments.all_queued_runs)
        return {}

    @router.post("/{version}/jobs/runs/delete")
    async def delete_run(request: Request) -> Json:
        jobs.delete_run((await RunId.read(request)).run_id)
        return {}

    @router.post("/{version}/jobs/runs/repair")
    async def repair(request: Request) -> Json:
        arguments = await RepairRun.read(request)
        repair_id = jobs.repair(
            arguments.run_id,
            rerun_tasks=arguments.rerun_tasks,
            rerun_all_failed_tasks=arguments.rerun_all_failed_tasks,
            rerun_dependent_tasks=arguments.rerun_dependent_tasks,
            latest_repair_id=arguments.latest_repair_id,
            job_parameters=arguments.job_parameters,
        )
        return {"repair_id": repair_id}

    return router


def _base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _page_view(version: str, name: str, views: list[Json], token: str | None) -> Json:
    """Return one page of a list, as the API's version has it: an empty list is left out."""
    page: Json = {name: views} if views else {}
    if token:
        page["next_page_token"] = token
    return page | ({"has_more": token is not None} if version == "2.1" else {})
