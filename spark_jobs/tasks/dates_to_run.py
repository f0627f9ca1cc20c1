"""The task `dates` of the job ecommerce_medallion: which landing dates to run, and by which layers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.publications import Publications
from spark_jobs.tasks.changed_dates import changed_dates

if TYPE_CHECKING:
    from spark_jobs.runtime.job_parameters import DatesParameters
    from spark_jobs.storage.lakehouse import Lakehouse

log = logging.getLogger(__name__)
MOST_NAMED = 500
"""The most dates that are named one by one. Where more have changed, the whole interval around them is built."""


def dates_to_run(lakehouse: Lakehouse, parameters: DatesParameters) -> dict[str, str]:
    """Return the job parameters that name the dates to build, whether bronze builds them (`changed`), and whether
    silver and gold have anything to take in (`behind`), from this run or an earlier one.

    Without a given interval these are the landing dates that changed since bronze was published. One of them that
    vanishes before it is built is then a warning, not an error. Where none has changed, these are the dates that a run
    which did not reach its end has left to silver or gold. Raises IntervalRefused.
    """
    values = {
        "allow_missing_dates": str(parameters.allow_missing_dates).lower(),
        "open_from": parameters.first_open_date.isoformat(),
    }
    if parameters.interval_start or parameters.interval_end:
        return values | _interval(Interval.parse(parameters.interval_start, parameters.interval_end), ())
    progress = Publications(lakehouse).progress()
    changes = changed_dates(lakehouse, progress.bronze, parameters.landing_root, parameters.first_open_date)
    for day, reason in changes.items():
        log.info("%s: %s", day, reason)
    if changes:
        values["allow_missing_dates"] = "true"
        return values | _interval(Interval(min(changes), max(changes) + timedelta(days=1)), sorted(changes))
    log.info("Nothing has changed in %s since bronze was published.", parameters.landing_root)
    if progress.pending:
        log.info("Silver or gold is behind: they run for what was published of %s.", progress.pending)
        return values | _interval(progress.pending, ()) | {"changed": "false"}
    return values | {"interval_start": "", "interval_end": "", "dates": "", "changed": "false", "behind": "false"}


def _interval(interval: Interval, dates: Sequence[date]) -> dict[str, str]:
    is_whole = len(dates) == len(interval.dates()) or len(dates) > MOST_NAMED
    return {
        "interval_start": interval.start.isoformat(),
        "interval_end": interval.end.isoformat(),
        "dates": "" if is_whole else ",".join(map(str, dates)),
        "changed": "true",
        "behind": "true",
    }
