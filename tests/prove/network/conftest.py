"""Airflow's side of the network: a real workspace behind the proxy, the connection to it, and a task runner."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dags.conftest import FakeTask, Store, context  # noqa: F401 - before airflow is imported; a fixture
from tests.prove.network.proxy import HostileNetwork
from tests.workspace.conftest import Workspace, make_wheel, task

CLIENT_TIMEOUT = 0.8  # seconds; 180 in earnest
JOB_SECONDS = 0.4  # what these jobs take
OPS = "/Volumes/spark_catalog/ops/files"
# What the real jobs leave on the ops volume, without their work.
JOBS = """
import builtins, json, sys, time, pathlib

def write(path, content):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))

def build():
    ops, layer, run, start, end = sys.argv[1:]
    write(f"{ops}/verdicts/{layer}/{run}.json", {
        "layer": layer, "build_id": f"{run}_0", "job_run_id": run, "success": True,
        "interval_start": start[:10], "interval_end": end[:10], "fingerprint": f"{int(run):064x}",
        "statistics": {"evaluated": 1, "successful": 1, "failed": 0, "warnings": 0}, "failures": [], "warnings": [],
        "notes": [], "rows": {"landed": 1}, "data_docs": f"data_docs/{layer}/{run}_0/index.html"})

def publish():
    ops, layer, run, build_id, fingerprint = sys.argv[1:]
    write(f"{ops}/publications/{run}.json", {
        "layer": layer, "seq": 1, "interval_start": "2018-01-01", "interval_end": "2018-01-08", "job_run_id": run,
        "fingerprint": fingerprint, "build_id": build_id, "already_published": False,
        "tables": {f"{layer}.{t}": {"version": 1, "rows": 1} for t in ("order_items", "quarantine", "landed_files")}})

def broken(): raise getattr(builtins, sys.argv[2])("the order files are gone")

def long(): time.sleep({"quick": 0, "brief": 2.5}.get(sys.argv[2], 600))
"""


@pytest.fixture(scope="session")
def lakehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with the jobs of a layer."""
    folder: Path = tmp_path_factory.mktemp("network")
    server = Workspace(folder / "state")
    server.start()
    server.upload(make_wheel(folder / "dist", JOBS))
    ops = str(server.state / OPS.removeprefix("/V").replace("olumes", "volumes"))
    for name, entry_point, more in (
        ("bronze_build", "build", ("interval_start", "interval_end")),
        ("publish", "publish", ("build_id", "fingerprint")),
        ("broken", "broken", ()),
        ("long", "long", ()),
    ):
        used = ("ops_root", "layer", *more)
        given = [f"{{{{job.parameters.{parameter}}}}}" for parameter in used]
        given.insert(2, "{{job.run_id}}")
        declared = [{"name": n, "default": {"ops_root": ops, "layer": "bronze"}.get(n, "")} for n in used]
        server.create(
            task(entry_point, *given),
            name=name,
            parameters=[*declared, {"name": "build_job_run_id", "default": ""}],
            max_concurrent_runs=5,
        )
    for day in range(1, 8):
        landed = server.state / "volumes" / "spark_catalog" / "landing" / "files" / f"dt=2018-01-{day:02d}"
        landed.mkdir(parents=True)
        (landed / "orders.csv").write_text("order_item_id\n", encoding="utf-8")
    yield server
    server.stop()


@pytest.fixture
def network(lakehouse: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileNetwork]:
    """The only way to the workspace that Airflow has. Airflow's waits are shortened, and nothing else of it."""
    from airflow.providers.databricks.hooks import databricks_base
    from tenacity import wait_fixed

    monkeypatch.setattr(databricks_base, "wait_exponential", lambda **_: wait_fixed(0.02))
    before = databricks_base.BaseDatabricksHook.__init__

    def impatient(self: Any, *args: Any, **kwargs: Any) -> None:
        before(self, *args, **kwargs)
        self.timeout_seconds = CLIENT_TIMEOUT

    monkeypatch.setattr(databricks_base.BaseDatabricksHook, "__init__", impatient)
    proxy = HostileNetwork(lakehouse.port, CLIENT_TIMEOUT)
    connection = {"conn_type": "databricks", "host": "127.0.0.1", "port": proxy.port, "schema": "http"}
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_DEFAULT", json.dumps(connection | {"password": lakehouse.token}))
    yield proxy
    proxy.close()


class Task:
    """A task of a DAG run: tries, each of which ends, defers and is resumed as Airflow does it."""

    def __init__(self, run: dict[str, Any], name: str, make: Callable[[], Any], retries: int = 2) -> None:
        self.context = run | {"ti": FakeTask(id=f"{name}-1"), "task_state_store": Store()}
        self.name, self.make, self.retries = name, make, retries
        self.tries: list[str] = []
        self.errors: list[str] = []
        self.deferred = 0

    def run(self) -> Any:
        """The result of the last try; raises what it raised."""
        while True:
            try:
                return self.one_try()
            except Exception as error:
                from airflow.sdk.exceptions import AirflowFailException

                self.errors.append("".join(traceback.format_exception(error)))
                if isinstance(error, AirflowFailException) or len(self.tries) > self.retries:
                    raise

    def one_try(self) -> Any:
        from airflow.sdk.exceptions import TaskDeferred

        ti = self.context["ti"]
        self.tries.append(f"{self.name}-{len(self.tries) + 1}")
        ti.id, ti.try_number = self.tries[-1], len(self.tries)
        operator = self.make()
        try:
            return operator.execute(self.context)
        except TaskDeferred as deferred:
            wait = deferred
        self.deferred += 1
        path, arguments = wait.trigger.serialize()
        assert path == "include.triggers.JobRunTrigger"
        # The triggerer and the worker that resumes the task are other processes: nothing but this reaches them.
        event = self._wait(json.loads(json.dumps(arguments)))
        return self.make().resume_execution("__fail__" if "error" in event else wait.method_name, event, self.context)

    def _wait(self, arguments: dict[str, Any]) -> dict[str, Any]:
        from include.triggers import JobRunTrigger

        async def first_event() -> Any:
            return (await anext(JobRunTrigger(**arguments | {"settle_seconds": JOB_SECONDS}).run())).payload

        try:
            return {"event": asyncio.run(first_event())}
        except Exception as error:  # noqa: BLE001 - as the triggerer does it: whatever it was, the task gets it
            return {"error": "Trigger failure", "traceback": traceback.format_exception(error)}


def runs_of(workspace: Workspace, since: int) -> list[dict[str, Any]]:
    """All job runs that are newer than the given one, the oldest first."""
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 26}
    while True:
        page = workspace.call("GET", "/api/2.2/jobs/runs/list", query=query)
        found += [run for run in page.get("runs", []) if run["run_id"] > since]
        if "next_page_token" not in page:
            return found[::-1]
        query["page_token"] = page["next_page_token"]
