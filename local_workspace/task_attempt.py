"""One attempt of a task: start its process, copy its log, and derive its result."""

import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from local_workspace.entities import Result, TaskRun
from local_workspace.redaction import Redactor
from local_workspace.spark_supervisor import SparkSupervisor
from local_workspace.task_launcher import TaskLauncher, TaskProcess
from machine.process_environment import UTF8
from machine.processes import ProcessIdentity, end_group, signal_group
from machine.state_folder import private_file, private_folder

log = logging.getLogger(__name__)
_LINE_LIMIT = 64 * 1024
"""Bytes: a longer line is copied to the log in parts."""
_VALUES = "task_values.json"
"""In the task's folder: what it sets for the tasks after it, a mapping of texts."""
SPARK_DIED = (
    "Spark died while this task ran (it may have run out of memory). It is being restarted; run the task again. "
    "The log of the dead one is kept as logs/spark.1.log of the state folder."
)


@dataclass(kw_only=True, eq=False)
class TaskAttempt:
    """Runs one task to its end in its own thread, and calls `when_over` then. A timeout of 0 is none."""

    task_run: TaskRun
    folder: Path
    launcher: TaskLauncher
    command: list[str]
    path: list[Path]
    timeout_seconds: float
    grace_seconds: float
    redactor: Redactor
    spark: SparkSupervisor | None
    when_started: Callable[[TaskRun, ProcessIdentity], object]
    when_stopping: Callable[[TaskRun], object]
    when_over: Callable[["TaskAttempt"], object]

    result: Result = field(default=Result.FAILED, init=False)
    message: str = field(default="", init=False)
    error: str | None = field(default=None, init=False)
    trace: str | None = field(default=None, init=False)
    values: dict[str, str] = field(default_factory=dict, init=False)
    """What the task has set for those after it."""
    entered_ms: int | None = field(default=None, init=False)
    """When the entry point was called, in milliseconds since 1970."""

    def __post_init__(self) -> None:
        self._stop_reason: tuple[Result, str] | None = None
        self._stop_or_end = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"task-{self.task_run.run_id}", daemon=True)

    def stop(self, result: Result, message: str) -> None:
        """End the task before its time; the first reason stays."""
        self._stop_reason = self._stop_reason or (result, message)
        self._stop_or_end.set()

    def _run(self) -> None:
        try:
            if self._wait_for_spark():
                self._run_process()
        except Exception as error:  # a fault here must fail the task, not leave it active for ever
            log.exception("Task run %s", self.task_run.run_id)
            self.result, self.message = Result.FAILED, f"The workspace could not run the task: {error}"
            self.error = self.message
        self.when_over(self)

    def _wait_for_spark(self) -> bool:
        while self.spark is not None and self._stop_reason is None and not self.spark.is_ready():
            self.spark.wait_until_ready(0.2)
            time.sleep(0.01)
        if self._stop_reason is not None:
            self.result, self.message = self._stop_reason
        return self._stop_reason is None

    def _run_process(self) -> None:
        generation = self.spark.generation if self.spark else 0
        environment = {"LAKEHOUSE_TASK_VALUES": str(self.folder / _VALUES)}
        if self.spark:
            environment["SPARK_REMOTE"] = self.spark.remote_url(self.task_run.session_id)
        private_folder(self.folder)
        self.redactor.refresh()
        process = self.launcher.launch(
            self.command,
            folder=self.folder,
            path=self.path,
            environment=environment,
            when_started=lambda process: self.when_started(self.task_run, process),
        )
        reader = threading.Thread(target=self._copy_log, args=(process.stdout,), daemon=True)
        reader.start()
        threading.Thread(target=self._await_end, args=(process,), daemon=True).start()
        if not self._stop_or_end.wait(self.timeout_seconds or None):
            self.stop(
                Result.TIMEDOUT,
                f"The task was stopped: it ran longer than its timeout of {self.timeout_seconds:.0f} s.",
            )
        interruption: threading.Thread | None = None
        if self._stop_reason is not None and process.poll() is None:
            self.when_stopping(self.task_run)
            if self.spark:
                # At the same time as the grace of the process: its work in Spark continues until it is interrupted.
                interruption = threading.Thread(
                    target=self.spark.end_session,
                    args=(self.task_run.session_id,),
                    kwargs={"interrupt": True},
                    daemon=True,
                )
                interruption.start()
            end_group(process.pid, self.grace_seconds)
        code = process.wait()
        signal_group(process.pid, signal.SIGKILL)  # child processes that the task left behind
        reader.join(timeout=2)
        if interruption:
            interruption.join(timeout=30)
        elif self.spark:
            self.spark.end_session(self.task_run.session_id, interrupt=code != 0)
        self._set_result(code, generation)

    def _await_end(self, process: TaskProcess) -> None:
        process.wait()
        self._stop_or_end.set()

    def _copy_log(self, output: IO[bytes]) -> None:
        """Write what the task prints, line by line, without secrets."""
        with private_file(self.folder / "log.txt") as target:
            for line in iter(lambda: output.readline(_LINE_LIMIT), b""):
                target.write(self.redactor.text(line.decode("utf-8", "replace")).encode())
                target.flush()

    def _set_result(self, exit_code: int, generation: int) -> None:
        outcome: dict[str, Any] = {}
        path = self.folder / "outcome.json"
        with contextlib.suppress(OSError, ValueError):
            outcome = json.loads(path.read_text(encoding="utf-8"))
            path.unlink()
            self.entered_ms = outcome["entered_ms"]
        if outcome.get("ok") is True:
            with contextlib.suppress(FileNotFoundError):
                self.values = json.loads((self.folder / _VALUES).read_text(encoding="utf-8"))
            # It had finished before the request to stop it reached it.
            self.result, self.message = Result.SUCCESS, ""
            return
        if self._stop_reason is not None:
            self.result, self.message = self._stop_reason
            self.error = self.message if self.result == Result.FAILED else None
            return
        self.result = Result.FAILED
        if outcome:
            self.error = self.redactor.text(str(outcome.get("error")))
            self.trace = self.redactor.text(str(outcome.get("trace")))
        elif exit_code < 0:
            self.error = f"The task's process was killed by signal {-exit_code} (out of memory, or by hand)."
        else:
            self.error = f"The task's process ended with exit code {exit_code} before its entry point returned."
        if self.spark and (self.spark.generation != generation or not self.spark.is_ready()):
            self.error = f"{SPARK_DIED} The task's own error: {self.error}"
        self.message = "Workload failed, see run output for details"


def task_environment(secrets: Path, spark_settings: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, str]:
    """Return the whole environment of a task's process: it inherits nothing else of the workspace's.

    `spark_settings` are those for few rows and for many, by `few` and `many`.
    """
    kept = ("PATH", "HOME", "TMPDIR", "USER")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return environment | {
        **UTF8,
        "TZ": "UTC",
        "PYTHONIOENCODING": "utf-8",
        "LAKEHOUSE_SECRETS_DIR": str(secrets),
        "LAKEHOUSE_SPARK_SETTINGS_BY_ROWS": json.dumps(spark_settings or {}),
        # Great Expectations reads it when it is imported.
        "GX_ANALYTICS_ENABLED": "false",
    }
