"""Airflow of its own for these tests: a home in a temporary folder, and a tiny workspace as the connection."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]

for folder in (str(REPO), str(Path(__file__).parent)):
    if folder not in sys.path:
        sys.path.insert(0, folder)

import include.settings as settings  # noqa: E402

# The defaults are tested, whatever the caller's environment says.
for field in fields(settings.Settings):
    os.environ.pop(f"LAKEHOUSE_{field.name.upper()}", None)
settings.SETTINGS = settings.load()

# Before anything imports airflow, which reads these once. An Airflow that another test has configured is kept.
if "airflow" not in sys.modules:
    home = tempfile.mkdtemp(prefix="airflow-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["AIRFLOW_HOME"] = home
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(REPO / "dags")
    os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(REPO / "plugins")
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from tiny_workspace import LANDING, TinyWorkspace  # noqa: E402


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyWorkspace]:
    """A workspace over HTTP, and the connection to it."""
    server = TinyWorkspace()
    server.folders[LANDING] = [f"dt=2018-01-{day:02d}" for day in range(1, 32)]
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_DEFAULT", server.connection)
    yield server
    server.close()


@pytest.fixture(scope="session")
def dags() -> dict[str, Any]:
    """The DAGs of the repository, parsed; no import error."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(REPO / "dags"))
    assert bag.import_errors == {}
    return dict(bag.dags)


class FakeTask(SimpleNamespace):
    """What an operator sees of its task instance: an id, a try, XCom."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"id": "ti-1", "try_number": 1, "xcom": {}, **given})

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom[key] = value


class Store(dict[str, Any]):
    """The task's state store, which outlives tries."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


@pytest.fixture
def context() -> dict[str, Any]:
    """The context of a task of a run over the first week of 2018."""
    import pendulum

    run = SimpleNamespace(
        data_interval_start=pendulum.datetime(2018, 1, 1), data_interval_end=pendulum.datetime(2018, 1, 8)
    )
    return {"dag_run": run, "ti": FakeTask(), "task_state_store": Store()}
