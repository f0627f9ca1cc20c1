"""A small lakehouse with two publications of each layer, and a workspace that serves its dashboard."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import requests
import uvicorn
from pyspark.sql import SparkSession

from local_workspace.api import build_app
from local_workspace.redaction import Redactor
from local_workspace.runner import Runner
from local_workspace.spark_supervisor import SparkSupervisor
from local_workspace.store import Store
from machine.ports import free_port
from machine.state_folder import StateFolder
from spark_jobs.storage.anomaly_log import anomaly_log
from tests.spark.publishing.conftest import email_key
from tests.spark.publishing.lakehouse import Lakehouse, order_item

__all__ = ["email_key"]
REPO = Path(__file__).resolve().parents[3]
FILE = REPO / "dashboards" / "lakehouse.lvdash.json"
MARKETS = ("Europe", "LATAM", "Pacific Asia")
SEGMENTS = ("Consumer", "Corporate", "Home Office")


@dataclass
class Running:
    """The suite's Spark, in the place of the workspace's own."""

    remote: str
    generation: int = 1
    state: str = "ready"

    def is_ready(self) -> bool:
        return True

    def wait_until_ready(self, timeout: float) -> bool:
        return True

    def remote_url(self, session_id: str) -> str:
        return f"{self.remote};user_id=dashboards;session_id={session_id}"


@dataclass
class Served:
    """The workspace in a thread, and what a client needs."""

    host: str
    state: StateFolder
    lakehouse: Lakehouse
    dashboard_id: str = ""

    @property
    def token(self) -> str:
        return self.state.secret("workspace_token")

    def call(self, method: str, path: str, body: Any = None, **query: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(method, f"{self.host}{path}", json=body, params=query, headers=headers, timeout=90)

    def browser(self) -> requests.Session:
        session = requests.Session()
        assert session.post(f"{self.host}/login", data={"token": self.token, "next": "/"}, timeout=9).ok
        return session

    def rows(self, dataset: str) -> dict[str, Any]:
        answer = self.browser().get(f"{self.host}/dashboardsv3/{self.dashboard_id}/rows/{dataset}", timeout=90)
        found: dict[str, Any] = answer.json()
        return found

    def deploy(self, serialized: str, prefix: str | None = None) -> requests.Response:
        """Make the dashboard and publish it, as a deployment does."""
        schema = f"{self.lakehouse.names.schema_prefix if prefix is None else prefix}published"
        body = {"display_name": "Lakehouse", "serialized_dashboard": serialized, "parent_path": "/Workspace"}
        place = {"dataset_catalog": "spark_catalog", "dataset_schema": schema}
        made = self.call("POST", "/api/2.0/lakeview/dashboards", body, **place)
        if made.ok:
            self.dashboard_id = made.json()["dashboard_id"]
            published = f"/api/2.0/lakeview/dashboards/{self.dashboard_id}/published"
            assert self.call("POST", published, {"embed_credentials": False}).ok
        return made


def land_day(lakehouse: Lakehouse, day: int) -> None:
    """Orders of every market and segment, one cancelled, one suspected of fraud, and a line that is no order.

    Each date brings two new customers.
    """
    numbers = range(day * 100, day * 100 + 24)
    customers = {number: number % (10 + 2 * day) + 1 for number in numbers}
    lakehouse.land(
        f"2018-01-{day:02d}",
        *(
            order_item(
                number,
                customer=customers[number],
                product=number % 5 + 1,
                day=day,
                total=20 + number % 7,
                segment=SEGMENTS[customers[number] % 3],
                Market=MARKETS[number % 3],
                status={3: "CANCELED", 7: "SUSPECTED_FRAUD"}.get(number % 24, "COMPLETE"),
                **{"Late_delivery_risk": str(number % 2), "Category Name": f"Category {number % 4}"},
            )
            for number in numbers
        ),
        "this is no order item",
    )


def publish_next_day(lakehouse: Lakehouse) -> str:
    """Land one more date, publish all layers, and return it. Their verdicts are successful ones, without an audit."""
    day = len(list(lakehouse.landing.iterdir())) + 1
    land_day(lakehouse, day)
    dates = (f"2018-01-{day:02d}", f"2018-01-{day + 1:02d}")
    lakehouse.run(*dates, audited=False)
    return dates[0]


@pytest.fixture(scope="session")
def lakehouse(spark: SparkSession, email_key: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lakehouse]:
    """Two landing dates, published one after the other; tests publish more."""
    lakehouse = Lakehouse(spark, tmp_path_factory.mktemp("lakehouse"), f"dashboards_{os.getpid()}_")
    anomaly_log(lakehouse.jobs).create()  # as the audit of bronze would have
    for _ in range(2):
        publish_next_day(lakehouse)
    yield lakehouse
    lakehouse.drop()


@pytest.fixture(scope="module")
def workspace(
    lakehouse: Lakehouse, spark_remote: str, folder_of_the_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A workspace over the suite's Spark and its tables, with no dashboard yet."""
    state = StateFolder(tmp_path_factory.mktemp("dashboards"))
    (state.root / "warehouse").symlink_to(folder_of_the_run / "spark-state" / "warehouse")
    for folder in (state.files, state.volumes, state.runs, state.logs):
        folder.mkdir(parents=True)
    store, redactor = Store(state.database), Redactor(state)
    runner = Runner(state, store, redactor)
    runner.spark = cast(SparkSupervisor, Running(spark_remote))
    port = free_port()
    app = build_app(state, store, runner, redactor)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    yield Served(f"http://127.0.0.1:{port}", state, lakehouse)
    server.should_exit = True
    thread.join(10)
    store.close()
