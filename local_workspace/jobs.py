"""What the Jobs API does with jobs: define, change, delete, run, repair, cancel."""

from typing import Any

from local_workspace import wheels
from local_workspace.api_errors import ApiError, invalid, invalid_state, no_such_job, no_such_run, unsupported
from local_workspace.entities import Job, LifeCycle, Repair, Result, Run, RunParameter, TaskRun
from local_workspace.job_settings import JobSettings, TaskSettings
from local_workspace.runner import Runner
from local_workspace.store import Store, now_ms
from local_workspace.users import USER_NAME
from machine.state_folder import StateFolder


class Jobs:
    """Each method either does the whole thing or raises ApiError."""

    def __init__(self, state: StateFolder, store: Store, runner: Runner) -> None:
        self._state = state
        self._store = store
        self._runner = runner
        runner.start_child, runner.cancel_child = self.run_now, self.cancel

    def create(self, settings: dict[str, Any]) -> int:
        """Define a job, and return its id."""
        parsed = JobSettings.parse(settings)
        digests = wheels.snapshot(self._state, parsed)
        job_id = self._store.new_id()
        self._store.insert(
            Job(job_id=job_id, name=parsed.name, settings=parsed, wheels=digests, creator=USER_NAME, created=now_ms())
        )
        return job_id

    def reset(self, job_id: int, settings: dict[str, Any]) -> None:
        """Replace the job's settings."""
        job = self.job(job_id)
        parsed = JobSettings.parse(settings)
        digests = wheels.snapshot(self._state, parsed)
        self._store.update(job, name=parsed.name, settings=parsed, wheels=digests)
        self._runner.wake()

    def update(self, job_id: int, changes: dict[str, Any], removed: list[str]) -> None:
        """Replace or remove top-level fields. Tasks and environments are replaced by key, as the real API does it."""
        settings = self.job(job_id).settings.as_json()
        for field in removed:
            if "/" in field:
                raise unsupported(f"fields_to_remove inside a field ({field!r}): name a top-level field")
            settings.pop(field, None)
        for field, value in changes.items():
            key = {"tasks": "task_key", "environments": "environment_key"}.get(field)
            has_keys = isinstance(value, list) and all(
                isinstance(item, dict) and isinstance(item.get(key), str) for item in value
            )
            if key and has_keys:
                merged = {item[key]: item for item in [*settings.get(field, []), *value]}
                settings[field] = list(merged.values())
            else:
                settings[field] = value
        self.reset(job_id, settings)

    def job(self, job_id: int) -> Job:
        job = self._store.job(job_id)
        if job is None:
            raise no_such_job(job_id)
        return job

    def delete(self, job_id: int) -> None:
        job = self.job(job_id)
        self.cancel_all(job_id, queued_only=False)
        self._store.update(job, deleted=True)

    def run(self, run_id: int) -> Run:
        run = self._store.run(run_id)
        if run is None:
            raise no_such_run(run_id)
        return run

    def run_now(
        self, job_id: int, job_parameters: dict[str, str], token: str | None = None, queue: bool | None = None
    ) -> int:
        """Start a run and return its id, or that of the run that this idempotency token started.

        `queue`, unless None, overrides the job's own setting.
        """
        with self._store.transaction():
            if token and (used := self._store.token(token)):
                other_job_id, run_id = used
                if other_job_id != job_id:
                    raise invalid(f"The idempotency token was used for another job ({other_job_id}).")
                if self._store.run(run_id) is None:
                    raise invalid_state(f"The run {run_id} of this idempotency token was deleted.")
                return run_id
            job = self.job(job_id)
            life_cycle, result, message = self._admission(job, queue)
            created = now_ms()
            run = Run(
                run_id=self._store.new_id(),
                job_id=job_id,
                job_name=job.name,
                settings=job.settings,
                wheels=job.wheels,
                parameters=_merged_parameters(job.settings, job_parameters),
                life_cycle=life_cycle,
                result=result,
                message=message,
                created=created,
                ended=created if result else None,
            )
            self._store.insert(run)
            for task in job.settings.tasks:
                self._add_task_run(run.run_id, task, attempt=0, skipped=result)
            if token:
                self._store.add_token(token, job_id, run.run_id)
        self._runner.wake()
        return run.run_id

    def _admission(self, job: Job, queue: bool | None) -> tuple[LifeCycle, Result | None, str]:
        """Return life cycle, result and message of a new run: to be started, to be queued, or skipped."""
        limit = job.settings.max_concurrent_runs
        if not self._store.has_queued_run(job.job_id) and self._store.active_run_count(job.job_id) < limit:
            return LifeCycle.PENDING, None, ""
        reason = f"{limit} concurrent runs of this job are active, its maximum."
        if limit > 0 and (job.settings.queue.enabled if queue is None else queue):
            return LifeCycle.QUEUED, None, f"Waiting: {reason}"
        return LifeCycle.SKIPPED, Result.MAXIMUM_CONCURRENT_RUNS_REACHED, f"The run was skipped: {reason}"

    def _add_task_run(
        self,
        run_id: int,
        task: TaskSettings,
        *,
        attempt: int,
        repair_id: int | None = None,
        skipped: Result | None = None,
    ) -> TaskRun:
        """Insert an attempt of a task; `skipped` is the result if the whole run is skipped."""
        waiting = LifeCycle.BLOCKED if task.depends_on else LifeCycle.PENDING
        created = now_ms()
        task_run = TaskRun(
            run_id=self._store.new_id(),
            parent_run_id=run_id,
            task_key=task.task_key,
            attempt=attempt,
            repair_id=repair_id,
            life_cycle=LifeCycle.SKIPPED if skipped else waiting,
            result=skipped,
            created=created,
            ended=created if skipped else None,
        )
        self._store.insert(task_run)
        return task_run

    def cancel(self, run_id: int) -> None:
        """Ask a run to stop, by its id or that of one of its task runs. A run that has ended is no error."""
        task_run = self._store.task_run(run_id)
        self._cancel(self.run(task_run.parent_run_id if task_run else run_id))

    def cancel_all(self, job_id: int | None, *, queued_only: bool) -> None:
        """Ask the runs of one job, or of all jobs, to stop."""
        for run in self._store.unfinished_runs():
            if job_id in (None, run.job_id) and (run.life_cycle == LifeCycle.QUEUED or not queued_only):
                self._cancel(run)

    def _cancel(self, run: Run) -> None:
        if not run.is_over:
            self._store.update(run, cancel_requested=True)
            self._runner.wake()

    def delete_run(self, run_id: int) -> None:
        with self._store.transaction():
            if not self.run(run_id).is_over:
                raise invalid_state(f"Run {run_id} is active: cancel it first.")
            self._store.delete_run(run_id)
        self._runner.forget(run_id)

    def repair(
        self,
        run_id: int,
        *,
        rerun_tasks: list[str] | None,
        rerun_all_failed_tasks: bool,
        rerun_dependent_tasks: bool,
        latest_repair_id: int | None,
        job_parameters: dict[str, str],
    ) -> int:
        """Run tasks of a finished run again, with the job's present settings. Return the repair's id."""
        with self._store.transaction():
            run = self.run(run_id)
            job = self.job(run.job_id)
            self._check_repairable(run, job, latest_repair_id)
            attempts = self._store.latest_attempts(run_id)
            chosen = _initial_tasks(run, job, attempts, rerun_tasks, rerun_all_failed_tasks)
            chosen |= _downstream(job.settings, attempts, chosen, succeeded_too=rerun_dependent_tasks)
            repair_id = self._store.new_id()
            task_runs = [
                self._add_task_run(run_id, task, attempt=previous.attempt + 1 if previous else 0, repair_id=repair_id)
                for task in job.settings.tasks
                for previous in [attempts.get(task.task_key)]
                if task.task_key in chosen or previous is None
            ]
            repair = Repair(
                id=repair_id,
                start_time=now_ms(),
                task_run_ids=[task_run.run_id for task_run in task_runs],
                before=run.execution(),
            )
            values = {parameter.name: parameter.value for parameter in run.parameters}
            self._store.update(
                run,
                settings=job.settings,
                wheels=job.wheels,
                parameters=_merged_parameters(job.settings, values | job_parameters),
                life_cycle=LifeCycle.PENDING,
                result=None,
                message="",
                ended=None,
                attempt_started=None,
                cancel_requested=False,
                timed_out=False,
                repair_count=run.repair_count + 1,
                repairs=[*run.repairs, repair],
            )
        self._runner.wake()
        return repair_id

    def _check_repairable(self, run: Run, job: Job, latest_repair_id: int | None) -> None:
        if not run.is_over:
            raise invalid_state(f"Run {run.run_id} is active and cannot be repaired: cancel it, or wait for its end.")
        latest = run.repairs[-1].id if run.repairs else None
        if latest is not None and latest_repair_id is None:
            raise invalid(f"latest_repair_id is required: run {run.run_id} was repaired before.")
        if latest_repair_id != latest:
            raise invalid(
                f"latest_repair_id {latest_repair_id} is not the latest repair of run {run.run_id} ({latest})."
            )
        limit = job.settings.max_concurrent_runs
        if self._store.active_run_count(run.job_id) >= limit:
            raise ApiError(
                429, "RESOURCE_EXHAUSTED", f"Job {run.job_id} has {limit} active runs, its maximum: repair later."
            )


