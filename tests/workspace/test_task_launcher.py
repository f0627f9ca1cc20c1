"""Tasks are forked from one process on Linux, and are new interpreters elsewhere: the same to see from inside."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from laptop.service_processes import is_job_task
from local_workspace.task_launcher import IMPORTED_BY_ALL, TaskLauncher, TaskProcess
from machine.processes import ProcessIdentity
from tests.workspace.conftest import is_alive, make_wheel, wait_until

MODULE = """
import json, os, pathlib, sys, time

def tells():
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
    import zipfile

    unpacked = tmp_path / "wheel"
    with zipfile.ZipFile(make_wheel(tmp_path / "dist", MODULE, "told")) as archive:
        archive.extractall(unpacked)
    return unpacked


class Tasks:
    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder, self.wheel = folder, wheel
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "BASE": "1"}
        self.launcher = TaskLauncher(base, ["decimal", "no_such_module"])
        self.identities: list[ProcessIdentity] = []

    def launch(self, entry_point: str, *parameters: str, folder: str = ".") -> TaskProcess:
        (self.folder / folder).mkdir(exist_ok=True)
        return self.launcher.launch(
            ["told", entry_point, *parameters],
            folder=self.folder / folder,
            path=[self.wheel],
            environment={"MORE": "ü"},
            when_started=self.identities.append,
        )

    def told(self, *parameters: str) -> dict[str, object]:
        task = self.launch("tells", *parameters)
        assert task.stdout
        with task.stdout as output:
            lines = output.read().decode().splitlines()
        assert task.wait() == task.poll() == 0
        assert sorted(lines)[0] == "beside"
        found: dict[str, object] = json.loads(next(line for line in lines if line != "beside"))
        return found


@pytest.fixture
def tasks(tmp_path: Path, wheel: Path) -> Iterator[Tasks]:
    folder = tmp_path / "run"
    folder.mkdir()
    found = Tasks(folder, wheel)
    yield found
    found.launcher.stop()


@ONLY_LINUX
def test_a_fork_is_what_a_new_interpreter_would_be(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    forked = tasks.told("a b", "", "ü\n", "--forks")
    assert forked["arguments"] == ["tells", "a b", "", "ü\n", "--forks"]
    assert forked["folder"] == str(tasks.folder)
    assert forked["group"] is True
    assert forked["stdin"] == ""
    assert forked["preloaded"] is True
    assert set(forked["environment"]) - {"LC_CTYPE"} == {"PATH", "LANG", "BASE", "MORE"}
    monkeypatch.setattr("local_workspace.task_launcher.sys.platform", "darwin")
    new = tasks.told("a b", "", "ü\n", "--forks")
    assert new.pop("preloaded") is False
    assert new["environment"].pop("PYTHONPATH") == str(tasks.wheel)
    del forked["preloaded"]
    assert forked == new
    assert [identity.pid for identity in tasks.identities] == sorted({identity.pid for identity in tasks.identities})


@ONLY_LINUX
def test_its_end_is_told_whatever_it_was(tasks: Tasks) -> None:
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
def test_what_all_import_starts_no_thread(tmp_path: Path, wheel: Path) -> None:
    """Only a process of one thread can be forked without a doubt (and Python 3.12 warns of any other)."""
    launcher = TaskLauncher({"PATH": os.environ["PATH"], "GX_ANALYTICS_ENABLED": "false"}, IMPORTED_BY_ALL)
    try:
        task = launcher.launch(
            ["told", "waits"], folder=tmp_path, path=[wheel], environment={}, when_started=lambda _: None
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
def test_when_their_parent_dies_they_end_and_the_next_task_has_another(tasks: Tasks) -> None:
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
def test_a_parent_that_does_not_answer_is_given_up(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = tasks.launch("quick")
    parent = psutil.Process(tasks.launch("waits").pid).parent()
    assert parent
    assert quick.wait() == 0
    monkeypatch.setattr("local_workspace.task_launcher.LONGEST_IMPORT", 0.5)
    parent.suspend()
    with pytest.raises(TimeoutError, match=r"did not answer within 0\.5 s"):
        tasks.launch("quick")
    wait_until(lambda: not parent.is_running())
    monkeypatch.undo()
    assert tasks.launch("quick").wait() == 0


@ONLY_LINUX
def test_what_is_not_recorded_does_not_begin(tasks: Tasks) -> None:
    """A workspace that dies, or fails, before it has noted a process leaves none behind."""
    started: list[ProcessIdentity] = []

    def fails(process: ProcessIdentity) -> None:
        started.append(process)
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        tasks.launcher.launch(
            ["told", "waits"], folder=tasks.folder, path=[tasks.wheel], environment={}, when_started=fails
        )
    wait_until(lambda: not started[0].is_alive())
    assert not (tasks.folder / "started").exists()


@ONLY_LINUX
@pytest.mark.parametrize(("argument", "error"), [("a\0b", ValueError), ("ü" * 70_000, OSError), ("\ud800", ValueError)])
def test_what_no_program_can_be_given_is_refused(tasks: Tasks, argument: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        tasks.launch("tells", argument)
    assert tasks.identities == []
