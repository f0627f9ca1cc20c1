"""The product's main job, whole: through Airflow's scheduler, the provider, the workspace, Spark and Delta.

The tests build on each other, in the order of this file.
"""

from __future__ import annotations

import shutil
import time
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from laptop import processes, services
from laptop.airflow_client import AirflowClient
from laptop.follow import RunResult, reasons
from laptop.summary import layer_reports
from spark_jobs.tables import LAYERS
from tests.e2e.conftest import DAYS, FIRST, SPOILED, Source
from tests.e2e.lake import SERVICES, TABLES, Lake, line_total


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


def assert_the_tables_agree(lake: Lake, rows: list[dict[str, str]]) -> None:
    """With what plain Python makes of the landed rows."""
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


def test_the_tables_agree_with_plain_python(lake: Lake, source: Source, first_run: RunResult) -> None:
    assert_the_tables_agree(lake, source.rows)


def test_a_cleared_run_runs_again_and_ends_in_the_same_tables_whatever_is_killed(
    lake: Lake, first_run: RunResult
) -> None:
    """All services at once here; `make prove` kills them one by one, at any moment (tests/prove/airflow)."""
    before, runs = lake.contents(), job_runs(lake.client, first_run)
    lake.client.clear_run(first_run.dag_id, first_run.run_id)
    lake.wait_for(first_run.run_id, "bronze.build", "deferred")
    time.sleep(4)  # its process has begun to work by then
    lake.kill(*SERVICES)
    again = lake.follow(first_run.run_id)
    assert again.ok, "\n".join(reasons(lake.client, again))
    assert not set(runs) & set(job_runs(lake.client, again)), "a job run was reported again instead of run again"
    assert lake.contents() == before
    assert lake.job_processes() == [], "a job's process outlived its run"


def land(lake: Lake, day: date, header: bytes, lines: list[bytes]) -> None:
    folder = lake.state.landing / f"dt={day}"
    folder.mkdir(exist_ok=True)
    (folder / "orders.csv").write_bytes(header + b"".join(lines))


def test_spark_has_the_settings_for_few_rows_when_it_was_started_again_too(lake: Lake) -> None:
    assert lake.sql("SET spark.sql.codegen.wholeStage") == [("spark.sql.codegen.wholeStage", "false")]
    assert lake.sql("SET spark.sql.catalogImplementation") == [("spark.sql.catalogImplementation", "hive")]


def test_a_spoiled_day_is_stopped_by_the_gate(lake: Lake, source: Source, first_run: RunResult) -> None:
    lines = source.days[SPOILED].lines
    bad = [b"spoiled," + line if number % 10 == 0 else line for number, line in enumerate(lines)]
    land(lake, SPOILED, source.header, bad)
    before, heads = lake.contents(), versions(lake)
    result = lake.run(SPOILED, SPOILED + timedelta(days=1))
    states = {task.task_id: task.state for task in result.tasks}
    assert states["bronze.build"] == "success"
    assert states["bronze.gate"] == "failed"
    assert {states[f"{layer}.publish"] for layer in LAYERS} == {"upstream_failed"}
    assert next(task.try_number for task in result.tasks if task.task_id == "bronze.gate") == 1
    said = "\n".join(reasons(lake.client, result))
    assert str(SPOILED) in said, said
    assert (lake.contents(), versions(lake)) == (before, heads)
    verdicts = lake.sql("SELECT success FROM ops.verdicts WHERE layer = 'bronze' AND NOT success")
    assert verdicts == [(False,)]


def test_a_day_that_lands_late_is_waited_for(lake: Lake, source: Source, first_run: RunResult) -> None:
    shutil.rmtree(lake.state.landing / f"dt={SPOILED}", ignore_errors=True)
    run_id = lake.trigger(SPOILED, SPOILED + timedelta(days=1))
    lake.wait_for(run_id, "check_landing", "up_for_retry")
    land(lake, SPOILED, source.header, source.days[SPOILED].lines)
    result = lake.follow(run_id)
    assert result.ok, "\n".join(reasons(lake.client, result))
    assert_the_tables_agree(lake, source.rows + source.days[SPOILED].rows)


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
