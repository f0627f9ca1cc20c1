"""The server that runs the tests of mutants; run.py starts it in a copy of the work tree.

    serve.py SOCKET IMPORTS ARGUMENTS...

SOCKET is the file descriptor of a listening socket, IMPORTS are modules to load once, and ARGUMENTS those of pytest.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import sys

import pytest


def serve(server: socket.socket, imports: list[str], arguments: list[str]) -> None:
    """Answer each connection with a run of the tests in a separate process: their output, then the exit code.

    A caller that hangs up ends its tests.
    """
    for name in imports:
        importlib.import_module(name)
    known = [name for name in sys.modules if name.split(".")[0] in ("spark_jobs", "include", "tests")]
    assert not known, f"already loaded, so that their mutants would never be seen: {known}"
    while True:
        caller, _ = server.accept()
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            for stream in (1, 2):
                os.dup2(caller.fileno(), stream)
            code = 70
            try:
                code = int(pytest.main(arguments))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        with caller:
            while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if select.select([caller], [], [], 0.02)[0] and not caller.recv(1):
                    os.killpg(child, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            try:
                caller.sendall(f"\n{code}".encode())
            except OSError:  # it has hung up
                continue


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2].split(","), sys.argv[3:])
