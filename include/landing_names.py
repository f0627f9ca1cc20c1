# Generated: `make generate` copies spark_jobs/storage/landing_names.py.
"""Tell by name and size what stands in the landing root and in a landing folder.

Airflow asks before a job runs, and the build again, with the contents of the files. An Airflow worker has no code of
the jobs: `include/landing_names.py` is a copy of this file, which `make generate` writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

# How programs name a file that they have not finished, or keep beside a finished one.
_UNFINISHED = re.compile(
    r"""
    ~.* | .*~ | \#.*\# |                                     # editors and office programs: locks, backups, autosaves
    .*[._-](?: part | partial | filepart | crdownload | opdownload | download  # browsers, WinSCP, rclone, rsync
        | tmp\W?\w* | temp | in_?progress | in_?transit | incomplete | upload(?:ing)? | writing   # renamed at the end
        | aria2 | lftp-pget-status | !sync | !ut | lock | bak | sw[a-p]
        | _COPYING_ | gstmp | part\.minio )                   # Hadoop, gsutil, MinIO
    | .*\.csv\.[0-9a-f]{8}                                   # aws s3 cp
    | tmp_.*                                                 # DuckDB
    | .*:Zone\.Identifier                                    # where Windows got a file from, as WSL copies it
    | .*\.(?: tmp | temp | partial | incomplete | in_?progress | uploading | crdownload | filepart )\.csv
    """,
    re.VERBOSE | re.IGNORECASE,
)
_YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})(?:[-_./ ](\d{1,2})[-_./ ](\d{1,2})|(\d\d)(\d\d))(?!\d)")
_YEAR_LAST = re.compile(r"(?<!\d)(\d{1,2})[-_./ ](\d{1,2})[-_./ ](\d{4})(?!\d)")
_YEAR_ONLY = re.compile(r"(?:[^\d]*[=_ -])?(\d{4})")
_MOST_NAMED = 5


@dataclass(frozen=True)
class Entry:
    """One entry of a folder. `size` is in bytes, and None for a folder or where it is not known."""

    name: str
    size: int | None = None


def folder_name(landing_date: date) -> str:
    """Return the name of the landing folder of a date."""
    return f"dt={landing_date.isoformat()}"


def date_of_folder(name: str) -> date | None:
    """Return the date whose landing folder has this name; None where it is no landing folder's."""
    try:
        day = date.fromisoformat(name.removeprefix("dt="))
    except ValueError:
        return None
    return day if name == folder_name(day) else None


def is_hidden(name: str) -> bool:
    """Return whether an entry is not for the landing: what begins with `.` or `_`."""
    return name.startswith((".", "_"))


def is_unfinished(name: str) -> bool:
    """Return whether an entry is named as programs name files that they are writing, or keep for themselves."""
    return _UNFINISHED.fullmatch(name) is not None or (is_hidden(name) and ".csv" in name.lower())


def is_ignored(name: str) -> bool:
    """Return whether an entry of a landing folder is no order file, and no reason to refuse the folder either."""
    return is_hidden(name) or is_unfinished(name)


def why_not_landed(entries: Iterable[Entry]) -> str:
    """Say why a landing folder with these entries has not landed; "" where it has, or holds what must be refused.

    A date has landed when its folder holds a finished order file. An empty file is none: a day without orders is a
    file with a header.
    """
    found = list(entries)
    ignored = sorted(entry.name for entry in found if is_ignored(entry.name))
    empty = sorted(entry.name for entry in found if not is_ignored(entry.name) and entry.size == 0)
    if len(ignored) + len(empty) < len(found):
        return ""
    kinds = [(ignored, "unfinished or hidden names"), (empty, "empty files")]
    only = " and ".join(f"{kind} ({listed(names)})" for names, kind in kinds if names)
    return f"its folder holds only {only}" if only else "its folder is empty"


def near_misses(names: Iterable[str], missing: Iterable[date]) -> list[str]:
    """Say which entries of the landing root look like the folders of dates that are missing, and how these are named.

    `dt=2018-1-2`, `dt=20180102`, `DT=2018-01-02`, `2018-01-02`, `dt=02.01.2018` and `orders_2018-01-02.csv` all seem
    to be meant for one date.
    """
    wanted = set(missing)
    years: dict[int, date] = {day.year: day for day in sorted(wanted, reverse=True)}
    found = []
    for name in sorted(names):
        if is_hidden(name):
            continue
        days = sorted(_days_in(name) & wanted)
        if days and is_unfinished(name):
            found.append(f"{name!r} seems unfinished")
        elif days and name != folder_name(days[0]):
            found.append(f"{name!r} should be {' or '.join(repr(folder_name(day)) for day in days)}")
        elif (year := _YEAR_ONLY.fullmatch(name)) and int(year[1]) in years:
            example = folder_name(years[int(year[1])])
            found.append(f"{name!r} is a folder of a year: give each date a folder such as {example!r}")
    return found[:_MOST_NAMED] + ([f"and {len(found) - _MOST_NAMED} more"] if len(found) > _MOST_NAMED else [])


def listed(names: list[str]) -> str:
    """Return the first few names, quoted."""
    more = [f"and {len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*map(repr, names[:_MOST_NAMED]), *more])


def _days_in(name: str) -> set[date]:
    """Return every date that a name can mean; day and month are taken either way where the year comes last."""
    days = set()
    for year, month, day, month_2, day_2 in _YEAR_FIRST.findall(name):
        days.add((year, month or month_2, day or day_2))
    for first, second, year in _YEAR_LAST.findall(name):
        days |= {(year, first, second), (year, second, first)}
    return {date(*map(int, parts)) for parts in days if _is_date(*map(int, parts))}


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
