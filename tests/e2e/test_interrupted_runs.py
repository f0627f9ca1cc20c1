"""Runs that are cleared, whose services are killed, or whose files land late; tests/prove/airflow has more of them."""

from __future__ import annotations

import shutil
import time
from datetime import timedelta

from laptop.follow import RunResult, reasons
from tests.e2e.conftest import SPOILED, Source, assert_the_tables_agree
from tests.e2e.lake import SERVICES, Lake


def test_a_cleared_run_runs_again_and_ends_in_the_same_tables_whatever_is_killed(
    lake: Lake, first_run: RunResult
) -> None:
    """All services at once here; `make prove` kills them one by one, at any moment (tests/prove/airflow)."""
    before, runs = lake.contents(), lake.job_runs(first_run)
    lake.client.clear_run(first_run.dag_id, first_run.run_id)
    lake.wait_for(first_run.run_id, "bronze.build", "running")
    time.sleep(4)  # its process has begun to work by then
    lake.kill(*SERVICES)
    again = lake.follow(first_run.run_id)
    assert again.ok, "\n".join(reasons(lake.client, again))
    assert not set(runs) & set(lake.job_runs(again)), "a job run was reported again instead of run again"
    assert lake.contents() == before
    assert lake.job_processes() == [], "a job's process outlived its run"


def test_spark_has_the_settings_for_few_rows_when_it_was_started_again_too(lake: Lake) -> None:
    assert lake.sql("SET spark.sql.codegen.wholeStage") == [("spark.sql.codegen.wholeStage", "false")]
    assert lake.sql("SET spark.sql.catalogImplementation") == [("spark.sql.catalogImplementation", "hive")]


def test_a_day_that_lands_late_is_waited_for(lake: Lake, source: Source, first_run: RunResult) -> None:
    shutil.rmtree(lake.state.landing / f"dt={SPOILED}", ignore_errors=True)
    run_id = lake.trigger(SPOILED, SPOILED + timedelta(days=1))
    lake.wait_for(run_id, "check_landing", "up_for_retry")
    lake.land(SPOILED, source.header, source.days[SPOILED].lines)
    result = lake.follow(run_id)
    assert result.ok, "\n".join(reasons(lake.client, result))
    assert_the_tables_agree(lake, source.rows + source.days[SPOILED].rows)
