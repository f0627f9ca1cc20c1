"""Starts the processes of tasks.

On Linux they are forked from one process that has imported what every task imports: on two cores these imports take
one to four seconds, nine times a daily run. Elsewhere, where a fork of a process with system libraries is not safe,
each is a new interpreter.
"""

import contextlib
import errno
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from local_workspace.task_process import FORKS
from machine.processes import ProcessIdentity, signal_group

PROGRAM = Path(__file__).with_name("task_process.py")
IMPORTED_BY_ALL = ("pandas", "pyspark.sql.connect.session", "pyspark.sql.functions", "great_expectations")
"""What the jobs of the bundle import beside their own wheel; a task of any other may do without."""
NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""What keeps numeric libraries from starting threads when they are imported: a fork would not take them along."""
LONGEST_IMPORT = 120
"""Seconds until the process that forks is given up."""
LONGEST_ARGUMENT = 128 * 1024
"""Bytes, of one parameter: what Linux gives a new program (MAX_ARG_STRLEN)."""


class TaskProcess(Protocol):
    """What is asked of a task's process; its id is also the id of its group."""

    pid: int

    @property
    def stdout(self) -> IO[bytes] | None:
        """What the task prints, errors too."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""

    def wait(self) -> int:
        """Its exit code, when it has ended."""


class ForkedTask:
    """A process that another one forked."""

    def __init__(self, pid: int, stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdout = stdout
        self._code: int | None = None
        self._over = threading.Event()

    def poll(self) -> int | None:
        return self._code

    def wait(self) -> int:
        self._over.wait()
        return self._code or 0

    def end(self, code: int) -> None:
        self._code = code
        self._over.set()


class TaskLauncher:
    """Launches tasks, all with the same environment but for what each adds."""

    def __init__(self, environment: Mapping[str, str], modules: Sequence[str] = ()) -> None:
        self._environment = dict(environment)
        self._modules = modules
        self._forks: _Forks | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to import, so that the first task need not wait for it."""
        if sys.platform == "linux":
            with self._lock:
                self._running_forks()

    def stop(self) -> None:
        with self._lock:
            if self._forks:
                self._forks.stop()

    def launch(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        path: Sequence[Path],
        environment: Mapping[str, str],
        when_started: Callable[[ProcessIdentity], None],
    ) -> TaskProcess:
        """The process of one task, in `folder`, with `path` in front of its modules, in a process group of its own.

        `environment` comes on top of that of all tasks. Raises OSError, and ValueError for a parameter that no
        process can be given.
        """
        environment = self._environment | dict(environment)
        if sys.platform != "linux":
            joined = os.pathsep.join(str(each) for each in path)
            process = subprocess.Popen(  # noqa: S603 - a list, so no value passes through a shell
                _interpreter(*command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment | {"PYTHONPATH": joined},
                start_new_session=True,
            )
            when_started(ProcessIdentity.of(process.pid))
            return process
        for argument in command:
            _check_argument(argument)
        request = {
            "command": list(command),
            "folder": str(folder),
            "path": [str(each) for each in path],
            "environment": environment,
        }
        reading, writing = os.pipe()
        with os.fdopen(writing, "w", encoding="utf-8") as order:
            try:
                with self._lock:
                    task = self._running_forks().fork(reading)
            finally:
                os.close(reading)
            when_started(ProcessIdentity.of(task.pid))
            with contextlib.suppress(BrokenPipeError):  # it was killed; its end says so
                order.write(json.dumps(request))
                order.flush()
        return task

    def _running_forks(self) -> "_Forks":
        if self._forks is None or self._forks.is_over:
            self._forks = _Forks(self._environment, self._modules)
        return self._forks


class _Forks:
    """The parent of the tasks' processes. When it dies, they are ended: nobody would see their end."""

    def __init__(self, environment: Mapping[str, str], modules: Sequence[str]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - see above
                _interpreter(FORKS, str(theirs.fileno()), *modules),
                stdin=subprocess.DEVNULL,
                env={**environment, **NO_THREADS},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._output: IO[bytes] | None = None
        self._started: queue.Queue[ForkedTask | None] = queue.Queue()
        self._tasks: dict[int, ForkedTask] = {}
        self.is_over = False
        threading.Thread(target=self._listen, name="task-processes", daemon=True).start()

    def fork(self, order: int) -> ForkedTask:
        """A process that waits for its order on that file descriptor; one at a time. Raises OSError."""
        reading, writing = os.pipe()
        self._output = os.fdopen(reading, "rb")
        try:
            socket.send_fds(self._channel, [b"fork"], [order, writing])
        finally:
            os.close(writing)
        try:
            task = self._started.get(timeout=LONGEST_IMPORT)
        except queue.Empty:
            self._process.kill()
            raise TimeoutError(f"the process that starts the tasks did not answer within {LONGEST_IMPORT} s") from None
        if task is None:
            raise OSError("the process that starts the tasks has died")
        return task

    def stop(self) -> None:
        self._channel.shutdown(socket.SHUT_RDWR)
        self._process.wait()

    def _listen(self) -> None:
        while packet := _received(self._channel):
            told = json.loads(packet)
            if "started" in told:
                if self._output is None:
                    raise RuntimeError("a task was started that nobody asked for")
                task = self._tasks[told["started"]] = ForkedTask(told["started"], self._output)
                self._started.put(task)
            else:
                self._tasks.pop(told["ended"]).end(told["code"])
        self.is_over = True
        self._process.wait()
        for task in self._tasks.values():
            signal_group(task.pid, signal.SIGKILL)
            task.end(-signal.SIGKILL)
        self._started.put(None)


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(4096)
    except OSError:
        return b""


def _interpreter(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-u", str(PROGRAM), *arguments]


def _check_argument(argument: str) -> None:
    """As a new program would be refused it."""
    if "\0" in argument:
        raise ValueError("embedded null byte")
    if len(os.fsencode(argument)) >= LONGEST_ARGUMENT:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
