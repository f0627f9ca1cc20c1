"""Start the processes of tasks.

On Linux they are forked from a fork server that has imported what every task imports: on two cores these imports take
one to four seconds, nine times per daily run. On other systems, where forking a process with system libraries is not
safe, each is a new interpreter.
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

from local_workspace.task_process import FORK_SERVER
from machine.processes import ProcessIdentity, signal_group

PROGRAM = Path(__file__).with_name("task_process.py")
IMPORTED_BY_ALL = ("pandas", "pyspark.sql.connect.session", "pyspark.sql.functions", "great_expectations")
"""What the bundle's jobs import besides their own wheel; the tasks of other jobs need not."""
NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Keeps numeric libraries from starting threads when they are imported: a forked process would not have them."""
ARGUMENT_LIMIT = 128 * 1024
"""Bytes of one parameter: the limit of Linux for a new program (MAX_ARG_STRLEN)."""


class TaskProcess(Protocol):
    """The process of a task, which leads its own process group."""

    pid: int

    @property
    def stdout(self) -> IO[bytes] | None:
        """What the task prints, to stdout and to stderr."""

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""


class ForkedTask:
    """A process that the fork server started."""

    def __init__(self, pid: int, stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdout = stdout
        self._code: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        return self._code

    def wait(self) -> int:
        self._ended.wait()
        return self._code or 0

    def end(self, code: int) -> None:
        self._code = code
        self._ended.set()


class TaskLauncher:
    """Launches tasks with a common environment.

    With `fork` they are forked, and `modules` are imported once for all of them. The fork server must answer within
    `timeout` seconds, its imports included.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        modules: Sequence[str] = (),
        *,
        fork: bool = sys.platform == "linux",
        timeout: float = 120,
    ) -> None:
        self._environment = dict(environment)
        self._modules = modules
        self._fork = fork
        self._timeout = timeout
        self._fork_server: ForkServer | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the imports now, so that the first task need not wait for them."""
        if self._fork:
            with self._lock:
                self._running_fork_server()

    def stop(self) -> None:
        with self._lock:
            if self._fork_server:
                self._fork_server.stop()

    def launch(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        path: Sequence[Path],
        environment: Mapping[str, str],
        when_started: Callable[[ProcessIdentity], object],
    ) -> TaskProcess:
        """Start the process of one task in `folder`, with `path` in front of its search path for modules.

        `environment` is added to the common one. A forked task begins when `when_started` has returned. Raises OSError,
        and ValueError for a parameter that no process can have.
        """
        environment = self._environment | dict(environment)
        if not self._fork:
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
                    task = self._running_fork_server().fork(reading)
            finally:
                os.close(reading)
            when_started(ProcessIdentity.of(task.pid))
            with contextlib.suppress(BrokenPipeError):  # it was killed already, which its exit code reports
                order.write(json.dumps(request))
                order.flush()
        return task

    def _running_fork_server(self) -> "ForkServer":
        if self._fork_server is None or self._fork_server.is_over:
            self._fork_server = ForkServer(self._environment, self._modules, self._timeout)
        return self._fork_server


class ForkServer:
    """The parent of the tasks' processes. If it dies, they are killed, because nobody would see their end."""

    def __init__(self, environment: Mapping[str, str], modules: Sequence[str], timeout: float) -> None:
        self._timeout = timeout
        self._channel, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with server_end:
            self._process = subprocess.Popen(  # noqa: S603 - see above
                _interpreter(FORK_SERVER, str(server_end.fileno()), *modules),
                stdin=subprocess.DEVNULL,
                env={**environment, **NO_THREADS},
                pass_fds=(server_end.fileno(),),
                start_new_session=True,
            )
        self._output: IO[bytes] | None = None
        self._started: queue.Queue[ForkedTask | None] = queue.Queue()
        self._tasks: dict[int, ForkedTask] = {}
        self.is_over = False
        threading.Thread(target=self._listen, name="fork-server", daemon=True).start()

    def fork(self, order: int) -> ForkedTask:
        """Fork a process that reads its order from this file descriptor. Calls must not overlap. Raises OSError."""
        reading, writing = os.pipe()
        self._output = os.fdopen(reading, "rb")
        try:
            socket.send_fds(self._channel, [b"fork"], [order, writing])
        finally:
            os.close(writing)
        try:
            task = self._started.get(timeout=self._timeout)
        except queue.Empty:
            self._process.kill()
            raise TimeoutError(f"the fork server of the tasks did not answer within {self._timeout} s") from None
        if task is None:
            raise OSError("the fork server of the tasks has died")
        return task

    def stop(self) -> None:
        self._channel.shutdown(socket.SHUT_RDWR)
        self._process.wait()

    def _listen(self) -> None:
        while packet := _received(self._channel):
            answer = json.loads(packet)
            if "started" in answer:
                if self._output is None:
                    raise RuntimeError("the fork server started a task without a request")
                task = self._tasks[answer["started"]] = ForkedTask(answer["started"], self._output)
                self._started.put(task)
            else:
                self._tasks.pop(answer["ended"]).end(answer["code"])
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
    """Raise the error that starting a new program with this argument would raise."""
    if "\0" in argument:
        raise ValueError("embedded null byte")
    if len(os.fsencode(argument)) >= ARGUMENT_LIMIT:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
