"""One running lakehouse for all end-to-end tests, and its history: each fixture is one event, and needs the one before.

The tests look at what the events left, so they may run in any order, and each alone.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from laptop import service_processes as processes
from laptop import services
from laptop.follow import RunResult, failure_reasons
from laptop.services import DAG
from laptop.summary import LayerReport, layer_reports
from machine.ports import port_is_free
from machine.state_folder import private_folder, write_private
from tests.e2e.lake import LIVE_DAG, SERVICES, TABLES, Day, Lake, days_of, line_total, running_lake
from tests.webhook import Webhook, webhook

FIRST, DAYS = date(2018, 1, 1), 3
THIRD, FOURTH = (FIRST + timedelta(days=number) for number in (DAYS - 1, DAYS))


@dataclass(frozen=True)
class Source:
    """The slice of the real data set: the days of the first run, and one more."""

    header: bytes
    days: dict[date, Day]

    @property
    def landed(self) -> list[Day]:
        return [self.days[FIRST + timedelta(days=number)] for number in range(DAYS)]

    @property
    def rows(self) -> list[dict[str, str]]:
        return [row for day in self.landed for row in day.rows]


@dataclass(frozen=True)
class Totals:
    """What the published tables amount to."""

    landed_lines: int
    items: int
    quarantined: int
    orders: tuple[int, int, Decimal]
    """Items, orders, amount."""
    customers: tuple[int, int]
    """Rows, and distinct customers."""
    products: tuple[int, int]
    revenue_by_customer: Decimal
    revenue_by_product: Decimal

    @classmethod
    def of_tables(cls, lake: Lake) -> Totals:
        def row(query: str) -> tuple[Any, ...]:
            (found,) = lake.sql(query)
            return found

        return cls(
            landed_lines=row("SELECT sum(landed_lines) FROM bronze.landed_files")[0],
            items=row("SELECT count(*) FROM bronze.order_items")[0],
            quarantined=row("SELECT count(*) FROM bronze.quarantine")[0],
            orders=row("SELECT count(*), count(DISTINCT order_id), sum(line_total) FROM silver.orders"),
            customers=row("SELECT count(*), count(DISTINCT customer_id) FROM gold.customers360"),
            products=row("SELECT count(*), count(DISTINCT product_id) FROM gold.products360"),
            revenue_by_customer=row("SELECT sum(total_revenue) FROM gold.customers360")[0],
            revenue_by_product=row("SELECT sum(total_revenue) FROM gold.products360")[0],
        )

    @classmethod
    def of_rows(cls, rows: list[dict[str, str]]) -> Totals:
        """By plain Python, of the landed rows."""
        counted = [row for row in rows if row["Order Status"] not in ("CANCELED", "SUSPECTED_FRAUD")]
        revenue = sum(map(line_total, counted), Decimal(0))
        return cls(
            landed_lines=len(rows),
            items=len(rows),
            quarantined=0,
            orders=(len(rows), len({row["Order Id"] for row in rows}), sum(map(line_total, rows), Decimal(0))),
            customers=(len({row["Customer Id"] for row in rows}),) * 2,
            products=(len({row["Product Card Id"] for row in rows}),) * 2,
            revenue_by_customer=revenue,
            revenue_by_product=revenue,
        )


@dataclass(frozen=True)
class Ended:
    """A run that has ended, and what is in the tables then."""

    result: RunResult
    job_runs: list[Any]
    contents: dict[str, list[str]]
    versions: dict[str, int]
    totals: Totals

    @classmethod
    def look(cls, lake: Lake, result: RunResult) -> Ended:
        versions = {table: lake.sql(f"DESCRIBE HISTORY {table} LIMIT 1")[0][0] for table in TABLES}
        return cls(result, lake.job_runs(result), lake.contents(), versions, Totals.of_tables(lake))


@dataclass(frozen=True)
class FirstRun(Ended):
    reports: list[LayerReport]


@dataclass(frozen=True)
class RejectedRun(Ended):
    reasons: str
    """What Airflow's log says to a person."""
    verdicts: list[tuple[Any, ...]]
    """The rejections in ops.verdicts."""
    decisions: list[tuple[Any, ...]]
    """Of ops.decisions."""
    messages: list[dict[str, Any]]
    """The alerts that the receiver got."""


@dataclass(frozen=True)
class ClearedRun(Ended):
    job_processes: list[Any]
    """The processes of job tasks that outlived the run."""
    settings: dict[str, str]
    """Of the Spark that was started again."""
    news: list[str]
    """What `make run` could say within ten seconds after the services had been killed."""


@pytest.fixture(scope="session")
def source(dataco: Path) -> Source:
    return Source(*days_of(dataco, {FIRST + timedelta(days=number) for number in range(DAYS + 1)}))


