"""The process of one task: call a wheel's entry point as the wheel runner of Databricks does.

This file is run as a program and imports only the standard library, so that a task starts fast. Arguments: package
name, entry point, then the task's parameters. It writes its outcome to `outcome.json` in the working folder: ok, error,
trace, and entered_ms, the moment at which the entry point was called (milliseconds since 1970).

With `--fork-server`, the file descriptor of a socket and names of modules, it is a fork server instead: it imports the
modules, and forks such a process for each request that it receives through the socket.
"""

import contextlib
import gc
import importlib
import importlib.metadata
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator

FORK_SERVER = "--fork-server"
NAME = "task_process"
"""The process name of a forked task, which has the command line of the fork server."""


def find_entry_point(package: str, name: str) -> Callable[[], object]:
    """Return the entry point of that name in the package's metadata, otherwise the attribute of the package."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for entry_point in importlib.metadata.distribution(package).entry_points:
            if entry_point.name == name:
                function: Callable[[], object] = entry_point.load()
                return function
    module = importlib.import_module(package)
    attribute: Callable[[], object] | None = getattr(module, name, None)
    if attribute is None:
        raise AttributeError(f"package {package} has no entry point {name} in its metadata, and no such attribute")
    return attribute


def run(package: str, name: str, parameters: list[str]) -> dict[str, object]:
    sys.argv = [name, *parameters]
    entered_ms: int | None = None
    try:
        entry_point = find_entry_point(package, name)
        entered_ms = time.time_ns() // 1_000_000
        entry_point()
    except SystemExit as error:
        # Databricks counts every exit as a failure, sys.exit(0) included.
        message = f"SystemExit: {error.code} (an entry point must return; the wheel runner takes any exit as a failure)"
        return {"ok": False, "error": message, "trace": traceback.format_exc(), "entered_ms": entered_ms}
    except BaseException as error:  # noqa: BLE001 - whatever it was, the task has failed
        message = "".join(traceback.format_exception_only(error)).strip()
        # The frames of this file would not help the reader.
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        return {
            "ok": False,
            "error": message,
            "trace": "".join(traceback.format_exception(error.with_traceback(frames))),
            "entered_ms": entered_ms,
        }
    return {"ok": True, "entered_ms": entered_ms}


def main(arguments: list[str]) -> None:
    if arguments[0] == FORK_SERVER:
        serve_forks(socket.socket(fileno=int(arguments[1])), arguments[2:])
        return
    package, name, *parameters = arguments
    outcome = run(package, name, parameters)
    if not outcome["ok"]:
        print(outcome["trace"], file=sys.stderr)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    with open("outcome.json.part", "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs start time
        json.dump(outcome, file)
    os.replace("outcome.json.part", "outcome.json")  # noqa: PTH105
    # Skip the interpreter's shutdown: the task is over when its entry point returns. Threads and exit hooks must not
    # delay it (an exit hook of Spark's client waits for a server that may have ended).
    os._exit(0 if outcome["ok"] else 1)


def serve_forks(channel: socket.socket, modules: list[str]) -> None:
    """Fork a process for each request, and report its end, until the other end of the channel is closed.

    A request is two file descriptors: the process reads its order from the first as JSON (`command`, `folder`,
    `environment`, `path`; it ends if it reads nothing), and prints to the second. Each answer is a packet of JSON:
    first `started` with the process id, in the order of the requests, and later `ended` with the id and the exit
    `code`, which is negative for a signal.
    """
    for module in modules:
        with contextlib.suppress(ImportError):  # a task that needs the module fails with the reason
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # keeps the memory that all processes share shared
    child_ended, wake_up = os.pipe()
    for end in (child_ended, wake_up):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([channel.fileno(), child_ended], [], [])
        if child_ended in ready:
            os.read(child_ended, 4096)
            for pid, code in _ended_children():
                channel.send(json.dumps({"ended": pid, "code": code}).encode())
        if channel.fileno() in ready:
            packet, descriptors, _, _ = socket.recv_fds(channel, 16, 2)
            if not packet:
                return
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for descriptor in (child_ended, wake_up):
                    os.close(descriptor)
                channel.close()
                _become_task(*descriptors)
            with contextlib.suppress(OSError):  # the child does it too; the group must exist before it is reported
                os.setpgid(pid, pid)
            for descriptor in descriptors:
                os.close(descriptor)
            channel.send(json.dumps({"started": pid}).encode())


def _ended_children() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):  # no child is left
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, os.waitstatus_to_exitcode(status)


def _become_task(order_fd: int, output: int) -> None:
    """Make the forked process what a new interpreter with these arguments would be, and run the task. Never returns."""
    try:
        os.setpgid(0, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        with open(order_fd, encoding="utf-8") as file:
            text = file.read()
        if not text:
            return
        order = json.loads(text)
        with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as comm:  # noqa: PTH123
            comm.write(NAME)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.path[:0] = order["path"]
        gc.unfreeze()
        main(order["command"])
    except BaseException:  # noqa: BLE001 - it must not continue as a second fork server
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
