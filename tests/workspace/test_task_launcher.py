"""A forked task sees the same as one in a new interpreter, and its end is always reported."""

from __future__ import annotations

import json
import os
import signal
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from laptop.service_processes import is_job_task
from local_workspace.task_launcher import IMPORTED_BY_ALL, TaskLauncher, TaskProcess
from machine.processes import ProcessIdentity
from tests.workspace.conftest import is_alive, make_wheel, wait_until

MODULE = """
import json, os, pathlib, sys, time

def reports():
    print(json.dumps({
        "arguments": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ), "stdin": sys.stdin.read(),
        "group": os.getpgid(0) == os.getpid(), "preloaded": "decimal" in sys.modules, "path": sys.path,
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
    }))
    print("beside", file=sys.stderr)

def waits():
    pathlib.Path("started").touch()
    time.sleep(600)

def quick(): pass
"""
ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each task is a new interpreter anyway")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    unpacked = tmp_path / "wheel"
    with zipfile.ZipFile(make_wheel(tmp_path / "dist", MODULE, "probe")) as archive:
        archive.extractall(unpacked)
    return unpacked


class Tasks:
    """Launches entry points of the wheel, and keeps the identities of their processes."""

    def __init__(self, folder: Path, wheel: Path, *, fork: bool = True, timeout: float = 120) -> None:
        self.folder, self.wheel = folder, wheel
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "BASE": "1"}
        self.launcher = TaskLauncher(base, ["decimal", "no_such_module"], fork=fork, timeout=timeout)
        self.identities: list[ProcessIdentity] = []

    def close(self) -> None:
        self.launcher.stop()

    def launch(self, entry_point: str, *parameters: str, folder: str = ".") -> TaskProcess:
        (self.folder / folder).mkdir(exist_ok=True)
        return self.launcher.launch(
            ["probe", entry_point, *parameters],
            folder=self.folder / folder,
            path=[self.wheel],
            environment={"MORE": "ü"},
            when_started=self.identities.append,
        )

    def report(self, *parameters: str) -> dict[str, Any]:
        """What a task finds: its arguments, environment, open files and so on."""
        task = self.launch("reports", *parameters)
        assert task.stdout
        with task.stdout as output:
            lines = output.read().decode().splitlines()
        assert task.wait() == task.poll() == 0
        assert sorted(lines)[0] == "beside"
        found: dict[str, Any] = json.loads(next(line for line in lines if line != "beside"))
        return found


@pytest.fixture
def tasks(tmp_path: Path, wheel: Path) -> Iterator[Tasks]:
    folder = tmp_path / "run"
    folder.mkdir()
    with closing(Tasks(folder, wheel)) as found:
        yield found


@ONLY_LINUX
def test_a_forked_task_is_like_a_new_interpreter(tasks: Tasks) -> None:
    forked = tasks.report("a b", "", "ü\n", "--fork-server")
    assert forked["arguments"] == ["reports", "a b", "", "ü\n", "--fork-server"]
    assert forked["folder"] == str(tasks.folder)
    assert forked["group"] is True
    assert forked["stdin"] == ""
    assert forked["preloaded"] is True
    assert set(forked["environment"]) - {"LC_CTYPE"} == {"PATH", "LANG", "BASE", "MORE"}
    new = Tasks(tasks.folder, tasks.wheel, fork=False).report("a b", "", "ü\n", "--fork-server")
    assert new.pop("preloaded") is False
    assert new["environment"].pop("PYTHONPATH") == str(tasks.wheel)
    del forked["preloaded"]
    assert forked == new
    assert [identity.pid for identity in tasks.identities] == sorted({identity.pid for identity in tasks.identities})


@ONLY_LINUX
def test_every_end_is_reported(tasks: Tasks) -> None:
    assert tasks.launch("missing").wait() == 1
    for number in (signal.SIGTERM, signal.SIGKILL):
        task = tasks.launch("waits")
        wait_until((tasks.folder / "started").exists)
        assert task.poll() is None
        assert is_job_task(psutil.Process(task.pid))
        os.killpg(task.pid, number)
        assert task.wait() == -number
        wait_until(lambda pid=task.pid: not psutil.pid_exists(pid))  # no zombie stays
        (tasks.folder / "started").unlink()


@ONLY_LINUX
def test_the_common_imports_start_no_thread(tmp_path: Path, wheel: Path) -> None:
    """Only a process with one thread can be forked safely (Python 3.12 warns of any other)."""
    launcher = TaskLauncher({"PATH": os.environ["PATH"], "GX_ANALYTICS_ENABLED": "false"}, IMPORTED_BY_ALL)
    try:
        task = launcher.launch(
            ["probe", "waits"], folder=tmp_path, path=[wheel], environment={}, when_started=lambda _: None
        )
        parent = psutil.Process(task.pid).parent()
        assert parent
        assert parent.num_threads() == 1
        assert any("great_expectations" in each.path or "numpy" in each.path for each in parent.memory_maps())
        os.killpg(task.pid, signal.SIGKILL)
        task.wait()
    finally:
        launcher.stop()


@ONLY_LINUX
def test_many_at_once(tasks: Tasks) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda number: tasks.launch("quick", folder=str(number)).wait(), range(64)))
    assert codes == [0] * 64
    assert len({identity.pid for identity in tasks.identities}) == 64


@ONLY_LINUX
def test_tasks_end_with_their_fork_server_and_the_next_task_starts_another(tasks: Tasks) -> None:
    task = tasks.launch("waits")
    wait_until((tasks.folder / "started").exists)
    parent = psutil.Process(task.pid).parent()
    assert parent
    assert not is_job_task(parent)
    parent.kill()
    assert task.wait() == -signal.SIGKILL
    wait_until(lambda: not is_alive(task.pid))
    assert tasks.launch("quick").wait() == 0


@ONLY_LINUX
def test_a_fork_server_that_does_not_answer_is_replaced(tasks: Tasks) -> None:
    impatient = Tasks(tasks.folder, tasks.wheel, timeout=3)
    with closing(impatient):
        parent = psutil.Process(impatient.launch("waits").pid).parent()
        assert parent
        parent.suspend()
        with pytest.raises(TimeoutError, match=r"did not answer within 3 s"):
            impatient.launch("quick")
        wait_until(lambda: not parent.is_running())
        assert impatient.launch("quick").wait() == 0


@ONLY_LINUX
def test_a_task_whose_process_is_not_recorded_does_not_begin(tasks: Tasks) -> None:
    """A workspace that dies or fails before it has recorded a process leaves none running."""
    started: list[ProcessIdentity] = []

    def fails(process: ProcessIdentity) -> None:
        started.append(process)
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        tasks.launcher.launch(
            ["probe", "waits"], folder=tasks.folder, path=[tasks.wheel], environment={}, when_started=fails
        )
    wait_until(lambda: not started[0].is_alive())
    assert not (tasks.folder / "started").exists()


@ONLY_LINUX
@pytest.mark.parametrize(("argument", "error"), [("a\0b", ValueError), ("ü" * 70_000, OSError), ("\ud800", ValueError)])
def test_invalid_arguments_are_refused(tasks: Tasks, argument: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        tasks.launch("reports", argument)
    assert tasks.identities == []
