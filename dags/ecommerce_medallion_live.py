"""Minutes instead of a day: run what has landed, whenever something has."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable

from include.alerts import run_alerts
from include.defaults import default_args
from include.look_at_landing import LookAtLanding
from include.operators import MedallionOperator
from include.settings import SETTINGS

DOC = """
### What has landed, as it lands

`look` asks every few minutes (`LAKEHOUSE_LIVE_SCHEDULE`) whether the landing folders have changed, and ends the run in
seconds where they have not. Otherwise `run` starts the bundle's job `ecommerce_medallion`. It takes the landing dates
whose files are not what bronze has published, through the same builds, gates and publications as the daily run. Both
may run at the same time. What a run that failed has left to silver or gold is run too, once.

A run that a gate has rejected is not repeated until something else changes. To repeat it, clear `run`. An alert about
a run has the findings of all gates of its job run.
"""

with DAG(
    dag_id="ecommerce_medallion_live",
    description="Whatever has landed, through bronze, silver and gold, minutes after it has",
    schedule=CronTriggerTimetable(SETTINGS.live_schedule, timezone="UTC"),
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=default_args(),
    **run_alerts(),
    tags=["ecommerce", "lakehouse", "medallion", "live"],
    doc_md=DOC,
):
    look = LookAtLanding(task_id="look", doc_md="Skips the rest of the run where there is nothing to run.")
    look >> MedallionOperator(task_id="run", execution_timeout=SETTINGS.live_timeout)
