"""A process group is ended when nothing of it holds memory or a port any more."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from machine.ports import port_is_free
from machine.processes import ProcessIdentity, end_group, group_members

# Its first thread ends, as that of a killed JVM may long before the last one; another one holds a port.
HEADLESS = """
import ctypes, signal, socket, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = socket.create_server(("127.0.0.1", 0))
print(held.getsockname()[1], flush=True)
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture
def headless() -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HEADLESS], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        assert process.poll() is None
    yield process, port
    process.kill()
    process.wait()


def test_a_process_whose_first_thread_is_gone_lives_on(headless: tuple[subprocess.Popen[str], int]) -> None:
    process, port = headless
    assert not port_is_free(port)
    assert ProcessIdentity.of(process.pid).is_alive()
    assert group_members(process.pid) == [process.pid]


def test_the_port_of_an_ended_group_is_free(headless: tuple[subprocess.Popen[str], int]) -> None:
    """Not even one that does not listen to SIGTERM has it."""
    process, port = headless
    identity = ProcessIdentity.of(process.pid)
    end_group(process.pid, grace=0.2)
    assert port_is_free(port)
    assert not identity.is_alive()
    assert process.wait() == -signal.SIGKILL
