"""Published tables, or files of them, that others removed: how each layer gets its rows back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from spark_jobs.runtime.interval import Interval
from spark_jobs.storage import delta
from spark_jobs.storage.build_record import PinnedPublication
from spark_jobs.storage.landing_names import folder_name
from spark_jobs.storage.ops_volume import lost_file
from spark_jobs.storage.other_writers import readable
from spark_jobs.storage.pinned_tables import read_pinned
from spark_jobs.storage.publications import Publications

if TYPE_CHECKING:
    from spark_jobs.storage.build_record import Build
    from spark_jobs.storage.lakehouse import Lakehouse


# --- silver and gold: the next build derives all rows again ---


def report_lost(lakehouse: Lakehouse, layer: str, seq: int, reason: str) -> None:
    """Record that publication `seq` of silver or gold cannot be read: the layer's next build then derives all rows."""
    lakehouse.ops.write_json(lost_file(layer), {"seq": seq, "reason": reason})


def reported_lost(lakehouse: Lakehouse, layer: str, seq: int) -> str | None:
    """Return why the newest publication, `seq`, of a layer cannot be read; None where nobody has reported that."""
    found = lakehouse.ops.read_json(lost_file(layer))
    return str(found["reason"]) if found and found["seq"] == seq else None


def unreadable_table(lakehouse: Lakehouse, pinned: PinnedPublication) -> PySparkException | None:
    """Read a column of each table of a publication; return the error of the first that cannot be read."""
    for table in pinned.versions:
        column = lakehouse.tables[table].columns[0]
        try:
            # Of a function, since Delta takes the greatest value of a column from its log.
            read_pinned(lakehouse, pinned, table).agg(F.max(F.xxhash64(column))).collect()
        except PySparkException as error:
            if not delta.is_unreadable(error):
                raise
            return error
    return None


# --- bronze: the landing files are all that it can be made of ---

_ALL_DATES = "bronze.landed_files"
"""The table that has a row for each file of each published landing date."""


@dataclass(frozen=True)
class BronzeDates:
    """What bronze has published: an interval around all of it, and the landing dates that can still be read."""

    interval: Interval
    dates: frozenset[date]
    are_known: bool
    """Whether these are all that are published."""

    def are_all_in(self, build: Build) -> bool:
        """Return whether a build of bronze has all that is published; where that is not known, all that has landed."""
        built = set(build.built_dates)
        if self.are_known:
            return self.dates <= built
        covered, needed, landing_root = build.interval, self.interval, build.parameters.landing_root
        is_whole = covered.start <= needed.start and needed.end <= covered.end and self.dates <= built
        others = set(covered.dates()) - built
        return is_whole and not any((landing_root / folder_name(day)).exists() for day in others)

    @property
    def remedy(self) -> str:
        """What brings the rows back, in a sentence."""
        start, end = self.interval.start, self.interval.end
        dates = f"START={start} END={end}"
        with_gaps = (
            f", or where dates between have never landed `LAKEHOUSE_ALLOW_MISSING_DATES=true make medallion {dates}`"
        )
        may_have_gaps = not self.are_known or set(self.interval.dates()) - self.dates
        return (
            f"The rows of bronze come back from the landing files: run {start} up to, and not including, {end} in one"
            f" run (`make run {dates}`{with_gaps if may_have_gaps else ''}), which writes its tables again. On"
            " Databricks, UNDROP TABLE brings a dropped table back"
        )


def bronze_dates(lakehouse: Lakehouse) -> BronzeDates:
    """Look up what bronze has published, in all that can be read. There must be a publication."""
    history = Publications(lakehouse).since("bronze", 0)
    pinned = readable(lakehouse, PinnedPublication.pin(history[-1]))
    by_table: dict[str, set[date]] = {}  # of those that can be read
    for table in history[-1].tables:
        try:
            rows = read_pinned(lakehouse, pinned, table).select("landing_date").distinct().collect()
        except PySparkException as error:
            if not delta.is_unreadable(error):
                raise
            continue  # the other tables and the intervals of the publications tell
        by_table[table] = {row["landing_date"] for row in rows}
    dates = set[date]().union(*by_table.values())
    intervals = [publication.interval for publication in history if publication.interval]
    starts = [*dates, *(interval.start for interval in intervals)]
    ends = [*(day + timedelta(days=1) for day in dates), *(interval.end for interval in intervals)]
    return BronzeDates(Interval(min(starts), max(ends)), frozenset(dates), _ALL_DATES in by_table)
