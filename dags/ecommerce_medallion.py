"""The daily run: load landed order files into bronze, silver and gold; audit each layer before its publication."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from include.alerts import run_alerts
from include.check_landing import CheckLanding
from include.defaults import default_args
from include.layer_group import layer_group
from include.settings import SETTINGS
from include.timetables import LandingDateTimetable

DOC = """
### Daily order files through three audited layers (write-audit-publish)

For the landing dates of the run's **data interval** (UTC, end not included):

| task | what it does |
|---|---|
| `check_landing` | refuses an interval without dates; waits for dates that have not landed |
| `<layer>.build` | Databricks job: writes to staging and audits it there; publishes nothing |
| `<layer>.gate` | reads the verdict; if it forbids publishing, fails for good, and published tables stay as they are |
| `<layer>.publish` | Databricks job: commits exactly what was audited |

**Other dates:** Trigger, then Data Interval: *Specify Manually*, from the first date 00:00 to the day after the last
date 00:00, in UTC. The form takes times in your browser's time zone; an interval that is not whole days in UTC is
refused. Leave the logical date as it is. Without a data interval, the logical date is the landing date:
`airflow dags trigger ecommerce_medallion --logical-date 2018-01-05`.
**Many days:** `airflow backfill create --dag-id ecommerce_medallion --from-date 2018-01-01 --to-date 2018-01-31`.
**Repeat a run:** clear `bronze.build` with downstream tasks. Every try starts a new job run; the result is the same.

The log of a failed gate and its links *Verdict* and *Data Docs* show which rule is broken on which date.
"""

with DAG(
    dag_id="ecommerce_medallion",
    description="Order files through bronze, silver and gold; each audited before publication",
    schedule=LandingDateTimetable(SETTINGS.schedule, "UTC", SETTINGS.schedule_start, SETTINGS.schedule_end),
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=SETTINGS.max_active_runs,
    default_args=default_args(),
    **run_alerts(has_deadline=True),
    tags=["ecommerce", "lakehouse", "medallion"],
    doc_md=DOC,
):
    check_landing = CheckLanding(
        task_id="check_landing",
        retries=SETTINGS.landing_retries,
        retry_delay=SETTINGS.landing_retry_delay,
        retry_exponential_backoff=0,
        doc_md="Checks the data interval, and that its files have landed. Has its own schedule of retries.",
    )
    check_landing >> layer_group("bronze") >> layer_group("silver") >> layer_group("gold")
