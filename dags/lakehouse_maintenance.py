"""Weekly maintenance of the published tables."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from include.alerts import run_alerts
from include.defaults import default_args
from include.operators import JobRunOperator
from include.settings import SETTINGS
from include.timetables import MaintenanceTimetable

DOC = """
### Maintenance

Runs the job `maintenance` as of the end of the data interval: OPTIMIZE (followed by a publication of the same data),
whole-table audits, VACUUM of files that no publication refers to, and removal of old staging, verdicts, Data Docs and
build records. It runs by default; without it these grow for ever.
"""

with DAG(
    dag_id="lakehouse_maintenance",
    description="OPTIMIZE, VACUUM, whole-table audits, removal of old staging and records",
    schedule=MaintenanceTimetable(SETTINGS.maintenance_schedule, "UTC", SETTINGS.maintenance_start),
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=default_args(),
    **run_alerts(),
    tags=["lakehouse", "maintenance"],
    doc_md=DOC,
):
    JobRunOperator(
        task_id="maintenance",
        job="maintenance",
        job_parameters={"as_of": "{{ (dag_run.data_interval_end or dag_run.run_after).isoformat() }}"},
        execution_timeout=SETTINGS.maintenance_timeout,
    )
