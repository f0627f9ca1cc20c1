"""Decide which runs and tasks may start, and start, stop and finish them."""

import logging
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from local_workspace import references
from local_workspace.api_errors import ApiError
from local_workspace.entities import LifeCycle, Result, Run, TaskRun
from local_workspace.job_settings import TaskSettings
from local_workspace.redaction import Redactor
from local_workspace.spark_supervisor import SparkSupervisor
from local_workspace.store import Store, now_ms
from local_workspace.task_attempt import SPARK_DIED, TaskAttempt, task_environment
from local_workspace.task_launcher import TaskLauncher
from machine.processes import ProcessIdentity, end_group
from machine.state_folder import StateFolder

log = logging.getLogger(__name__)
_PIPELINE_RUNTIME = Path(__file__).with_name("pipeline_runtime")
RESTARTED = "The workspace was restarted while this task ran, and its process was ended; run it again."
STOPPED = "The workspace was stopped while this task ran; run it again."


class Runner:
    """One thread looks at all unfinished runs whenever something changed; each task has a thread that waits for it.

    `modules` are imported once for all tasks. `grace` is how many seconds a task has to end when it is asked to.
    """

    def __init__(
        self,
        state: StateFolder,
        store: Store,
        redactor: Redactor,
        grace: float = 5.0,
        modules: Sequence[str] = (),
        spark_settings: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._state = state
        self._store = store
        self._redactor = redactor
        self._grace = grace
        self._launcher = TaskLauncher(task_environment(state.secrets, spark_settings), modules)
        self.spark: SparkSupervisor | None = None
        self.start_child: Callable[[int, dict[str, str], str], int]
        """Start a run of a job, with parameters and an idempotency token; return its id. Raises ApiError."""
        self.cancel_child: Callable[[int], None]
        self._attempts: dict[int, TaskAttempt] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="runner", daemon=True)

    def start(self) -> None:
        self._end_orphans()
        self._launcher.start()
        self._thread.start()
        self.wake()

    def stop(self) -> None:
        """End all task processes. The next start marks their runs as failed, and starts the queued runs."""
        self._stopping = True
        self.wake()
        self._thread.join(timeout=10)
        attempts = list(self._attempts.values())
        for attempt in attempts:
            attempt.stop(Result.FAILED, STOPPED)
        for attempt in attempts:
            attempt.thread.join(timeout=self._grace + 20)
        self._launcher.stop()

    def wake(self) -> None:
        self._wake.set()

    def spark_lost(self) -> None:
        """Fail the tasks that used the dead server, without waiting for their own time-outs."""
        for attempt in list(self._attempts.values()):
            attempt.stop(Result.FAILED, SPARK_DIED)

    def read_log(self, task_run: TaskRun, limit: int) -> tuple[str, bool]:
        """Return the last bytes of a task's log without secrets, and whether an earlier part was left out."""
        try:
            with (self._folder(task_run) / "log.txt").open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - limit))
                return self._redactor.text(file.read().decode("utf-8", "replace")), size > limit
        except FileNotFoundError:  # the task has not started
            return "", False

    def forget(self, run_id: int) -> None:
        """Remove what a deleted run left on disk."""
        shutil.rmtree(self._state.runs / str(run_id), ignore_errors=True)

    def _loop(self) -> None:
        while not self._stopping:
            # The second is for the time-outs of whole runs; everything else wakes this thread.
            self._wake.wait(1.0)
            self._wake.clear()
            for run in self._store.unfinished_runs():
                if self._stopping:
                    return
                try:
                    with self._store.transaction():
                        self._advance(run.run_id)
                except Exception:  # one broken run must not hold up the others
                    log.exception("Run %s cannot be advanced", run.run_id)

    def _advance(self, run_id: int) -> None:
        run = self._store.run(run_id)
        if run is None or run.is_over:
            return
        if run.life_cycle in (LifeCycle.QUEUED, LifeCycle.PENDING) and not run.cancel_requested:
            if run.life_cycle == LifeCycle.QUEUED and not self._may_leave_queue(run):
                return
            now = now_ms()
            run = self._store.update(run, life_cycle=LifeCycle.RUNNING, started=run.started or now, attempt_started=now)
        limit = run.settings.timeout_seconds
        if limit and run.attempt_started and now_ms() - run.attempt_started > limit * 1000:
            run = self._store.update(run, timed_out=True)
        attempts = self._store.latest_attempts(run_id)
        if run.cancel_requested:
            run = self._terminate(run, attempts, Result.CANCELED, "Run cancelled.")
        elif run.timed_out:
            message = f"The run was stopped: it ran longer than its timeout of {limit} s."
            run = self._terminate(run, attempts, Result.TIMEDOUT, message)
        else:
            self._start_ready_tasks(run, attempts)
        attempts = self._store.latest_attempts(run_id)
        if all(task_run.is_over for task_run in attempts.values()):
            self._finish(run, attempts)

    def _may_leave_queue(self, run: Run) -> bool:
        job = self._store.job(run.job_id)
        return self._store.active_run_count(run.job_id) < (job or run).settings.max_concurrent_runs

    def _terminate(self, run: Run, attempts: dict[str, TaskRun], result: Result, message: str) -> Run:
        """Stop the tasks that run, and end those that do not."""
        for task_run in attempts.values():
            if task_run.is_over:
                continue
            if attempt := self._attempts.get(task_run.run_id):
                attempt.stop(result, message)
            elif self._child_is_active(task_run):
                self.cancel_child(task_run.child_run_id or 0)
            else:
                self._end_task(task_run, result, message)
        if run.life_cycle == LifeCycle.TERMINATING:
            return run
        return self._store.update(run, life_cycle=LifeCycle.TERMINATING, message=message)

    def _start_ready_tasks(self, run: Run, attempts: dict[str, TaskRun]) -> None:
        changed = True
        while changed:  # a failure reaches all downstream tasks in the same pass
            changed = False
            for task in run.settings.tasks:
                task_run = attempts[task.task_key]
                if task_run.is_over or task_run.run_id in self._attempts:
                    continue
                if task_run.child_run_id:
                    task_run = self._watch_child(task_run, task)
                elif all(attempts[task_key].is_over for task_key in task.upstream):
                    if not_run := _why_not_run(task, attempts):
                        task_run = self._end_task(task_run, *not_run)
                    else:
                        task_run = self._start_task(run, task_run, task, attempts)
                attempts[task.task_key] = task_run
                changed = changed or task_run.is_over

    def _start_task(self, run: Run, task_run: TaskRun, task: TaskSettings, attempts: dict[str, TaskRun]) -> TaskRun:
        """Start a task, and return it; it may be over already."""
        values = _reference_values(run, task_run, attempts)
        started = now_ms()
        try:
            parameters = [references.resolved(text, values) for text in task.texts]
        except references.ValueMissing as error:
            task_run = self._store.update(task_run, started=started, error=str(error))
            return self._end_task(task_run, Result.FAILED, str(error))
        task_run = self._store.update(
            task_run,
            life_cycle=LifeCycle.PENDING,
            started=started,
            session_id=str(uuid.uuid4()),
            parameters=parameters,
        )
        if task.condition_task:
            is_equal = parameters[0] == parameters[1]
            outcome = "true" if is_equal == (task.condition_task.op == "EQUAL_TO") else "false"
            return self._end_task(self._store.update(task_run, outcome=outcome), Result.SUCCESS, "")
        if task.run_job_task:
            given = dict(zip(task.run_job_task.job_parameters, parameters, strict=True))
            return self._start_child(task_run, task.run_job_task.job_id, given)
        if task.pipeline_task:
            try:
                pipeline = uuid.UUID(task.pipeline_task.pipeline_id).int
            except ValueError:
                pipeline = 0
            return self._start_child(task_run, pipeline, {"full_refresh": str(task.pipeline_task.full_refresh).lower()})
        self._start_process(run, task_run, task)
        return task_run

    def _start_child(self, task_run: TaskRun, job_id: int, parameters: dict[str, str]) -> TaskRun:
        try:  # by the token, a crash of the workspace starts no second one
            child = self.start_child(job_id, parameters, f"task-{task_run.run_id}")
        except ApiError as error:
            return self._end_task(self._store.update(task_run, error=error.message), Result.FAILED, error.message)
        return self._store.update(task_run, life_cycle=LifeCycle.RUNNING, child_run_id=child)

    def _child_is_active(self, task_run: TaskRun) -> bool:
        child = self._store.run(task_run.child_run_id) if task_run.child_run_id else None
        return child is not None and not child.is_over

    def _watch_child(self, task_run: TaskRun, task: TaskSettings) -> TaskRun:
        """End the task where the job run that it has started is over."""
        child = self._store.run(task_run.child_run_id or 0)
        if child is None:
            return self._end_task(task_run, Result.FAILED, f"Run {task_run.child_run_id} was deleted.")
        if not child.is_over:
            limit = task.timeout_seconds
            if not limit or now_ms() - (task_run.started or 0) <= limit * 1000:
                return task_run
            self.cancel_child(child.run_id)
            message = f"The task was stopped: it ran longer than its timeout of {limit} s."
            return self._end_task(task_run, Result.TIMEDOUT, message)
        if child.result == Result.SUCCESS:
            return self._end_task(task_run, Result.SUCCESS, "")
        stopped = child.result in (Result.CANCELED, Result.TIMEDOUT)
        result = child.result if child.result and stopped else Result.FAILED
        message = f"Run {child.run_id} of job {child.job_name} ended as {child.result}: {child.message}"
        return self._end_task(self._store.update(task_run, error=message), result, message)

    def _start_process(self, run: Run, task_run: TaskRun, task: TaskSettings) -> None:
        wheel_task = task.python_wheel_task
        if wheel_task is None or task.environment_key is None:
            raise TypeError(f"task {task.task_key} has no wheel")
        attempt = TaskAttempt(
            task_run=task_run,
            folder=self._folder(task_run),
            launcher=self._launcher,
            command=[wheel_task.package_name, wheel_task.entry_point, *task_run.parameters],
            path=[*(self._state.wheels / digest for digest in run.wheels[task.environment_key]), _PIPELINE_RUNTIME],
            timeout_seconds=task.timeout_seconds,
            grace_seconds=self._grace,
            redactor=self._redactor,
            spark=self.spark,
            when_started=self._task_started,
            when_stopping=lambda task_run: self._store.update(task_run, life_cycle=LifeCycle.TERMINATING),
            when_over=self._task_over,
        )
        self._attempts[task_run.run_id] = attempt
        attempt.thread.start()

    def _task_started(self, task_run: TaskRun, process: ProcessIdentity) -> None:
        self._store.update(task_run, life_cycle=LifeCycle.RUNNING, pid=process.pid, pid_started=process.started)

    def _task_over(self, attempt: TaskAttempt) -> None:
        with self._store.transaction():
            task_run = self._store.update(
                attempt.task_run,
                error=attempt.error,
                error_trace=attempt.trace,
                process_started=attempt.entered_ms,
                values=attempt.values,
            )
            self._end_task(task_run, attempt.result, attempt.message)
            self._attempts.pop(task_run.run_id, None)
        self.wake()

    def _end_task(
        self, task_run: TaskRun, result: Result, message: str, life_cycle: LifeCycle = LifeCycle.TERMINATED
    ) -> TaskRun:
        return self._store.update(task_run, life_cycle=life_cycle, result=result, message=message, ended=now_ms())

    def _finish(self, run: Run, attempts: dict[str, TaskRun]) -> None:
        """Derive the run's result from its tasks' (as the real API: a failed task makes it an INTERNAL_ERROR)."""
        results = {task_run.result for task_run in attempts.values()}
        life_cycle, message = LifeCycle.TERMINATED, ""
        failed = sorted(task_key for task_key, task_run in attempts.items() if task_run.result == Result.FAILED)
        if results <= {Result.SUCCESS, Result.EXCLUDED}:
            result = Result.SUCCESS
        elif run.cancel_requested:
            result, message = Result.CANCELED, "Run cancelled."
        elif run.timed_out or (Result.TIMEDOUT in results and not failed):
            result = Result.TIMEDOUT
            messages = [task_run.message for task_run in attempts.values() if task_run.result == result]
            message = messages[0] if messages else run.message
        elif failed:
            life_cycle, result = LifeCycle.INTERNAL_ERROR, Result.FAILED
            message = f"Task {failed[0]} failed with message: {attempts[failed[0]].message}."
            if results & {Result.UPSTREAM_FAILED, Result.UPSTREAM_CANCELED}:
                message += " This caused all downstream tasks to get skipped."
        else:
            result = Result.CANCELED if Result.CANCELED in results else Result.FAILED
        self._store.update(run, life_cycle=life_cycle, result=result, message=message, ended=now_ms())
        self.wake()  # a queued run may start now

    def _end_orphans(self) -> None:
        """End the task processes that a workspace which crashed or was stopped left running, and fail their runs."""
        for task_run in self._store.task_runs_with_process():
            process = ProcessIdentity(task_run.pid or 0, task_run.pid_started or 0.0)
            if process.is_alive():
                end_group(process.pid, grace=1.0)
            task_run = self._store.update(task_run, error=RESTARTED)
            self._end_task(task_run, Result.FAILED, RESTARTED, LifeCycle.INTERNAL_ERROR)

    def _folder(self, task_run: TaskRun) -> Path:
        return self._state.runs / str(task_run.parent_run_id) / str(task_run.run_id)


