"""The product's main job, whole: through Airflow's scheduler, the provider, the workspace, Spark and Delta.

The tests build on each other, in the order of this file.
"""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from laptop import processes, services
from laptop.airflow_client import AirflowClient
from laptop.follow import RunResult, reasons
from laptop.summary import layer_reports
from tests.e2e.conftest import DAYS, FIRST, SPOILED, Lake, line_total

TABLES = (
    "bronze.order_items",
    "bronze.quarantine",
    "bronze.landed_files",
    "silver.orders",
    "silver.dim_customers",
    "silver.dim_products",
    "gold.orders_enriched",
    "gold.customers360",
    "gold.products360",
)
AUDIT_COLUMNS = {"source_file_modified_at", "row_hash", "build_id", "job_run_id", "code_version", "built_at"}
LAYERS = ("bronze", "silver", "gold")


def contents(lake: Lake) -> dict[str, list[str]]:
    """All rows of all published tables, audit columns aside, in a fixed order."""
    found = {}
    for table in TABLES:
        columns = [row[0] for row in lake.sql(f"DESCRIBE {table}") if row[0] and not row[0].startswith("#")]
        kept = ", ".join(column for column in dict.fromkeys(columns) if column not in AUDIT_COLUMNS)
        found[table] = sorted(map(repr, lake.sql(f"SELECT {kept} FROM {table}")))
    return found


def versions(lake: Lake) -> dict[str, int]:
    return {table: lake.sql(f"DESCRIBE HISTORY {table} LIMIT 1")[0][0] for table in TABLES}


def job_runs(client: AirflowClient, result: RunResult) -> list[Any]:
    names = [f"{layer}.{task}" for layer in LAYERS for task in ("build", "publish")]
    return [client.xcom(result.dag_id, result.run_id, name, "run_id") for name in names]


@pytest.fixture(scope="module")
def first_run(lake: Lake) -> RunResult:
    result = lake.run(FIRST, FIRST + timedelta(days=DAYS))
    assert result.ok, "\n".join(reasons(lake.client, result))
    return result


def test_the_run_is_green_and_its_gates_have_looked(lake: Lake, first_run: RunResult) -> None:
    for report in layer_reports(lake.state, lake.client, first_run):
        statistics = report.verdict["statistics"]
        assert report.verdict["success"]
        assert statistics["evaluated"] == statistics["successful"] > 10
        assert report.publication["seq"] == 1
    assert None not in job_runs(lake.client, first_run)


def test_the_tables_agree_with_plain_python(lake: Lake, first_run: RunResult) -> None:
    rows = lake.rows
    assert lake.sql("SELECT sum(landed_lines) FROM bronze.landed_files") == [(len(rows),)]
    assert lake.sql("SELECT count(*) FROM bronze.order_items") == [(len(rows),)]
    assert lake.sql("SELECT count(*) FROM bronze.quarantine") == [(0,)]
    counts = "SELECT count(*), count(DISTINCT order_id), sum(line_total) FROM silver.orders"
    total = sum(map(line_total, rows), Decimal(0))
    assert lake.sql(counts) == [(len(rows), len({row["Order Id"] for row in rows}), total)]
    customers = {row["Customer Id"] for row in rows}
    assert lake.sql("SELECT count(*), count(DISTINCT customer_id) FROM gold.customers360") == [(len(customers),) * 2]
    assert lake.sql("SELECT count(*) FROM gold.products360") == [(len({row["Product Card Id"] for row in rows}),)]
    counted = [row for row in rows if row["Order Status"] not in ("CANCELED", "SUSPECTED_FRAUD")]
    revenue = sum(map(line_total, counted), Decimal(0))
    assert lake.sql("SELECT sum(total_revenue) FROM gold.customers360") == [(revenue,)]
    assert lake.sql("SELECT sum(total_revenue) FROM gold.products360") == [(revenue,)]


