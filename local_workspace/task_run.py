"""One attempt of one task: its process, its log, its end."""

import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from local_workspace.redaction import Redactor
from local_workspace.spark_watch import SparkWatch
from local_workspace.task_launcher import TaskLauncher, TaskProcess
from machine.processes import ProcessIdentity, end_group, signal_group
from machine.state_folder import private_file, private_folder

log = logging.getLogger(__name__)
_LONGEST_LINE = 64 * 1024
SPARK_DIED = (
    "Spark died while this task ran (it may have run out of memory). It is being restarted; run the task again. "
    "What Spark said last is in logs/spark-died-*.log of the state folder."
)


class Stop:
    """Why a task is to end before its time."""

    def __init__(self, result: str, message: str) -> None:
        self.result = result
        self.message = message


class TaskAttempt:
    """Runs one task to its end in a thread of its own. `result`, `message` and so on are set when it is over."""

    def __init__(
        self,
        *,
        task_run_id: int,
        folder: Path,
        launcher: TaskLauncher,
        command: list[str],
        path: list[Path],
        session_id: str,
        timeout: float,
        grace: float,
        redactor: Redactor,
        spark: SparkWatch | None,
        when_started: Callable[[int, ProcessIdentity], None],
        when_stopping: Callable[[int], None],
        when_over: Callable[["TaskAttempt"], None],
    ) -> None:
        self.task_run_id = task_run_id
        self.result = "FAILED"
        self.message = ""
        self.error: str | None = None
        self.trace: str | None = None
        self.entered: int | None = None
        self._folder = folder
        self._launcher = launcher
        self._command = command
        self._path = path
        self._session_id = session_id
        self._timeout = timeout
        self._grace = grace
        self._redactor = redactor
        self._spark = spark
        self._when_started = when_started
        self._when_stopping = when_stopping
        self._when_over = when_over
        self._stop: Stop | None = None
        self._changed = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"task-{task_run_id}", daemon=True)

    def stop(self, result: str, message: str) -> None:
        """End the task before its time; the first reason stays."""
        self._stop = self._stop or Stop(result, message)
        self._changed.set()

    def _run(self) -> None:
        try:
            if self._wait_for_spark():
                self._run_process()
        except Exception as error:  # a fault here must fail the task, not leave it running for ever
            log.exception("task run %s", self.task_run_id)
            self.result, self.message = "FAILED", f"The workspace could not run the task: {error}"
            self.error = self.message
        self._when_over(self)

    def _wait_for_spark(self) -> bool:
        while self._spark is not None and self._stop is None and not self._spark.is_ready():
            self._spark.wait_until_ready(0.2)
            time.sleep(0.01)
        if self._stop is not None:
            self.result, self.message = self._stop.result, self._stop.message
        return self._stop is None

    def _run_process(self) -> None:
        generation = self._spark.generation if self._spark else 0
        environment = {"SPARK_REMOTE": self._spark.remote_url(self._session_id)} if self._spark else {}
        private_folder(self._folder)
        self._redactor.refresh()
        process = self._launcher.launch(
            self._command,
            folder=self._folder,
            path=self._path,
            environment=environment,
            when_started=lambda process: self._when_started(self.task_run_id, process),
        )
        reader = threading.Thread(target=self._copy_log, args=(process.stdout,), daemon=True)
        reader.start()
        threading.Thread(target=self._await_end, args=(process,), daemon=True).start()
        if not self._changed.wait(self._timeout or None):
            self.stop("TIMEDOUT", f"The task was stopped: it ran longer than its timeout of {self._timeout:.0f} s.")
        interruption: threading.Thread | None = None
        if self._stop is not None and process.poll() is None:
            self._when_stopping(self.task_run_id)
            if self._spark:
                # Beside the grace of the process: its Spark work goes on at full load until told otherwise.
                interruption = threading.Thread(
                    target=self._spark.end_session, args=(self._session_id,), kwargs={"interrupt": True}, daemon=True
                )
                interruption.start()
            end_group(process.pid, self._grace)
        code = process.wait()
        signal_group(process.pid, signal.SIGKILL)  # what the task left behind
        reader.join(timeout=2)
        if interruption:
            interruption.join(timeout=30)
        elif self._spark:
            self._spark.end_session(self._session_id, interrupt=code != 0)
        self._judge(code, generation)

    def _await_end(self, process: TaskProcess) -> None:
        process.wait()
        self._changed.set()

    def _copy_log(self, output: IO[bytes]) -> None:
        """Write what the task prints, line by line, without secrets."""
        with private_file(self._folder / "log.txt") as target:
            for line in iter(lambda: output.readline(_LONGEST_LINE), b""):
                target.write(self._redactor.text(line.decode("utf-8", "replace")).encode())
                target.flush()

    def _judge(self, code: int, generation: int) -> None:
        outcome: dict[str, Any] = {}
        path = self._folder / "outcome.json"
        with contextlib.suppress(OSError, ValueError):
            outcome = json.loads(path.read_text(encoding="utf-8"))
            path.unlink()
            self.entered = outcome["entered_ms"]
        if outcome.get("ok") is True:
            # It had finished before the request to stop it reached it.
            self.result, self.message = "SUCCESS", ""
            return
        if self._stop is not None:
            self.result, self.message = self._stop.result, self._stop.message
            self.error = self.message if self.result == "FAILED" else None
            return
        self.result = "FAILED"
        if outcome:
            self.error = self._redactor.text(str(outcome.get("error")))
            self.trace = self._redactor.text(str(outcome.get("trace")))
        elif code < 0:
            self.error = f"The task's process was killed by signal {-code} (out of memory, or by hand)."
        else:
            self.error = f"The task's process ended with exit code {code} before its entry point returned."
        if self._spark and (self._spark.generation != generation or not self._spark.is_ready()):
            self.error = f"{SPARK_DIED} The task's own error: {self.error}"
        self.message = "Workload failed, see run output for details"


def task_environment(secrets: Path) -> dict[str, str]:
    """All that a task's process inherits: nothing of the workspace's own environment by accident."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment.setdefault("LANG", "C.UTF-8")
    return environment | {
        "TZ": "UTC",
        "PYTHONIOENCODING": "utf-8",
        "LAKEHOUSE_SECRETS_DIR": str(secrets),
        # Great Expectations reads it when it is imported.
        "GX_ANALYTICS_ENABLED": "false",
    }
