"""What has landed: the order files of an interval's landing dates, counted and checked.

    <landing>/dt=YYYY-MM-DD/*.csv
    <landing>/dt=YYYY-MM-DD/_manifest.json    optional: {"files": {"orders.csv": 129}}, landed lines per file

Every file is read once here, without Spark (spark_jobs/storage/order_file.py). A landed line is a line below the header
(the first line with a value) that holds a value and is no header. Records without any value and repeated headers are
counted and ignored.

A date has landed when its folder holds a file with a header. Entries that are hidden, or named as unfinished files are
(`landing_names.py`), are ignored; anything else that is not a regular *.csv file is refused by name.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from spark_jobs.runtime.errors import HeaderRefused, LandingChanged, LandingRefused, ManifestMismatch, NothingLanded
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.landing_names import (
    Entry,
    folder_name,
    is_ignored,
    is_unfinished,
    listed,
    near_misses,
    why_not_landed,
)
from spark_jobs.storage.order_file import CHUNK, OrderFile, read_order_file
from spark_jobs.tables.blank_records import blank_test
from spark_jobs.tables.source import SOURCE_NAMES, SourceFormat

MANIFEST = "_manifest.json"
_LONGEST_RECORD = 1 << 16
_READINGS = 3
_PAUSE = 1.0  # seconds between two readings of a file that changes


@dataclass(frozen=True)
class LandedFile(OrderFile):
    """One order file. `path` is relative to the landing root and written with /, on any machine."""

    path: str
    landing_date: date
    modified_ns: int = 0
    """When it was last written, in nanoseconds since 1970, as it was read."""


@dataclass(frozen=True)
class Landing:
    """What the landing dates of an interval hold."""

    files: tuple[LandedFile, ...]
    dates: tuple[date, ...]
    """The dates that have landed, also those without orders."""
    missing: dict[date, str] = field(default_factory=dict)
    """The dates that have not landed, each with the reason; empty unless missing dates were allowed."""
    notes: tuple[str, ...] = ()
    """What seems unfinished, beside files that are finished."""

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files)


def landed_files(
    landing_root: Path,
    interval: Interval,
    *,
    source_format: SourceFormat = SourceFormat(),  # noqa: B008 - frozen
    allow_missing: bool = False,
    only: Collection[date] = (),
    chunk: int = CHUNK,
) -> Landing:
    """Read and check the order files of the interval, or of `only` these dates: by path.

    Raises NothingLanded (dates that have not landed, all listed), LandingRefused (entries that are no order files),
    LandingChanged (a file that is being written), HeaderRefused (files with a wrong header, all listed) and
    ManifestMismatch. `chunk` is the bytes of one read.
    """
    missing: dict[date, str] = {}
    paths: list[tuple[Path, date]] = []
    refused: list[str] = []
    notes: list[str] = []
    days = sorted(only) or interval.dates()
    for day in days:
        folder = landing_root / folder_name(day)
        try:
            entries = sorted(folder.iterdir(), key=lambda path: path.name) if folder.exists() else None
            reason = "it has no folder" if entries is None else why_not_landed(map(_entry, entries))
        except OSError as error:
            refused.append(f"{folder.name!r} cannot be read ({error.strerror or error})")
            continue
        if reason:
            missing[day] = reason
            continue
        for path in entries or ():
            name = path.relative_to(landing_root).as_posix()
            if is_unfinished(path.name):
                notes.append(f"{name} seems to be unfinished, and is ignored")
            elif not is_ignored(path.name):
                refused += [f"{name!r} {problem}"] if (problem := _problem(path)) else []
                paths.append((path, day))
    if not allow_missing:
        _require(landing_root, missing)
    if refused:
        raise LandingRefused(
            f"in {landing_root} these are no order files that can be loaded: {'; '.join(refused)}. Only regular"
            " *.csv files may stand in a landing folder; remove the others, or give them a name that starts with _"
        )
    files = [_landed_file(landing_root, path, day, source_format, chunk) for path, day in paths]
    for day in sorted({file.landing_date for file in files} - {file.landing_date for file in files if file.header}):
        empty = [file.path.rpartition("/")[2] for file in files if file.landing_date == day]
        missing[day] = f"its folder holds only files without a header ({listed(empty)})"
    if not allow_missing:
        _require(landing_root, missing)
    files = [file for file in files if file.landing_date not in missing]
    _check_headers(files)
    dates = [day for day in days if day not in missing]
    _check_manifests(landing_root, dates, files)
    notes += [f"{file.path} is empty" for file in files if file.header is None]
    is_blank = blank_test(source_format.encoding)
    cut_off = [file.path for file in files if file.lines and _is_cut_off(landing_root / file.path, is_blank)]
    notes += [f"{path} ends within a record: was it cut off?" for path in cut_off]
    return Landing(tuple(files), tuple(dates), dict(sorted(missing.items())), tuple(sorted(notes)))


def check_unchanged(landing_root: Path, files: Sequence[LandedFile]) -> None:
    """Raise LandingChanged where a file is no longer what `landed_files` read: its lines were read again since."""
    changed = [file.path for file in files if _state(landing_root / file.path) != (file.size, file.modified_ns)]
    if changed:
        raise _changed(landing_root, changed)


def _changed(landing_root: Path, names: list[str]) -> LandingChanged:
    return LandingChanged(
        f"files in {landing_root} changed while they were read: {listed(names)}. Nothing was judged; run the build"
        " again when they are complete. A file that is written under a name with a leading . and renamed at the end is"
        " never read half"
    )


def _check_headers(files: Sequence[LandedFile]) -> None:
    """Raise HeaderRefused where a header is wrong."""
    wrong = [f"{file.path}: {'; '.join(file.differences)}" for file in files if file.differences]
    if wrong:
        listing = "\n  ".join(wrong)
        raise HeaderRefused(
            f"{len(wrong)} of {len(files)} landed files have a wrong header (the order of the columns is free,"
            f" the {len(SOURCE_NAMES)} names are not):\n  {listing}"
        )


def _require(landing_root: Path, missing: dict[date, str]) -> None:
    """Raise NothingLanded where a date is missing."""
    if not missing:
        return
    by_reason: dict[str, list[str]] = {}
    for day, reason in sorted(missing.items()):
        by_reason.setdefault(reason, []).append(day.isoformat())
    reasons = "; ".join(f"{', '.join(days)}: {reason}" for reason, days in by_reason.items())
    seen: list[str] = []
    with contextlib.suppress(OSError):  # it is no more than a hint
        seen = near_misses(os.listdir(landing_root), missing)  # noqa: PTH208 - only names are needed
    looks = f" These look like folders of such dates: {'; '.join(seen)}." if seen else ""
    raise NothingLanded(
        f"nothing has landed in {landing_root} for {reasons}.{looks} Deliver {folder_name(min(missing))}/*.csv (for a"
        " day without orders a file with a header only), or allow missing dates"
    )


def _entry(path: Path) -> Entry:
    return Entry(path.name, path.stat().st_size if path.is_file() else None)


def _problem(path: Path) -> str:
    if path.is_dir():
        return "is a folder"
    if not path.name.endswith(".csv"):
        return "is not a *.csv file"
    if not path.is_file():
        return "is not a regular file"
    # Spark takes a colon for the end of a URI's scheme; the other names cannot be stored or shown.
    if ":" in path.name or not path.name.isprintable():
        return "has a name with a colon or a character that cannot be printed"
    return ""


def _landed_file(landing_root: Path, path: Path, day: date, source_format: SourceFormat, chunk: int) -> LandedFile:
    """Read a file; again where it has changed meanwhile. Raises LandingChanged where it keeps changing."""
    name = path.relative_to(landing_root).as_posix()
    for reading in range(_READINGS):
        time.sleep(_PAUSE if reading else 0)
        try:
            before = _state(path)
            found = read_order_file(path, day, source_format, chunk)
        except OSError as error:
            raise LandingRefused(f"the landed file {name} cannot be read: {error.strerror or error}") from error
        file = LandedFile(**vars(found), path=name, landing_date=day, modified_ns=before[1] if before else 0)
        if before == _state(path) == (file.size, file.modified_ns):
            return file
    raise _changed(landing_root, [name])


def _is_cut_off(path: Path, is_blank: Callable[[bytes], bool]) -> bool:
    """Return whether a file ends without a line end, and in a line with fewer fields than a record has."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _LONGEST_RECORD))
        end = stream.read()
    last = end.replace(b"\r", b"\n").rpartition(b"\n")[2]
    return not is_blank(last) and last.count(b",") < len(SOURCE_NAMES) - 1


