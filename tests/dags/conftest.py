"""Give these tests an Airflow home in a temporary folder, and a tiny workspace as their connection."""

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
import tenacity

REPO = Path(__file__).resolve().parents[2]

import include.settings as settings  # noqa: E402

# Test the defaults, whatever the caller's environment sets.
for field in fields(settings.Settings):
    os.environ.pop(f"LAKEHOUSE_{field.name.upper()}", None)
settings.SETTINGS = settings.load()

# Airflow reads these once, when it is first imported. An Airflow that another test configured stays as it is.
if "airflow" not in sys.modules:
    home = tempfile.mkdtemp(prefix="airflow-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["AIRFLOW_HOME"] = home
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(REPO / "dags")
    os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(REPO / "plugins")
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from tests.dags.tiny_workspace import LANDING, TinyWorkspace  # noqa: E402


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyWorkspace]:
    """Yield a workspace over HTTP, with the connection to it in the environment. Calls are repeated without a pause."""
    monkeypatch.setattr(tenacity.wait_exponential, "__call__", lambda *_: 0.0)  # by default, half a minute in all
    server = TinyWorkspace()
    server.folders[LANDING] = [f"dt=2018-01-{day:02d}" for day in range(1, 32)]
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_DEFAULT", server.connection)
    yield server
    server.close()


@pytest.fixture(scope="session")
def dags() -> dict[str, Any]:
    """Return the DAGs of the repository; fail on an import error."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(REPO / "dags"))
    assert bag.import_errors == {}
    return dict(bag.dags)


class FakeTask(SimpleNamespace):
    """The parts of a task instance that an operator uses: id, try number, XCom."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{"id": "ti-1", "try_number": 1, "max_tries": 2, "xcom": {}, "pulled": {}, **fields})

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        return self.pulled.get((task_ids, key))

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom[key] = value


class Store(dict[str, Any]):
    """The task's state store, which survives tries and clears."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


@pytest.fixture
def context() -> dict[str, Any]:
    """Return the context of a task in a run over the first week of 2018."""
    import pendulum

    run = SimpleNamespace(
        data_interval_start=pendulum.datetime(2018, 1, 1),
        data_interval_end=pendulum.datetime(2018, 1, 8),
        logical_date=pendulum.datetime(2026, 11, 29, 14, 32),
        run_type="manual",
    )
    return {"dag_run": run, "ti": FakeTask(), "task_state_store": Store()}
