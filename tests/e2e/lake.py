"""A running lakehouse: a real scheduler, real job runs, and days of the real data set."""

from __future__ import annotations

import csv
import io
import json
import lzma
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import psutil

from feeds.daily_replay import replay
from laptop import service_processes as processes
from laptop.airflow_client import AirflowClient
from laptop.follow import RunResult, TaskProgress, failure_reasons, follow
from laptop.laptop_state import LaptopState
from laptop.service_news import ServiceNews
from laptop.services import ALL_SERVICES, DAG, down, up
from laptop.spark_client import spark_session
from machine.state_folder import private_folder, write_private
from spark_jobs.layers.bronze.bronze_tables import AUDIT_ONLY
from spark_jobs.layers.registry import tables_of
from spark_jobs.runtime.table_names import LAYERS
from tools.build_wheel import ensure_wheel

SERVICES = ("spark", *ALL_SERVICES[1:])
"""All but the supervisor, which starts them again."""
LIVE_DAG = "ecommerce_medallion_live"
CENT = Decimal("0.01")
EMAIL_KEY = "6b6579206f662074657374206c616b65686f7573657320616c6f6e6521212121"
TABLES = tuple(table for layer in LAYERS for table in [spec.name for spec in tables_of(layer)])


class Silent:
    """A screen for a run that nobody watches."""

    def show(self, tasks: list[TaskProgress], now: datetime) -> None: ...

    def say(self, sentence: str) -> None: ...


@dataclass
class Lake:
    """The services, and a separate Spark to look at the tables."""

    state: LaptopState
    settings: Mapping[str, str]
    session: ExitStack

    def __post_init__(self) -> None:
        self.client = AirflowClient(self.state)
        self.up()
        self.news = ServiceNews(self.state)
        self.spark = self.session.enter_context(spark_session(self.state))

    def reconnect(self) -> None:
        """To a Spark that was started again."""
        with suppress(Exception):
            self.session.close()
        deadline = time.monotonic() + 120
        while True:
            try:
                self.spark = self.session.enter_context(spark_session(self.state))
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(2)

    def kill(self, *services: str) -> None:
        """Kill these services, as the machine would if it ran out of memory. The supervisor starts them again."""
        pids = self.pids()
        victims = [psutil.Process(pids[name]) for name in services]
        for victim in victims:
            victim.kill()
        psutil.wait_procs(victims, timeout=10)

    def pids(self) -> dict[str, int]:
        """The process of each service, and of Spark."""
        pids = {service.name: service.pid for service in processes.recorded_services(self.state)}
        return pids | {"spark": json.loads((self.state.pids / "spark.json").read_text())["pid"]}

    def up(self) -> None:
        """Start the services that do not run, from a shell as unlike ours as can be."""
        # No longer than that: the tests of other folders run in this process while the services live.
        umask = os.umask(0o077)
        try:
            with patch.dict(os.environ, {**HOSTILE, **self.settings}):
                up(self.state)
        finally:
            os.umask(umask)

    def job_processes(self) -> list[psutil.Process]:
        """The processes of job tasks."""
        return [process for process in processes.descendants(self.state) if processes.is_job_task(process)]

    def run(self, start: date, end: date) -> RunResult:
        return self.follow(self.trigger(start, end))

    def run_to_success(self, start: date, end: date) -> RunResult:
        return self.follow_to_success(self.trigger(start, end))

    def trigger(self, start: date, end: date) -> str:
        first, after = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (start, end))
        return self.client.trigger(DAG, first, after, "end-to-end test")

    def wait_for(self, run_id: str, task_id: str, state: str, seconds: float = 300) -> None:
        """Until the task of the run is in that state."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = {task["task_id"]: task["state"] for task in self.client.task_instances(DAG, run_id)}
            if found.get(task_id) == state:
                return
            time.sleep(0.5)
        raise AssertionError(f"{task_id} was not {state} within {seconds:.0f} s: {found}")

    def look(self) -> str:
        """Start a run of the live DAG, as its schedule does, and return its id."""
        now = datetime.now(UTC)
        return self.client.trigger(LIVE_DAG, now, now, "end-to-end test")

    def follow(self, run_id: str, dag_id: str = DAG) -> RunResult:
        return follow(self.client, dag_id, run_id, Silent(), timeout=900)

    def follow_to_success(self, run_id: str, dag_id: str = DAG) -> RunResult:
        result = self.follow(run_id, dag_id)
        assert result.succeeded, "\n".join(failure_reasons(self.client, result))
        return result

    def decide(self, run_id: str, task_id: str, choice: str, reason: str) -> None:
        """Answer the question of a gate, as a person does in Airflow's required actions."""
        path = f"/dags/{DAG}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/-1/hitlDetails"
        answer = {"chosen_options": [choice], "params_input": {"reason": reason, "confirmed_incident": True}}
        self.client.call("PATCH", path, answer)

    def clear(self, run_id: str) -> None:
        """Clear a finished run, so that all its tasks run again."""
        self.client.call("POST", f"/dags/{DAG}/dagRuns/{quote(run_id, safe='')}/clear", {"dry_run": False})

    def job_runs(self, result: RunResult) -> list[Any]:
        """The ids of the job runs that built and published each layer; None where there was none."""
        names = [f"{layer}.{task}" for layer in LAYERS for task in ("build", "publish")]
        return [self.client.xcom(result.dag_id, result.run_id, name, "run_id") for name in names]

    def land(self, day: date, header: bytes, lines: list[bytes], name: str = "orders.csv") -> None:
        folder = self.state.landing / f"dt={day}"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(header + b"".join(lines))

    def contents(self) -> dict[str, list[str]]:
        """All rows of all published tables, audit columns aside, in a fixed order."""
        found = {}
        for table in TABLES:
            frame = self.spark.table(table).drop(*AUDIT_ONLY)
            found[table] = sorted(map(repr, map(tuple, frame.collect())))
        return found

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.spark.sql(query).collect()]


