"""Declarative pipelines: their settings, and their updates.

A pipeline is kept as a job that lists of jobs leave out, and each update as a run of it. So queueing, logs, cancelling
and restarts are those of runs. The ids of both are UUIDs of the job's and the run's number.
"""

import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local_workspace import wheels
from local_workspace.api_errors import ApiError, from_validation, invalid, unsupported
from local_workspace.entities import Job, LifeCycle, Result, Run
from local_workspace.job_settings import Deployment, EnvironmentSpec, JobSettings, NotEmpty, Notifications, RunAs
from local_workspace.jobs import Jobs
from local_workspace.paths import path_in_files
from local_workspace.runner import Runner
from local_workspace.store import Store, now_ms
from local_workspace.users import USER_NAME
from machine.state_folder import StateFolder, private_folder

_LOG_LIMIT = 1024**2
_LOGGED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d): (.*)")
_OF_UPDATE = re.compile(r"update_id\s*=\s*'([0-9a-f-]+)'")
Json = dict[str, Any]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class Included(_Settings):
    include: NotEmpty


class SourceFile(_Settings):
    path: NotEmpty


class Library(_Settings):
    glob: Included | None = None
    file: SourceFile | None = None


class PipelineSettings(_Settings):
    """What has no effect here is stored and shown, as in jobs."""

    name: NotEmpty
    catalog: NotEmpty
    schema_name: Annotated[NotEmpty, Field(alias="schema")]
    libraries: Annotated[list[Library], Field(min_length=1)]
    root_path: str = ""
    configuration: dict[str, str] = {}
    environment: EnvironmentSpec = EnvironmentSpec()
    tags: dict[str, str] = {}
    serverless: bool = False
    photon: bool = False
    development: bool = False
    continuous: Literal[False] = False
    channel: Literal["CURRENT", "PREVIEW"] = "CURRENT"
    edition: str = ""
    deployment: Deployment | None = None
    run_as: RunAs = RunAs()
    notifications: Notifications = None
    allow_duplicate_names: bool = False
    dry_run: Literal[False] = False
    id: str = ""
    pipeline_id: str = ""

    @classmethod
    def parse(cls, settings: Json) -> Self:
        """Parse the settings. Raises ApiError, which names the first fault."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise from_validation(error, "field") from error

    def as_json(self) -> Json:
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def specification(settings: Mapping[str, Any], includes: Sequence[str], storage: Path) -> Json:
    """Return what Spark's own program reads: `includes` are the definitions, relative to the file of the specification.

    The tables are Delta's by the default source: where a definition names the format, the second update fails.
    """
    return {
        "name": settings["name"],
        "storage": storage.as_uri(),
        "catalog": settings["catalog"],
        "schema": settings["schema"],
        "configuration": {**settings["configuration"], "spark.sql.sources.default": "delta"},
        "libraries": [{"glob": {"include": include}} for include in includes],
    }


class Pipelines:
    """Each method either does the whole thing or raises ApiError. Ids are those of the API, as texts."""

    def __init__(self, state: StateFolder, store: Store, jobs: Jobs, runner: Runner) -> None:
        self._state = state
        self._store = store
        self._jobs = jobs
        self._runner = runner

    def create(self, settings: Json) -> str:
        """Define a pipeline, and return its id."""
        parsed = PipelineSettings.parse(settings)
        job_id = self._store.new_id()
        as_job, digests = self._as_job(parsed, job_id)
        self._store.insert(
            Job(
                job_id=job_id,
                name=parsed.name,
                settings=as_job,
                wheels=digests,
                creator=USER_NAME,
                created=now_ms(),
                pipeline=parsed.as_json(),
            )
        )
        return _as_uuid(job_id)

    def edit(self, pipeline_id: str, settings: Json) -> None:
        """Replace the settings."""
        job = self._job(pipeline_id)
        parsed = PipelineSettings.parse(settings)
        as_job, digests = self._as_job(parsed, job.job_id)
        self._store.update(job, name=parsed.name, settings=as_job, wheels=digests, pipeline=parsed.as_json())

    def delete(self, pipeline_id: str) -> None:
        """Delete the pipeline and its checkpoints. Unlike on Databricks its tables stay."""
        job = self._job(pipeline_id)
        self._jobs.cancel_all(job.job_id, queued_only=False)
        self._store.update(job, deleted=True)
        shutil.rmtree(self._folder(job.job_id), ignore_errors=True)

    def view(self, pipeline_id: str) -> Json:
        job = self._job(pipeline_id)
        return {
            **self._short_view(job),
            "spec": {**(job.pipeline or {}), "id": pipeline_id},
            "last_modified": job.created,
        }

    def views(self) -> list[Json]:
        """Show all pipelines, the newest first."""
        return [self._short_view(job) for job in self._store.pipelines()]

    def start_update(self, pipeline_id: str, *, full_refresh: bool, validate_only: bool) -> str:
        job = self._job(pipeline_id)
        if self._store.active_run_count(job.job_id):
            raise ApiError(
                409, "RESOURCE_CONFLICT", f"An update of pipeline {pipeline_id} is active: stop it, or wait."
            )
        given = {"full_refresh": str(full_refresh).lower(), "validate_only": str(validate_only).lower()}
        return _as_uuid(self._jobs.run_now(job.job_id, given))

    def update_view(self, pipeline_id: str, update_id: str) -> Json:
        return self._update_view(self._update(pipeline_id, update_id))

    def update_views(self, pipeline_id: str) -> list[Json]:
        """Show the newest updates."""
        runs = self._store.runs(job_id=self._job(pipeline_id).job_id, limit=100)
        return [self._update_view(run) for run in runs]

    def stop(self, pipeline_id: str) -> None:
        """Ask the active update to stop. None is no error."""
        self._jobs.cancel_all(self._job(pipeline_id).job_id, queued_only=False)

    def events(self, pipeline_id: str, condition: str) -> list[Json]:
        """Show what the updates have reported, the newest first: of one update where the condition names it."""
        found = _OF_UPDATE.search(condition)
        if found:
            runs = [self._update(pipeline_id, found.group(1))]
        elif condition:
            raise unsupported(f"the filter {condition!r}: only update_id = '...'")
        else:
            runs = self._store.runs(job_id=self._job(pipeline_id).job_id, limit=25)
        return [event for run in runs for event in reversed(list(self._events_of(pipeline_id, run)))]

    def _events_of(self, pipeline_id: str, run: Run) -> Iterator[Json]:
        (task_run,) = self._store.latest_attempts(run.run_id).values()
        logged, _ = self._runner.read_log(task_run, _LOG_LIMIT)
        origin = {"pipeline_id": pipeline_id, "pipeline_name": run.job_name, "update_id": _as_uuid(run.run_id)}
        entries = [found.groups() for line in logged.splitlines() if (found := _LOGGED.fullmatch(line))]
        for number, (moment, message) in enumerate(entries):
            yield {
                "id": f"{run.run_id}-{number}",
                "timestamp": f"{moment.replace(' ', 'T')}.000Z",
                "event_type": "flow_progress" if message.startswith("Flow ") else "update_progress",
                "level": "INFO",
                "maturity_level": "STABLE",
                "message": message,
                "origin": origin,
            }
        if run.is_over and run.result != Result.SUCCESS:
            ended = datetime.fromtimestamp((run.ended or run.created) / 1000).astimezone().isoformat()
            message = task_run.error or run.message or f"The update ended as {run.result}."
            yield {
                "id": f"{run.run_id}-end",
                "timestamp": ended,
                "event_type": "update_progress",
                "level": "ERROR",
                "maturity_level": "STABLE",
                "message": message,
                "error": {"exceptions": [{"message": message}], "fatal": True},
                "origin": origin,
            }

    def _job(self, pipeline_id: str) -> Job:
        job = self._store.job(number_of(pipeline_id))
        if job is None or job.pipeline is None:
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"The specified pipeline {pipeline_id} was not found.")
        return job

    def _update(self, pipeline_id: str, update_id: str) -> Run:
        run = self._store.run(number_of(update_id))
        if run is None or run.job_id != self._job(pipeline_id).job_id:
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Pipeline {pipeline_id} has no update {update_id}.")
        return run

    def _short_view(self, job: Job) -> Json:
        runs = self._store.runs(job_id=job.job_id, limit=5)
        newest = [
            {"update_id": view["update_id"], "state": view["state"], "creation_time": _iso(view["creation_time"])}
            for view in map(self._update_view, runs)
        ]
        active = any(not run.is_over for run in runs)
        return {
            "pipeline_id": _as_uuid(job.job_id),
            "name": job.name,
            "state": "RUNNING" if active else "FAILED" if newest and newest[0]["state"] == "FAILED" else "IDLE",
            "creator_user_name": job.creator,
            "run_as_user_name": job.creator,
            "latest_updates": newest,
        }

    def _update_view(self, run: Run) -> Json:
        values = {parameter.name: parameter.value == "true" for parameter in run.parameters}
        return {
            "pipeline_id": _as_uuid(run.job_id),
            "update_id": _as_uuid(run.run_id),
            "state": _state(run),
            "cause": "API_CALL",
            "creation_time": run.created,
            "full_refresh": values["full_refresh"],
            "validate_only": values["validate_only"],
        }

    def _as_job(self, settings: PipelineSettings, job_id: int) -> tuple[JobSettings, dict[str, list[str]]]:
        """Return the job whose runs are the updates, with a copy of the definitions and the digests of the wheels."""
        spec = self._copied(settings, self._folder(job_id))
        task = {
            "task_key": "update",
            "environment_key": "default",
            "python_wheel_task": {
                "package_name": "pipeline_update",
                "entry_point": "main",
                "parameters": [str(spec), "{{job.parameters.full_refresh}}", "{{job.parameters.validate_only}}"],
            },
        }
        parsed = JobSettings.parse(
            {
                "name": settings.name,
                "tasks": [task],
                "environments": [
                    {"environment_key": "default", "spec": settings.environment.model_dump(exclude_unset=True)}
                ],
                "parameters": [{"name": name, "default": "false"} for name in ("full_refresh", "validate_only")],
            }
        )
        has_wheels = bool(settings.environment.dependencies)
        return parsed, wheels.snapshot(self._state, parsed) if has_wheels else {"default": []}

    def _copied(self, settings: PipelineSettings, folder: Path) -> Path:
        """Copy the definitions, and write the specification beside them; return its path."""
        import yaml

        included = [
            library.glob.include if library.glob else library.file.path if library.file else ""
            for library in settings.libraries
        ]
        root = PurePosixPath(settings.root_path or PurePosixPath(included[0].removesuffix("/**")).parent)
        for path in included:
            if not PurePosixPath(path.removesuffix("/**")).is_relative_to(root):
                raise invalid(f"libraries: {path!r} is not below root_path {str(root)!r}.")
        source = path_in_files(self._state, str(root))
        if not source.is_dir():
            raise invalid(f"root_path: {root} does not exist in this workspace.")
        private_folder(folder)
        draft = Path(tempfile.mkdtemp(prefix=".copying-", dir=folder))
        shutil.copytree(source, draft / "definitions")  # Spark takes no pattern for its own folder
        includes = [str(PurePosixPath("definitions") / PurePosixPath(path).relative_to(root)) for path in included]
        spec = specification(
            settings.as_json() | {"configuration": settings.configuration}, includes, folder / "storage"
        )
        (draft / "spark-pipeline.yml").write_text(yaml.safe_dump(spec), encoding="utf-8")
        target = folder / "source"
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
        return target / "spark-pipeline.yml"

    def _folder(self, job_id: int) -> Path:
        return self._state.workspace / "pipelines" / str(job_id)


def number_of(identifier: str) -> int:
    """Return the number of a job or run from the id of a pipeline or update. Raises ApiError."""
    try:
        number = uuid.UUID(identifier).int
    except ValueError as error:
        raise invalid(f"{identifier!r} is no id of a pipeline or an update.") from error
    return min(number, 2**63 - 1)  # none has such a number


def _as_uuid(number: int) -> str:
    return str(uuid.UUID(int=number))


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000).astimezone().isoformat()


def _state(run: Run) -> str:
    if not run.is_over:
        return {
            LifeCycle.QUEUED: "QUEUED",
            LifeCycle.PENDING: "INITIALIZING",
            LifeCycle.TERMINATING: "STOPPING",
        }.get(run.life_cycle, "RUNNING")
    return {Result.SUCCESS: "COMPLETED", Result.CANCELED: "CANCELED"}.get(run.result or Result.FAILED, "FAILED")
