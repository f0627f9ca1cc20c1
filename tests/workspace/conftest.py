"""A workspace in its own process, with minimal wheels, so that most tests need no Spark."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config

from machine.ports import free_port

REPO = Path(__file__).resolve().parents[2]

MODULE = '''
import os, signal, subprocess, sys, time, pathlib

def ok():
    print("arguments", sys.argv[1:])

def number(): return 7

def fail(): raise ValueError("the order files are gone: <b>bad</b>")

def exits(): sys.exit(0)

def vanishes(): os._exit(0)

def sleeps():
    pathlib.Path("started").write_text(str(os.getpid()))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path("child").write_text(str(child.pid))
    print("sleeping", flush=True)
    time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 600)
    child.kill()

def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleeps()

def flaky():
    """Fails until the file exists that the first parameter names."""
    if not pathlib.Path(sys.argv[1]).exists(): raise RuntimeError("not yet")

def waits():
    """Returns when the file exists that the first parameter names."""
    while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)

def reveals():
    for path in sorted(pathlib.Path(os.environ["LAKEHOUSE_SECRETS_DIR"]).rglob("*")):
        if path.is_file(): print(path.name, path.read_text())
    print(sorted(os.environ))
    raise RuntimeError("token " + pathlib.Path(os.environ["LAKEHOUSE_SECRETS_DIR"], "workspace_token").read_text())

def spark_work():
    """Keeps Spark busy for minutes."""
    from pyspark.sql import SparkSession
    spark = SparkSession.builder.getOrCreate()
    print("working", flush=True)
    spark.sql("select sum(sqrt(a.id * b.id)) s from range(0, 3000000, 1, 8) a cross join range(3000000) b").collect()
'''


def make_wheel(folder: Path, module: str = MODULE, package: str = "tiny") -> Path:
    """A wheel with one module, each function of which is an entry point."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [line.split()[1].split("(")[0] for line in module.splitlines() if line.startswith("def ")]
    points = "[console_scripts]\n" + "".join(f"{name} = {package}:{name}\n" for name in names if name != "number")
    wheel = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{package}.py", textwrap.dedent(module))
        archive.writestr(f"{package}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{package}-1.0.dist-info/entry_points.txt", points)
        archive.writestr(f"{package}-1.0.dist-info/RECORD", "")
    return wheel


class Workspace:
    """The server as a process, and its clients."""

    def __init__(self, state: Path, *, spark_port: int | None = None) -> None:
        self.state = state
        self.port = free_port()
        self.host = f"http://127.0.0.1:{self.port}"
        self.spark_port = spark_port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "local_workspace", "--state", str(self.state), "serve"]
        command += ["--port", str(self.port)]
        if self.spark_port is None:
            command += ["--no-spark"]
        else:
            command += ["--spark-port", str(self.spark_port), "--spark-memory", "1g"]
        log = (self.state.parent / "workspace.log").open("ab")
        self.process = subprocess.Popen(command, cwd=REPO, stdout=log, stderr=log, start_new_session=True)
        wait_until(self.is_up, 90 if self.spark_port else 20)

    def is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.state.parent / "workspace.log").read_text()[-3000:]
        try:
            with urllib.request.urlopen(self.host + "/health", timeout=2) as answer:
                return self.spark_port is None or b'"ready"' in answer.read()
        except OSError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=40)
            self.process = None

    @property
    def token(self) -> str:
        return (self.state / "secrets" / "workspace_token").read_text().strip()

    def client(self) -> WorkspaceClient:
        return WorkspaceClient(
            config=Config(host=self.host, token=self.token, auth_type="pat", retry_timeout_seconds=5)
        )

    def call(self, method: str, path: str, body: Any = None, query: Any = None) -> Any:
        return self.client().api_client.do(method, path, body=body, query=query)

    def output(self, task_run: dict[str, Any]) -> dict[str, Any]:
        """The log and the error of a task run, as `runs/get` shows it."""
        found: dict[str, Any] = self.call("GET", "/api/2.2/jobs/runs/get-output", query={"run_id": task_run["run_id"]})
        return found

    def delete_jobs(self) -> None:
        for job in self.call("GET", "/api/2.2/jobs/list", query={"limit": 100}).get("jobs", []):
            self.call("POST", "/api/2.2/jobs/delete", {"job_id": job["job_id"]})

    def upload(self, wheel: Path, remote: str = "/Workspace/Shared/tiny-1.0-py3-none-any.whl") -> str:
        client = self.client()
        client.workspace.mkdirs(str(Path(remote).parent))
        client.api_client.do(
            "POST",
            f"/api/2.0/workspace-files/import-file{remote}",
            query={"overwrite": "true"},
            data=wheel.read_bytes(),
        )
        return remote

    def settings(self, *tasks: dict[str, Any], name: str = "job", **more: Any) -> dict[str, Any]:
        wheel = more.pop("wheel", "/Workspace/Shared/tiny-1.0-py3-none-any.whl")
        environment = {"environment_key": "default", "spec": {"environment_version": "4", "dependencies": [wheel]}}
        return {"name": name, "tasks": list(tasks), "environments": [environment], **more}

    def create(self, *tasks: dict[str, Any], **more: Any) -> int:
        return self.call("POST", "/api/2.2/jobs/create", self.settings(*tasks, **more))["job_id"]

    def run(self, job_id: int, **more: Any) -> int:
        return self.call("POST", "/api/2.2/jobs/run-now", {"job_id": job_id, **more})["run_id"]

    def get(self, run_id: int, **query: Any) -> dict[str, Any]:
        return self.call("GET", "/api/2.2/jobs/runs/get", query={"run_id": run_id, **query})

    def wait(self, run_id: int, timeout: float = 20) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            run = self.get(run_id)
            return run if run["state"]["life_cycle_state"] in ("TERMINATED", "SKIPPED", "INTERNAL_ERROR") else None

        return wait_until(over, timeout)

    def task_folder(self, run_id: int, key: str = "main") -> Path:
        task = [t for t in self.get(run_id)["tasks"] if t["task_key"] == key][-1]
        return self.state / "workspace" / "runs" / str(run_id) / str(task["run_id"])

    def wait_for_log(self, run_id: int, text: str, timeout: float = 20) -> None:
        log = self.task_folder(run_id) / "log.txt"
        wait_until(lambda: log.exists() and text in log.read_text(), timeout)


def task(
    entry_point: str, *parameters: str, key: str = "main", after: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    return {
        "task_key": key,
        "max_retries": 0,
        "environment_key": "default",
        "depends_on": [{"task_key": other} for other in after],
        "python_wheel_task": {"package_name": "tiny", "entry_point": entry_point, "parameters": list(parameters)},
        **more,
    }


def wait_until(condition: Any, timeout: float = 10) -> Any:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.03)
    raise AssertionError(f"not within {timeout} s: {condition}")


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def started_workspace(folder: Path) -> Iterator[Workspace]:
    """A workspace without Spark, with the wheel of `make_wheel`."""
    workspace = Workspace(folder / "state")
    workspace.start()
    workspace.upload(make_wheel(folder / "dist"))
    yield workspace
    workspace.stop()


@pytest.fixture(scope="session")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with started_workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        yield workspace


@pytest.fixture
def workspace(shared_workspace: Workspace) -> Iterator[Workspace]:
    """The shared workspace, without active runs and without jobs."""
    yield shared_workspace
    shared_workspace.delete_jobs()


@pytest.fixture
def own_workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace that a test may stop, kill and start again."""
    with started_workspace(tmp_path) as workspace:
        yield workspace
