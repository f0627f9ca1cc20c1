"""Services start, are found again, and leave nothing behind, whatever happened to them."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from laptop import service_processes as processes
from laptop import services
from laptop.laptop_state import LaptopState
from machine.command_line import UserError
from machine.ports import free_ports

# A service that starts a child in its own session's group, one in another group, and one in another session.
FAMILY = """
import os, subprocess, sys, time
code = "import time; time.sleep(600)"
for extra in ({}, {"process_group": 0}, {"start_new_session": True}):
    subprocess.Popen([sys.executable, "-c", code], **extra)
print("ready", flush=True)
time.sleep(600)
"""


# A service whose child has no trace of it in its environment, as a process that overwrites that with a title.
HIDER = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={})
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def state(tmp_path: Path) -> LaptopState:
    return LaptopState(tmp_path / "state", *free_ports(3))


def start_family(state: LaptopState, code: str = FAMILY) -> processes.Service:
    service = processes.start(state, "family", [sys.executable, "-c", code], {}, Path.cwd())
    deadline = time.monotonic() + 20
    while "ready" not in processes.log_tail(state, "family"):
        assert time.monotonic() < deadline, "the service did not start"
        time.sleep(0.05)
    return service


def test_a_service_ends_with_all_that_it_started(state: LaptopState) -> None:
    service = start_family(state)
    assert os.getsid(service.pid) == service.pid, "Ctrl-C in the terminal would end it"
    assert len(processes.descendants(state)) == 4
    assert [found.name for found in processes.recorded_services(state)] == ["family"]
    processes.stop(state, processes.recorded_services(state))
    assert not service.is_alive
    assert processes.descendants(state) == []
    assert processes.recorded_services(state) == []


def test_what_a_crashed_service_left_is_ended_too(state: LaptopState) -> None:
    service = start_family(state)
    os.kill(service.pid, signal.SIGKILL)
    while service.is_alive:
        time.sleep(0.05)
    assert len(processes.descendants(state)) == 3
    services.down(state)
    assert processes.descendants(state) == []


def test_a_crashed_service_is_followed_into_its_session(state: LaptopState) -> None:
    service = start_family(state, HIDER)
    child = psutil.Process(service.pid).children()[0]
    os.kill(service.pid, signal.SIGKILL)
    while service.is_alive:
        time.sleep(0.05)
    assert child not in processes.descendants(state)
    services.down(state)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_lost_pid_file_hides_nothing(state: LaptopState) -> None:
    start_family(state)
    for note in state.pids.glob("service-*.json"):
        note.write_text("{")
    services.down(state)
    assert processes.descendants(state) == []


def test_a_reused_process_id_is_not_touched(state: LaptopState) -> None:
    stranger = psutil.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(0.05)  # a start time is known to a hundredth of a second
    try:
        service = processes.start(state, "short", [sys.executable, "-c", "pass"], {}, Path.cwd())
        note = state.pids / "service-short.json"
        note.write_text(note.read_text().replace(f'"pid": {service.pid}', f'"pid": {stranger.pid}'))
        services.down(state)
        assert stranger.is_running()
        assert stranger.status() != psutil.STATUS_ZOMBIE
    finally:
        stranger.kill()
        stranger.wait()


def test_a_port_in_use_is_named_with_the_variable_that_changes_it(state: LaptopState) -> None:
    services.check_ports(state)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", state.airflow_port))
        taken.listen()
        with pytest.raises(UserError, match=rf"port {state.airflow_port} .*LAKEHOUSE_AIRFLOW_PORT="):
            services.check_ports(state)
    services.check_ports(state)


def test_status_shows_what_runs(state: LaptopState) -> None:
    assert services.status(state).count("not running") == len(services.ALL_SERVICES)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    service = processes.start(state, "workspace", command, {}, Path.cwd(), state.workspace_port)
    (line,) = [line for line in services.status(state).splitlines() if line.startswith("workspace")]
    assert f"process {service.pid}" in line
    assert f"port {state.workspace_port}" in line
    processes.stop(state, [service])
