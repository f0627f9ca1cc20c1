"""The product's main job, whole: through Airflow's scheduler, the provider, the workspace, Spark and Delta.

The files of this folder share one running lakehouse, and build on each other in the order of their names.
"""

from __future__ import annotations

from datetime import timedelta

from laptop.follow import RunResult, failure_reasons
from laptop.summary import layer_reports
from spark_jobs.tables.names import LAYERS
from tests.e2e.conftest import SPOILED, Source, assert_the_tables_agree
from tests.e2e.lake import TABLES, Lake


def versions(lake: Lake) -> dict[str, int]:
    return {table: lake.sql(f"DESCRIBE HISTORY {table} LIMIT 1")[0][0] for table in TABLES}


def test_the_run_is_green_and_its_gates_have_looked(lake: Lake, first_run: RunResult) -> None:
    for report in layer_reports(lake.state, lake.client, first_run):
        statistics = report.verdict["statistics"]
        assert report.verdict["success"]
        assert statistics["evaluated"] == statistics["successful"] > 10
        assert report.publication["seq"] == 1
    assert None not in lake.job_runs(first_run)


def test_the_tables_agree_with_plain_python(lake: Lake, source: Source, first_run: RunResult) -> None:
    assert_the_tables_agree(lake, source.rows)


def test_a_spoiled_day_is_stopped_by_the_gate(lake: Lake, source: Source, first_run: RunResult) -> None:
    lines = source.days[SPOILED].lines
    bad = [b"spoiled," + line if number % 10 == 0 else line for number, line in enumerate(lines)]
    lake.land(SPOILED, source.header, bad)
    before, heads = lake.contents(), versions(lake)
    result = lake.run(SPOILED, SPOILED + timedelta(days=1))
    states = {task.task_id: task.state for task in result.tasks}
    assert states["bronze.build"] == "success"
    assert states["bronze.gate"] == "failed"
    assert {states[f"{layer}.publish"] for layer in LAYERS} == {"upstream_failed"}
    assert next(task.try_number for task in result.tasks if task.task_id == "bronze.gate") == 1
    said = "\n".join(failure_reasons(lake.client, result))
    assert str(SPOILED) in said, said
    assert (lake.contents(), versions(lake)) == (before, heads)
    verdicts = lake.sql("SELECT success FROM ops.verdicts WHERE layer = 'bronze' AND NOT success")
    assert verdicts == [(False,)]