def _state(path: Path) -> tuple[int, int] | None:
    """Return the size and the time of the last change of a file; None where it is gone."""
    try:
        details = path.stat()
    except FileNotFoundError:
        return None
    return details.st_size, details.st_mtime_ns


def _check_manifests(landing_root: Path, dates: list[date], files: list[LandedFile]) -> None:
    wrong = []
    for day in dates:
        manifest = landing_root / folder_name(day) / MANIFEST
        if not os.path.lexists(manifest):  # a link to nowhere is no missing manifest
            continue
        landed = {file.path.rpartition("/")[2]: file.lines for file in files if file.landing_date == day}
        if differences := _compare_manifest(manifest, landed):
            wrong.append(f"{folder_name(day)}/{MANIFEST}: {'; '.join(differences)}")
    if wrong:
        listing = "\n  ".join(wrong)
        raise ManifestMismatch(
            f"landing folders in {landing_root} are not what their manifests say; deliver them again:\n  {listing}"
        )


def _compare_manifest(manifest: Path, landed: dict[str, int]) -> list[str]:
    try:
        counts = _promised(manifest)
    except (OSError, ValueError, RecursionError):
        return ['it cannot be read as {"files": {"<file name>": <number of lines after the header>}}']
    return [
        *(f"{name!r} is missing" for name in sorted(counts.keys() - landed.keys())),
        *(f"{name!r} is not in the manifest" for name in sorted(landed.keys() - counts.keys())),
        *(
            f"{name!r} has {landed[name]} lines instead of {counts[name]}"
            for name in sorted(counts.keys() & landed.keys())
            if counts[name] != landed[name]
        ),
    ]


def _promised(manifest: Path) -> dict[str, int]:
    """Read the line counts of a manifest. Raises OSError, ValueError and RecursionError."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name stands there twice")
        return dict(pairs)

    content = json.loads(manifest.read_text(encoding="utf-8-sig"), object_pairs_hook=unique)
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or any(type(lines) is not int or lines < 0 for lines in files.values()):
        raise ValueError("it holds no line counts")
    return files
