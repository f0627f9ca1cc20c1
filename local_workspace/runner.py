"""Decide which runs and tasks may go on, and start, stop and finish them."""

import logging
import shutil
import threading
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_workspace import references
from local_workspace.redaction import Redactor
from local_workspace.spark_watch import SparkWatch
from local_workspace.store import TERMINAL, Row, Store, now_ms
from local_workspace.task_launcher import TaskLauncher
from local_workspace.task_run import SPARK_DIED, TaskAttempt, task_environment
from machine.processes import ProcessIdentity, end_group
from machine.state_folder import StateFolder

log = logging.getLogger(__name__)
RESTARTED = "The workspace was restarted while this task ran, and its process was ended; run it again."


class Runner:
    """One thread looks at all unfinished runs whenever something changed; each task has a thread that waits for it.

    `modules` are imported once for all tasks.
    """

    def __init__(
        self, state: StateFolder, store: Store, redactor: Redactor, grace: float = 5.0, modules: Sequence[str] = ()
    ) -> None:
        self._state = state
        self._store = store
        self._redactor = redactor
        self._grace = grace
        self._launcher = TaskLauncher(task_environment(state.secrets), modules)
        self.spark: SparkWatch | None = None
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
        """End all processes. Their runs are marked at the next start; queued runs go on then."""
        self._stopping = True
        self.wake()
        self._thread.join(timeout=10)
        attempts = list(self._attempts.values())
        for attempt in attempts:
            attempt.stop("FAILED", "The workspace was stopped while this task ran; run it again.")
        for attempt in attempts:
            attempt.thread.join(timeout=self._grace + 20)
        self._launcher.stop()

    def wake(self) -> None:
        self._wake.set()

    def spark_lost(self) -> None:
        """Fail at once what used the dead server."""
        for attempt in list(self._attempts.values()):
            attempt.stop("FAILED", SPARK_DIED)

    def log_file(self, task: Row) -> Path:
        return self._folder(task) / "log.txt"

    def forget(self, run_id: int) -> None:
        """Remove what a deleted run left on disk."""
        shutil.rmtree(self._state.runs / str(run_id), ignore_errors=True)

    def active_count(self, job_id: int) -> int:
        return len(
            self._store.all(
                "select run_id from runs where job_id = ? and life_cycle in ('PENDING', 'RUNNING', 'TERMINATING')",
                job_id,
            )
        )

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
                        self._advance(run["run_id"])
                except Exception:  # one broken run must not hold up the others
                    log.exception("run %s cannot go on", run["run_id"])

    def _advance(self, run_id: int) -> None:
        run = self._store.run(run_id)
        if run is None or run["life_cycle"] in TERMINAL:
            return
        if run["life_cycle"] == "QUEUED" and not run["cancel_requested"]:
            job = self._store.job(run["job_id"])
            limit = (job or run)["settings"]["max_concurrent_runs"]
            if self.active_count(run["job_id"]) >= limit:
                return
        if run["life_cycle"] in ("QUEUED", "PENDING") and not run["cancel_requested"]:
            started = now_ms()
            self._store.update(
                "runs", run_id, life_cycle="RUNNING", started=run["started"] or started, attempt_started=started
            )
            run = self._store.run(run_id) or run
        limit = run["settings"]["timeout_seconds"]
        if limit and run["attempt_started"] and now_ms() - run["attempt_started"] > limit * 1000:
            self._store.update("runs", run_id, timed_out=1)
            run["timed_out"] = 1
        tasks = self._store.latest_attempts(run_id)
        if run["cancel_requested"] or run["timed_out"]:
            self._wind_down(run, tasks)
        else:
            self._start_ready_tasks(run, tasks)
        tasks = self._store.latest_attempts(run_id)
        if all(task["life_cycle"] in TERMINAL for task in tasks.values()):
            self._finish(run, tasks)

    def _wind_down(self, run: Row, tasks: dict[str, Row]) -> None:
        if run["cancel_requested"]:
            result, message = "CANCELED", "Run cancelled."
        else:
            result = "TIMEDOUT"
            message = f"The run was stopped: it ran longer than its timeout of {run['settings']['timeout_seconds']} s."
        for task in tasks.values():
            if task["life_cycle"] in TERMINAL:
                continue
            attempt = self._attempts.get(task["run_id"])
            if attempt is None:
                self._end_task(task["run_id"], result, message)
            else:
                attempt.stop(result, message)
        if run["life_cycle"] != "TERMINATING":
            self._store.update("runs", run["run_id"], life_cycle="TERMINATING", message=message)

    def _start_ready_tasks(self, run: Row, tasks: dict[str, Row]) -> None:
        changed = True
        while changed:  # an upstream failure reaches the tasks behind it in the same pass
            changed = False
            for settings in run["settings"]["tasks"]:
                task = tasks[settings["task_key"]]
                if task["life_cycle"] in TERMINAL or task["run_id"] in self._attempts:
                    continue
                before = [tasks[needed["task_key"]] for needed in settings.get("depends_on", [])]
                if all(other["result"] == "SUCCESS" for other in before):
                    self._start_task(run, task, settings)
                elif all(other["life_cycle"] in TERMINAL for other in before):
                    canceled = any(other["result"] in ("CANCELED", "UPSTREAM_CANCELED") for other in before)
                    result = "UPSTREAM_CANCELED" if canceled else "UPSTREAM_FAILED"
                    failed = ", ".join(sorted(o["task_key"] for o in before if o["result"] != "SUCCESS"))
                    self._end_task(task["run_id"], result, f"Not run, because {failed} did not succeed.")
                    tasks[settings["task_key"]] = self._store.task_run(task["run_id"]) or task
                    changed = True

    def _start_task(self, run: Row, task: Row, settings: dict[str, Any]) -> None:
        values = _reference_values(run, task)
        wheel = settings["python_wheel_task"]
        parameters = [references.resolved(text, values) for text in wheel.get("parameters", [])]
        session_id = str(uuid.uuid4())
        unpacked = [self._state.wheels / digest for digest in run["wheels"][settings["environment_key"]]]
        self._store.update(
            "task_runs",
            task["run_id"],
            life_cycle="PENDING",
            started=now_ms(),
            session_id=session_id,
            parameters=parameters,
        )
        attempt = TaskAttempt(
            task_run_id=task["run_id"],
            folder=self._folder(task),
            launcher=self._launcher,
            command=[wheel["package_name"], wheel["entry_point"], *parameters],
            path=unpacked,
            session_id=session_id,
            timeout=settings.get("timeout_seconds") or 0,
            grace=self._grace,
            redactor=self._redactor,
            spark=self.spark,
            when_started=self._task_started,
            when_stopping=lambda run_id: self._store.update("task_runs", run_id, life_cycle="TERMINATING"),
            when_over=self._task_over,
        )
        self._attempts[task["run_id"]] = attempt
        attempt.thread.start()

    def _task_started(self, run_id: int, process: ProcessIdentity) -> None:
        self._store.update(
            "task_runs",
            run_id,
            life_cycle="RUNNING",
            pid=process.pid,
            pid_started=process.started,
        )

    def _task_over(self, attempt: TaskAttempt) -> None:
        known = {"error": attempt.error, "error_trace": attempt.trace, "process_started": attempt.entered}
        with self._store.transaction():
            self._store.update("task_runs", attempt.task_run_id, **known)
            self._end_task(attempt.task_run_id, attempt.result, attempt.message)
            self._attempts.pop(attempt.task_run_id, None)
        self.wake()

    def _end_task(self, run_id: int, result: str, message: str, life_cycle: str = "TERMINATED") -> None:
        values = {"life_cycle": life_cycle, "result": result, "message": message, "ended": now_ms()}
        self._store.update("task_runs", run_id, **values)

    def _finish(self, run: Row, tasks: dict[str, Row]) -> None:
        """The run's result from its tasks' (as the real API: a failed task makes the run an INTERNAL_ERROR)."""
        results = {key: task["result"] for key, task in tasks.items()}
        life_cycle, message = "TERMINATED", ""
        failed = sorted(key for key, result in results.items() if result == "FAILED")
        if all(result == "SUCCESS" for result in results.values()):
            result = "SUCCESS"
        elif run["cancel_requested"]:
            result, message = "CANCELED", "Run cancelled."
        elif run["timed_out"] or ("TIMEDOUT" in results.values() and not failed):
            result = "TIMEDOUT"
            message = next(task["message"] for task in tasks.values() if task["result"] == "TIMEDOUT")
        elif failed:
            life_cycle, result = "INTERNAL_ERROR", "FAILED"
            message = f"Task {failed[0]} failed with message: {tasks[failed[0]]['message']}."
            if any(value in ("UPSTREAM_FAILED", "UPSTREAM_CANCELED") for value in results.values()):
                message += " This caused all downstream tasks to get skipped."
        else:
            result = "CANCELED" if "CANCELED" in results.values() else "FAILED"
        ended = now_ms()
        repairs = run["repairs"]
        if repairs:
            repairs[-1] |= {"end_time": ended, "state": {"life_cycle_state": life_cycle, "result_state": result}}
        self._store.update(
            "runs", run["run_id"], life_cycle=life_cycle, result=result, message=message, ended=ended, repairs=repairs
        )
        self.wake()  # a queued run may start now

    def _end_orphans(self) -> None:
        """After a crash or a restart: end what the last workspace left running, and say so in its runs."""
        for task in self._store.all(
            "select * from task_runs where pid is not null and life_cycle in ('PENDING', 'RUNNING', 'TERMINATING')"
        ):
            process = ProcessIdentity(task["pid"], task["pid_started"])
            if process.is_alive():
                end_group(process.pid, grace=1.0)
            self._store.update("task_runs", task["run_id"], error=RESTARTED)
            self._end_task(task["run_id"], "FAILED", RESTARTED, life_cycle="INTERNAL_ERROR")

    def _folder(self, task: Row) -> Path:
        return self._state.runs / str(task["parent_run_id"]) / str(task["run_id"])


def _reference_values(run: Row, task: Row) -> dict[str, str]:
    started = datetime.fromtimestamp(run["started"] / 1000, UTC)
    values = {
        "job.id": str(run["job_id"]),
        "job.name": run["job_name"],
        "job.run_id": str(run["run_id"]),
        "job.repair_count": str(run["repair_count"]),
        "job.start_time.iso_date": started.date().isoformat(),
        "job.start_time.iso_datetime": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "job.start_time.timestamp_ms": str(run["started"]),
        "task.name": task["task_key"],
        "task.run_id": str(task["run_id"]),
        "task.execution_count": str(task["attempt"] + 1),
    }
    return values | {f"job.parameters.{item['name']}": item["value"] for item in run["parameters"]}
