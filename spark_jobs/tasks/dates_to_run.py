"""The task `dates` of the job ecommerce_medallion: which landing dates to run."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from spark_jobs.runtime.interval import Interval
from spark_jobs.tasks.changed_dates import changed_dates

if TYPE_CHECKING:
    from spark_jobs.runtime.job_parameters import DatesParameters
    from spark_jobs.storage.lakehouse import Lakehouse

log = logging.getLogger(__name__)


def dates_to_run(lakehouse: Lakehouse, parameters: DatesParameters) -> dict[str, str]:
    """Return interval_start, interval_end, allow_missing_dates, and whether there is anything to run (`changed`).

    Without a given interval it spans the landing dates that changed since bronze was published: the dates between
    them that have not landed are no fault then. Raises IntervalRefused.
    """
    missing = str(parameters.allow_missing_dates).lower()
    if parameters.interval_start or parameters.interval_end:
        interval = Interval.parse(parameters.interval_start, parameters.interval_end)
        return _values(interval, missing)
    changes = changed_dates(lakehouse, parameters.landing_root)
    for day, reason in changes.items():
        log.info("%s: %s", day, reason)
    if not changes:
        log.info("Nothing has changed in %s since bronze was published.", parameters.landing_root)
        return {"interval_start": "", "interval_end": "", "allow_missing_dates": missing, "changed": "false"}
    return _values(Interval(min(changes), max(changes) + timedelta(days=1)), "true")


def _values(interval: Interval, allow_missing_dates: str) -> dict[str, str]:
    return {
        "interval_start": interval.start.isoformat(),
        "interval_end": interval.end.isoformat(),
        "allow_missing_dates": allow_missing_dates,
        "changed": "true",
    }