def line_total(row: dict[str, str]) -> Decimal:
    """The amount of a line, half-up to the cent from the source's float noise."""
    return Decimal(row["Order Item Total"]).quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True)
class Day:
    """A day of orders as they stand in the source: `rows` by its column names."""

    day: date
    lines: list[bytes]
    rows: list[dict[str, str]]


def days_of(source: Path, days: set[date]) -> tuple[bytes, dict[date, Day]]:
    """The header and the days."""
    found = {day: Day(day, [], []) for day in days}
    with lzma.open(source) as file:
        header = file.readline()
        names = next(csv.reader([header.decode("cp1252")]))
        place = names.index("order date (DateOrders)")
        wanted = tuple(f"{day.month}/{day.day}/{day.year} ".encode() for day in days)
        for line in file:
            if not any(text in line for text in wanted):
                continue
            values = next(csv.reader(io.StringIO(line.decode("cp1252"))))
            month, day, year = map(int, values[place].split()[0].split("/"))
            if (of_day := found.get(date(year, month, day))) is not None:
                of_day.lines.append(line)
                of_day.rows.append(dict(zip(names, values, strict=True)))
    return header, found


HOSTILE = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("all_proxy", "ALL_PROXY"), "socks5h://127.0.0.1:9"),
    **dict.fromkeys(("LANG", "LC_ALL"), "C"),
}
"""A shell behind proxies that lead nowhere, and without UTF-8; its umask is 077."""


@contextmanager
def running_lake(folder: Path, source: bytes, settings: Mapping[str, str]) -> Iterator[Lake]:
    """A new lakehouse in which that source has landed by order date; its DAG is paused. `settings` are LAKEHOUSE_*.

    Its services are started from a shell as unlike ours as can be.
    """
    main_state = LaptopState.from_environment()
    state = main_state.with_own_data(folder / "state")
    ensure_wheel(main_state)
    # One key for all lakehouses, by which their hashes of e-mail addresses can be compared.
    key = state.secrets / "lakehouse" / "email-hmac-key"
    private_folder(key.parent)
    write_private(key, EMAIL_KEY)
    state.ensure_secrets()
    file = folder / "source.csv"
    file.write_bytes(source)
    replay(file, state.landing)
    try:
        with ExitStack() as session:
            yield Lake(state, settings, session)
    finally:
        down(state)