@pytest.fixture(scope="session")
def receiver() -> Iterator[Webhook]:
    with webhook() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def lake(source: Source, receiver: Webhook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    landed = source.header + b"".join(line for day in source.landed for line in day.lines)
    folder = tmp_path_factory.mktemp("e2e")
    secret = folder / "state" / "secrets" / "receivers"
    private_folder(secret.parent)
    write_private(secret, receiver.url)
    settings = {
        "LAKEHOUSE_LANDING_RETRIES": "60",
        "LAKEHOUSE_LANDING_RETRY_DELAY": "3",
        "LAKEHOUSE_ALERTS_FILE": str(secret),
        "LAKEHOUSE_DECISION_WAIT": "600",
        "LAKEHOUSE_LIVE_SCHEDULE": "0 0 1 1 *",  # looks come when a test asks for one
    }
    with running_lake(folder, landed, settings) as lake:
        lake.client.unpause(DAG)
        yield lake


@pytest.fixture(scope="session")
def first_run(lake: Lake, source: Source) -> FirstRun:
    """Three days in one run; the last of them lands after the run has begun."""
    shutil.rmtree(lake.state.landing / f"dt={THIRD}")
    run_id = lake.trigger(FIRST, FOURTH)
    lake.wait_for(run_id, "check_landing", "up_for_retry")
    lake.land(THIRD, source.header, source.days[THIRD].lines, name="Bestellungen März.csv")
    result = lake.follow_to_success(run_id)
    return FirstRun(**vars(Ended.look(lake, result)), reports=layer_reports(lake.state, lake.client, result))


@pytest.fixture(scope="session")
def spoiled_run(lake: Lake, source: Source, first_run: FirstRun, receiver: Webhook) -> RejectedRun:
    """A fourth day of which every tenth line is broken; the gate asks, and a person rejects it."""
    lines = source.days[FOURTH].lines
    spoiled = [b"spoiled," + line if number % 10 == 0 else line for number, line in enumerate(lines)]
    lake.land(FOURTH, source.header, spoiled)
    run_id = lake.trigger(FOURTH, FOURTH + timedelta(days=1))
    lake.wait_for(run_id, "bronze.gate", "awaiting_input")
    # Airflow takes an answer for a failure, and tries again, while the process that asked has not ended.
    time.sleep(5)
    lake.decide(run_id, "bronze.gate", "Reject", "half of it was cut off")
    result = lake.follow(run_id)
    return RejectedRun(
        **vars(Ended.look(lake, result)),
        reasons="\n".join(failure_reasons(lake.client, result)),
        verdicts=lake.sql("SELECT layer, success FROM ops.verdicts WHERE NOT success"),
        decisions=lake.sql("SELECT layer, decision, decided_by, reason, confirmed_incidents FROM ops.decisions"),
        messages=receiver.wait_for(2),
    )


@pytest.fixture(scope="session")
def cleared_run(lake: Lake, first_run: FirstRun, spoiled_run: RejectedRun) -> ClearedRun:
    """The first run cleared, and all services killed while its first job works.

    `make prove` kills them one by one, at any moment (tests/prove/airflow).
    """
    run = first_run.result
    lake.clear(run.run_id)
    lake.wait_for(run.run_id, "bronze.build", "running")
    time.sleep(4)  # its process has begun to work by then
    lake.kill(*SERVICES)
    begun, news = time.monotonic(), list[str]()
    while time.monotonic() - begun < 10 and len(news) < len(SERVICES):
        news += lake.news()
        time.sleep(0.2)
    result = lake.follow_to_success(run.run_id)
    lake.reconnect()
    ended = Ended.look(lake, result)
    settings = dict(lake.sql("SET spark.sql.codegen.wholeStage") + lake.sql("SET spark.sql.catalogImplementation"))
    return ClearedRun(**vars(ended), job_processes=lake.job_processes(), settings=settings, news=news)


@dataclass(frozen=True)
class LiveRun(Ended):
    """A run of the live DAG, with a daily run of the same date beside it."""

    looked_again: RunResult
    """A second look, after nothing has changed."""
    rebuilt: set[date]
    """The landing dates whose rows another build has made since."""
    reported: list[tuple[Any, ...]]
    """From ops.runs: interval, files, landed lines."""


@pytest.fixture(scope="session")
def live_run(lake: Lake, source: Source, cleared_run: ClearedRun) -> LiveRun:
    """The fourth day lands again, whole; the live DAG finds it, while a daily run has been asked for it."""
    builds = "SELECT landing_date, collect_set(build_id) FROM bronze.order_items GROUP BY landing_date"
    before = dict(lake.sql(builds))
    lake.land(FOURTH, source.header, source.days[FOURTH].lines)
    lake.client.unpause(LIVE_DAG)
    live, daily = lake.look(), lake.trigger(FOURTH, FOURTH + timedelta(days=1))
    lake.follow_to_success(live, LIVE_DAG)
    ended = Ended.look(lake, lake.follow_to_success(daily))
    rebuilt = {day for day, found in lake.sql(builds) if found != before.get(day)}
    reported = lake.sql("SELECT interval_start, interval_end, files, lines FROM ops.runs")
    looked_again = lake.follow(lake.look(), LIVE_DAG)
    return LiveRun(**vars(ended), looked_again=looked_again, rebuilt=rebuilt, reported=reported)


@dataclass(frozen=True)
class StartedAgain:
    """The processes of the services before and after `up` has started what was dead."""

    before: dict[str, int]
    after: dict[str, int]


@pytest.fixture(scope="session")
def started_again(lake: Lake, live_run: LiveRun) -> StartedAgain:
    """The supervisor and a service are killed, so that nobody starts them again but `up`."""
    before = lake.pids()
    lake.kill("supervisor", "airflow-dag-processor")
    lake.up()
    return StartedAgain(before, lake.pids())


@dataclass(frozen=True)
class Stopped:
    """What is left of the services after `down`."""

    processes: list[Any]
    is_up: bool
    taken_ports: list[int]


@pytest.fixture(scope="session")
def stopped(lake: Lake, started_again: StartedAgain) -> Stopped:
    lake.session.close()
    services.down(lake.state)
    ports = (lake.state.workspace_port, lake.state.spark_port, lake.state.airflow_port)
    return Stopped(
        processes.descendants(lake.state),
        services.is_up(lake.state),
        [port for port in ports if not port_is_free(port)],
    )