def test_clearing_the_run_runs_it_again_and_changes_nothing(lake: Lake, first_run: RunResult) -> None:
    before, runs = contents(lake), job_runs(lake.client, first_run)
    lake.client.clear_run(first_run.dag_id, first_run.run_id)
    again = lake.follow(first_run.run_id)
    assert again.ok, "\n".join(reasons(lake.client, again))
    assert not set(runs) & set(job_runs(lake.client, again)), "a job run was reported again instead of run again"
    assert contents(lake) == before


def test_whatever_is_killed_a_retry_ends_in_the_same_tables(lake: Lake, first_run: RunResult) -> None:
    """Spark while bronze is built; then, while silver is, the workspace, the scheduler and the triggerer at once."""
    before = contents(lake)
    run_id = lake.trigger(FIRST, FIRST + timedelta(days=1))
    lake.wait_for(run_id, "bronze.build", "deferred")
    time.sleep(4)  # its process has begun to work by then
    kill(json.loads((lake.state.pids / "spark.json").read_text())["pid"])
    lake.wait_for(run_id, "silver.build", "deferred")
    time.sleep(4)
    for service in processes.known(lake.state):
        if service.name in ("workspace", "airflow-scheduler", "airflow-triggerer"):
            kill(service.pid)
    services.up(lake.state)
    again = lake.follow(run_id)
    assert again.ok, "\n".join(reasons(lake.client, again))
    tries = {task.task_id: task.try_number for task in again.tasks}
    assert tries["bronze.build"] > 1, "nothing was killed"
    lake.reconnect()
    assert contents(lake) == before
    jobs = [process for process in processes.marked(lake.state) if "task_process.py" in " ".join(process.cmdline())]
    assert jobs == [], "a job's process outlived its run"


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_a_spoiled_day_is_stopped_by_the_gate(lake: Lake, first_run: RunResult) -> None:
    header, *lines = lake.spoiled_day
    bad = [b"spoiled," + line if number % 10 == 0 else line for number, line in enumerate(lines)]
    folder = lake.state.landing / f"dt={SPOILED}"
    folder.mkdir()
    (folder / "orders.csv").write_bytes(header + b"".join(bad))
    before, heads = contents(lake), versions(lake)
    result = lake.run(SPOILED, SPOILED + timedelta(days=1))
    states = {task.task_id: task.state for task in result.tasks}
    assert states["bronze.build"] == "success"
    assert states["bronze.gate"] == "failed"
    assert {states[f"{layer}.publish"] for layer in LAYERS} == {"upstream_failed"}
    assert next(task.try_number for task in result.tasks if task.task_id == "bronze.gate") == 1
    said = "\n".join(reasons(lake.client, result))
    assert str(SPOILED) in said, said
    assert (contents(lake), versions(lake)) == (before, heads)
    verdicts = lake.sql("SELECT success FROM ops.verdicts WHERE layer = 'bronze' AND NOT success")
    assert verdicts == [(False,)]


def test_nothing_private_and_no_secret_is_in_any_log(lake: Lake, first_run: RunResult) -> None:
    secrets = {path.read_text().strip() for path in lake.state.secrets.rglob("*") if path.is_file()}
    logs = [*lake.state.logs.glob("*.log"), *(lake.state.airflow_home / "logs").rglob("*.log")]
    logs += [path for path in (lake.state.root / "workspace" / "runs").rglob("*") if path.is_file()]
    assert len(logs) > 10
    for path in logs:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not [secret for secret in secrets if secret in text], path
        assert "XXXXXXXXX" not in text, path  # what DataCo has for e-mail addresses and passwords


def test_down_leaves_no_process(lake: Lake, first_run: RunResult) -> None:
    lake.session.close()
    services.down(lake.state)
    assert processes.marked(lake.state) == []
    assert not services.is_up(lake.state)
    for port in (lake.state.workspace_port, lake.state.spark_port, lake.state.airflow_port):
        assert services.port_is_free(port)