def _initial_tasks(
    run: Run, job: Job, attempts: dict[str, TaskRun], named: list[str] | None, all_failed: bool
) -> set[str]:
    """Return the tasks that the caller wants to run again."""
    if bool(named) == all_failed:
        raise invalid("Give either rerun_tasks or rerun_all_failed_tasks.")
    for task_key in named or []:
        if job.settings.task(task_key) is None:
            raise invalid(f"Task {task_key!r} is no task of job {job.job_id}.")
    if named:
        return set(named)
    failed = {
        task_key
        for task_key, task_run in attempts.items()
        if task_run.result not in (Result.SUCCESS, Result.EXCLUDED) and job.settings.task(task_key)
    }
    if not failed:
        raise invalid_state(f"Run {run.run_id} has no failed task to repair.")
    return failed


def _downstream(
    settings: JobSettings, attempts: dict[str, TaskRun], chosen: set[str], *, succeeded_too: bool
) -> set[str]:
    """Return the tasks that depend, directly or not, on the chosen ones.

    Those that did not succeed always run again: their state would contradict that of their upstream otherwise.
    """
    found: set[str] = set()
    while True:
        more = {
            task.task_key
            for task in settings.tasks
            if task.upstream & (chosen | found)
            and (succeeded_too or task.task_key not in attempts or attempts[task.task_key].result != Result.SUCCESS)
        }
        if more <= found:
            return found
        found |= more


def _merged_parameters(settings: JobSettings, job_parameters: dict[str, str]) -> list[RunParameter]:
    """Return the declared parameters, with their defaults where the caller gave nothing, and those that are not
    declared.

    The real API accepts parameters that the job does not declare too, and shows them with the run: OpenLineage's
    integration adds some. They reach no task, since a task's parameters may refer to declared ones alone.
    """
    declared = settings.default_parameters
    return [
        *(
            RunParameter(name=name, default=default, value=job_parameters.get(name, default))
            for name, default in declared.items()
        ),
        *(RunParameter(name=name, value=value) for name, value in job_parameters.items() if name not in declared),
    ]