def _why_not_run(task: TaskSettings, attempts: dict[str, TaskRun]) -> tuple[Result, str] | None:
    """Return the result and the reason of a task that its dependencies, which are over, do not let start."""
    upstream = [attempts[task_key] for task_key in sorted(task.upstream)]
    harmless = (Result.SUCCESS, Result.EXCLUDED)
    if failed := [other for other in upstream if other.result not in harmless]:
        canceled = {Result.CANCELED, Result.UPSTREAM_CANCELED} & {other.result for other in upstream}
        result = Result.UPSTREAM_CANCELED if canceled else Result.UPSTREAM_FAILED
        return result, f"Not run, because {', '.join(other.task_key for other in failed)} did not succeed."
    for dependency in task.depends_on:
        outcome = attempts[dependency.task_key].outcome
        if dependency.outcome and outcome and outcome != dependency.outcome:
            return Result.EXCLUDED, f"Not run, because {dependency.task_key} came out {outcome}."
    excluded = [other.task_key for other in upstream if other.result == Result.EXCLUDED]
    if excluded and (task.run_if == "ALL_SUCCESS" or len(excluded) == len(upstream)):
        return Result.EXCLUDED, f"Not run, because {', '.join(excluded)} did not."
    return None


def _reference_values(run: Run, task_run: TaskRun, attempts: dict[str, TaskRun]) -> dict[str, str]:
    started_ms = run.started or run.created
    started = datetime.fromtimestamp(started_ms / 1000, UTC)
    values = {
        "job.id": str(run.job_id),
        "job.name": run.job_name,
        "job.run_id": str(run.run_id),
        "job.repair_count": str(run.repair_count),
        "job.start_time.iso_date": started.date().isoformat(),
        "job.start_time.iso_datetime": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "job.start_time.timestamp_ms": str(started_ms),
        "task.name": task_run.task_key,
        "task.run_id": str(task_run.run_id),
        "task.execution_count": str(task_run.attempt + 1),
    }
    values |= {
        f"tasks.{task_key}.values.{name}": value
        for task_key, other in attempts.items()
        for name, value in other.values.items()
    }
    return values | {f"job.parameters.{parameter.name}": parameter.value for parameter in run.parameters}
