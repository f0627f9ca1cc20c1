"""Land one day of synthetic orders per day."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from include.alerts import run_alerts
from include.defaults import default_args
from include.operators import JobRunOperator
from include.settings import SETTINGS
from include.timetables import LandingDateTimetable

DOC = """
### Synthetic feed

Runs the job `synthetic_feed`: it lands the dates of the data interval, one day for a scheduled run, and replaces the
files of those dates. Use it for a landing volume without other deliveries. A backfill lands days of the past; a date
always gets the same bytes. Scale, seed and rates of faults are parameters of the job.
"""

with DAG(
    dag_id="synthetic_feed",
    description="Lands synthetic orders, one day per run",
    schedule=LandingDateTimetable(SETTINGS.schedule, "UTC"),
    start_date=datetime(2015, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=default_args(),
    **run_alerts(),
    tags=["lakehouse", "landing"],
    doc_md=DOC,
):
    JobRunOperator(
        task_id="land",
        job="synthetic_feed",
        with_interval=True,
        execution_timeout=SETTINGS.task_timeout,
    )
