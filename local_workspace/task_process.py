"""The process of one task: it calls a wheel's entry point as Databricks' wheel runner does.

Run as a file, with nothing but the standard library, so that a task starts at once. Arguments: package name, entry
point, then the task's parameters. How it ended is left in `outcome.json` in the working folder: ok, error, trace, and
entered_ms, when the entry point was called (milliseconds since 1970).

With `--forks`, the number of a socket's file descriptor and names of modules, it is the parent of such processes
instead: it imports the modules, and forks a process for each request that comes through the socket.
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

FORKS = "--forks"
NAME = "task_process"
"""What the system's list of processes calls a task, whose command line is that of its parent."""


def find_entry_point(package: str, name: str) -> Callable[[], object]:
    """The entry point of that name in the package's metadata, else the package's attribute."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for entry_point in importlib.metadata.distribution(package).entry_points:
            if entry_point.name == name:
                found: Callable[[], object] = entry_point.load()
                return found
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
        # Without the frames of this file: they tell nobody anything.
        steps = error.__traceback__
        while steps is not None and steps.tb_frame.f_code.co_filename == __file__:
            steps = steps.tb_next
        return {
            "ok": False,
            "error": message,
            "trace": "".join(traceback.format_exception(error.with_traceback(steps))),
            "entered_ms": entered_ms,
        }
    return {"ok": True, "entered_ms": entered_ms}


def main(arguments: list[str]) -> None:
    if arguments[0] == FORKS:
        fork_tasks(socket.socket(fileno=int(arguments[1])), arguments[2:])
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
    # Not through the interpreter's shutdown: the task is over when its entry point is. Forgotten threads or exit
    # hooks (Spark's client waits there for a server that may be gone) must not hold it.
    os._exit(0 if outcome["ok"] else 1)


def fork_tasks(channel: socket.socket, modules: list[str]) -> None:
    """Forks a process for each request, and tells how it ended, until the other end of the channel is closed.

    A request is two file descriptors: one from which the process reads what to do as JSON (`command`, `folder`,
    `environment`, `path`; it ends if it reads nothing), and one for what it prints. The answers, a packet each, are
    JSON: first `started` with the process id, in the order of the requests, and later `ended` with the id, and
    `code`, which is negative for a signal.
    """
    for module in modules:
        with contextlib.suppress(ImportError):  # the task that needs it says so itself
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what all processes share stays shared
    child_ended, told = os.pipe()
    for end in (child_ended, told):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
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
                for descriptor in (child_ended, told):
                    os.close(descriptor)
                channel.close()
                _become_task(*descriptors)
            with contextlib.suppress(OSError):  # both do it, since whoever hears of the group may signal it at once
                os.setpgid(pid, pid)
            for descriptor in descriptors:
                os.close(descriptor)
            channel.send(json.dumps({"started": pid}).encode())


def _ended_children() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):  # there is none left
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, os.waitstatus_to_exitcode(status)


def _become_task(request: int, output: int) -> None:
    """From here on the forked process is what a new interpreter with these arguments would be. Never returns."""
    try:
        os.setpgid(0, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        with open(request, encoding="utf-8") as file:
            text = file.read()
        if not text:
            return
        wanted = json.loads(text)
        with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as comm:  # noqa: PTH123
            comm.write(NAME)
        os.chdir(wanted["folder"])
        os.environ.clear()
        os.environ.update(wanted["environment"])
        sys.path[:0] = wanted["path"]
        gc.unfreeze()
        main(wanted["command"])
    except BaseException:  # noqa: BLE001 - it must not go on as a second parent
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
