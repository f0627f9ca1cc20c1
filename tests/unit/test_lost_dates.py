"""Which build of bronze may replace tables that were lost: the one that has all that is published."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from spark_jobs.runtime.interval import Interval
from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.storage.build_record import Build, PinnedPublication
from spark_jobs.storage.lost_tables import BronzeDates
from tests.spark.publishing.lakehouse import SOURCE_SETTINGS


def january(day: int) -> date:
    return date(2018, 1, day)


PUBLISHED = Interval(january(1), january(5))
LANDED = frozenset({january(1), january(4)})
"""The others of the interval have never landed."""
ALL, REMAINING = "2018-01-01,2018-01-04", "2018-01-04"


def build(landing: Path, start: int, end: int, dates: str, missing: tuple[int, ...] = ()) -> Build:
    texts = {
        **{"catalog": "c", "schema_prefix": "", "ops_root": "/ops", "staging_root": "/staging"},
        **{"job_run_id": "1", "repair_count": "0", "layer": "bronze", "email_secret": "s/k"},
        **{"interval_start": str(january(start)), "interval_end": str(january(end)), "landing_root": str(landing)},
        **{"allow_missing_dates": "true", "max_quarantined_percent": "5", "max_quarantined_lines": "5"},
        **{"fewer_lines_warning_percent": "50", "fewer_lines_critical_percent": "0", "dates": dates},
    }
    return Build(
        layer="bronze",
        build_id="1_0",
        parameters=BuildParameters.from_texts(texts | SOURCE_SETTINGS),
        previous=PinnedPublication(1),
        upstream=None,
        previous_upstream=None,
        full_refresh=False,
        staged={},
        rows={},
        missing_dates={str(january(day)): "it has no folder" for day in missing},
    )


@pytest.mark.parametrize(
    ("known", "readable", "start", "end", "dates", "missing", "has_all"),
    [
        (True, LANDED, 1, 5, "", (2, 3), True),
        (True, LANDED, 1, 5, ALL, (), True),
        (True, LANDED, 1, 5, REMAINING, (), False),
        (True, LANDED, 4, 6, "", (), False),
        (True, LANDED, 1, 5, "", (1, 2, 3), False),
        (False, frozenset(), 1, 5, "", (2, 3), True),
        (False, frozenset(), 1, 5, ALL, (), True),
        (False, frozenset(), 1, 5, REMAINING, (), False),
        (False, frozenset(), 4, 6, "", (), False),
        (False, LANDED, 1, 5, REMAINING, (), False),
    ],
)
def test_a_build_has_all_that_is_published(
    tmp_path: Path,
    known: bool,
    readable: frozenset[date],
    start: int,
    end: int,
    dates: str,
    missing: tuple[int, ...],
    has_all: bool,
) -> None:
    for day in LANDED:
        (tmp_path / f"dt={day}").mkdir()
    published = BronzeDates(PUBLISHED, readable, known)
    assert published.are_all_in(build(tmp_path, start, end, dates, missing)) is has_all


@pytest.mark.parametrize(("dates", "has_gaps"), [(LANDED, True), (frozenset(PUBLISHED.dates()), False)])
def test_the_remedy_is_a_run_of_all_landing_dates(dates: frozenset[date], has_gaps: bool) -> None:
    remedy = BronzeDates(PUBLISHED, dates, are_known=True).remedy
    assert "`make run START=2018-01-01 END=2018-01-05`" in remedy
    allowing = "`LAKEHOUSE_ALLOW_MISSING_DATES=true make medallion START=2018-01-01 END=2018-01-05`"
    assert (allowing in remedy) is has_gaps
