"""Which landing dates hold other files than those that the newest publication of bronze counted.

Nothing is remembered between two looks: what landed is compared with what is published, by the name, the size and the
time of the last change of each file. So a file that was replaced under its name, one of several that was removed, and a
header that withdraws a date are seen, and a look that was lost changes nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from spark_jobs.layers.bronze.bronze_tables import LANDED_FILES, ORDER_ITEMS, QUARANTINE
from spark_jobs.storage import delta
from spark_jobs.storage.build_record import PinnedPublication
from spark_jobs.storage.landing_names import Entry, date_of_folder, is_hidden, is_ignored, why_not_landed
from spark_jobs.storage.other_writers import readable
from spark_jobs.storage.pinned_tables import read_pinned

if TYPE_CHECKING:
    from spark_jobs.storage.lakehouse import Lakehouse
    from spark_jobs.storage.publications import Publication

log = logging.getLogger(__name__)
State = tuple[int, int | None]
"""Of a file: bytes, and milliseconds since 1970 of its last change; None where no line of it was published."""


def changed_dates(
    lakehouse: Lakehouse, newest: Publication | None, landing_root: Path, open_from: date
) -> dict[date, str]:
    """Return each landing date to be run, by date, with what changed since the newest publication of bronze.

    `open_from` is the first landing date that is still being delivered. One that was published as such and has ended
    since is to be run once more: its gate then judges the whole date.
    """
    published = _published(lakehouse, newest)
    ended = {day for day in newest.open_dates if day < open_from} if newest else set()
    changes: dict[date, str] = {}
    for day, landed in sorted(_landed(landing_root)):
        if reason := _difference(landed, published.pop(day, None)) or ("has ended" if day in ended else ""):
            changes[day] = reason
    for day in sorted(published):
        log.warning("%s is published, and its folder is gone or empty: what is published stays", day)
    return changes


def _landed(landing_root: Path) -> Iterator[tuple[date, dict[str, State]]]:
    """Yield the landing dates that have landed, each with its files by name."""
    with os.scandir(landing_root) as folders:
        for folder in folders:
            if is_hidden(folder.name):
                continue
            day = date_of_folder(folder.name)
            if day is None or not folder.is_dir():
                log.warning("%r is no landing folder such as dt=2018-01-31, and is ignored", folder.name)
                continue
            files: dict[str, State] = {}
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        details = entry.stat()
                    except FileNotFoundError:  # it has gone since the folder was listed
                        continue
                    files[entry.name] = (details.st_size, details.st_mtime_ns // 1_000_000)
            if not why_not_landed(Entry(name, size) for name, (size, _) in files.items()):
                yield day, {name: state for name, state in files.items() if not is_ignored(name)}


def _published(lakehouse: Lakehouse, newest: Publication | None) -> dict[date, dict[str, State]]:
    """Return the files that the newest publication of bronze counted, by landing date and name."""
    pinned = PinnedPublication.pin(newest)
    try:
        return _counted(lakehouse, pinned)
    except PySparkException as error:
        if not delta.is_unreadable(error):
            raise
    try:
        return _counted(lakehouse, readable(lakehouse, pinned))
    except PySparkException as error:
        if not delta.is_unreadable(error):
            raise
        # A run of all that has landed makes bronze again.
        log.warning("what is published of bronze cannot be read (%s): all dates are run", delta.condition(error))
        return {}


def _counted(lakehouse: Lakehouse, pinned: PinnedPublication) -> dict[date, dict[str, State]]:
    columns = ("landing_date", "source_file", "source_file_modified_at")
    items, quarantined = (
        read_pinned(lakehouse, pinned, table).select(*columns) for table in (ORDER_ITEMS.name, QUARANTINE.name)
    )
    written = items.unionByName(quarantined).groupBy("landing_date", "source_file").agg(F.max(columns[2]).alias("at"))
    counted = read_pinned(lakehouse, pinned, LANDED_FILES.name).join(written, ["landing_date", "source_file"], "left")
    found: dict[date, dict[str, State]] = {}
    for row in counted.select("landing_date", "source_file", "size_bytes", F.unix_millis("at").alias("at")).collect():
        found.setdefault(row["landing_date"], {})[Path(row["source_file"]).name] = (row["size_bytes"], row["at"])
    return found


def _difference(landed: dict[str, State], published: dict[str, State] | None) -> str:
    """Say in what the files of a date differ; "" where they do not."""
    if published is None:
        return "has landed"
    if new := sorted(landed.keys() - published.keys()):
        return f"new: {', '.join(new)}"
    if gone := sorted(published.keys() - landed.keys()):
        return f"removed: {', '.join(gone)}"
    other = [name for name in sorted(landed) if not _is_same(landed[name], published[name])]
    return f"changed: {', '.join(other)}" if other else ""


def _is_same(landed: State, published: State) -> bool:
    # Of a file without lines, size and name tell enough: it gives no row.
    return landed[0] == published[0] and published[1] in (None, landed[1])
