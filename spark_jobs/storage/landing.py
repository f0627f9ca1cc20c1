"""What has landed: the order files of an interval's landing dates, counted and checked.

    <landing>/dt=YYYY-MM-DD/*.csv
    <landing>/dt=YYYY-MM-DD/_manifest.json    optional: {"files": {"orders.csv": 129}}, landed lines per file

Every file is read once here, byte by byte and without Spark or a CSV reader, so that the count of landed lines owes
nothing to the code that it checks. A landed line is a non-blank line (one with more than blanks and tabs) after the
header, which is the first non-blank line. A line ends with \\r\\n, \\n or a lone \\r, as in Spark's text reader.

A date has landed when its folder holds a file with a header. Entries that are hidden, or named as unfinished files are
(`landing_names.py`), are ignored; anything else that is not a regular *.csv file is refused by name.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from spark_jobs.runtime.errors import HeaderRefused, LandingChanged, LandingRefused, ManifestMismatch, NothingLanded
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.file_signatures import advice
from spark_jobs.storage.landing_names import (
    Entry,
    folder_name,
    is_ignored,
    is_unfinished,
    listed,
    near_misses,
    why_not_landed,
)
from spark_jobs.tables.source import SOURCE_NAMES

MANIFEST = "_manifest.json"
UTF8_BOM = b"\xef\xbb\xbf"
_BLANKS = b" \t"
_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 24
_MOST_UNEXPECTED = 10
_READINGS = 3
_PAUSE = 1.0  # seconds between two readings of a file that changes


@dataclass(frozen=True)
class LandedFile:
    """One order file. `path` is relative to the landing root and written with /, on any machine."""

    path: str
    landing_date: date
    size: int
    lines: int
    """Landed lines: 0 for a file that is empty or has nothing but a header."""
    header: bytes | None
    """The header line as it stands in the file, without byte order mark and line end; None in an empty file."""
    positions: tuple[int, ...]
    """For each of the 53 columns, in the order of bronze's schema, where it stands in this file, from 0."""
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
    ignored: tuple[str, ...] = ()
    """What stands beside finished files and seems unfinished, or empty: relative to the landing root."""

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files)


def landed_files(
    landing_root: Path,
    interval: Interval,
    *,
    encoding: str = "windows-1252",
    allow_missing: bool = False,
    chunk: int = _CHUNK,
) -> Landing:
    """Read and check the order files of the interval: by path.

    Raises NothingLanded (dates that have not landed, all listed), LandingRefused (entries that are no order files),
    LandingChanged (a file that is being written), HeaderRefused (files with a wrong header, all listed) and
    ManifestMismatch. `chunk` is the bytes of one read.
    """
    missing: dict[date, str] = {}
    paths: list[tuple[Path, date]] = []
    refused: list[str] = []
    ignored: list[str] = []
    for day in interval.dates():
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
                ignored.append(name)
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
    files = [_landed_file(landing_root, path, day, chunk) for path, day in paths]
    for day in sorted({file.landing_date for file in files} - {file.landing_date for file in files if file.header}):
        empty = [file.path.rpartition("/")[2] for file in files if file.landing_date == day]
        missing[day] = f"its folder holds only files without a header ({listed(empty)})"
    if not allow_missing:
        _require(landing_root, missing)
    files = _with_positions([file for file in files if file.landing_date not in missing], encoding)
    dates = [day for day in interval.dates() if day not in missing]
    _check_manifests(landing_root, dates, files)
    ignored += [f"{file.path} (it is empty)" for file in files if file.header is None]
    return Landing(tuple(files), tuple(dates), dict(sorted(missing.items())), tuple(sorted(ignored)))


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


def _with_positions(files: Sequence[LandedFile], encoding: str) -> list[LandedFile]:
    """Find the columns of each file. Raises HeaderRefused."""
    matched, wrong = [], []
    for file in files:
        positions, differences = _match_header(file.header, encoding)
        if differences:
            wrong.append(f"{file.path}: {'; '.join(differences)}")
        matched.append(replace(file, positions=positions))
    if wrong:
        listing = "\n  ".join(wrong)
        raise HeaderRefused(
            f"{len(wrong)} of {len(files)} landed files have a wrong header (the order of the columns is free,"
            f" the {len(SOURCE_NAMES)} names are not):\n  {listing}"
        )
    return matched


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


def _landed_file(landing_root: Path, path: Path, day: date, chunk: int) -> LandedFile:
    """Read a file; again where it has changed meanwhile. Raises LandingChanged where it goes on changing."""
    name = path.relative_to(landing_root).as_posix()
    for reading in range(_READINGS):
        time.sleep(_PAUSE if reading else 0)
        try:
            before = _state(path)
            size, lines, header = _measure(path, chunk)
        except OSError as error:
            raise LandingRefused(f"the landed file {name} cannot be read: {error.strerror or error}") from error
        file = LandedFile(name, day, size, lines, header, (), before[1] if before else 0)
        if before == _state(path) == (size, file.modified_ns):
            return file
    raise _changed(landing_root, [name])


def _state(path: Path) -> tuple[int, int] | None:
    """Return the size and the time of the last change of a file; None where it is gone."""
    try:
        details = path.stat()
    except FileNotFoundError:
        return None
    return details.st_size, details.st_mtime_ns


def _measure(path: Path, chunk_size: int) -> tuple[int, int, bytes | None]:
    """Measure size, landed lines and header of a file, in one pass and in constant memory (the header line aside)."""
    size = lines = 0
    header: bytes | None = None
    tail = b""  # the unfinished line so far: while the header is sought all of it, later only whether it is blank
    with path.open("rb") as stream:
        while chunk := stream.read(chunk_size):
            start = chunk if size else chunk.removeprefix(UTF8_BOM)
            size += len(chunk)
            *ended, rest = start.replace(b"\r", b"\n").split(b"\n")
            if ended:
                ended[0] = tail + ended[0]
                tail = rest
            else:
                tail += rest
            if header is None and len(tail) > _LONGEST_HEADER:
                header = tail  # no header is that long; it will be refused
            filled = [line for line in ended if line.strip(_BLANKS)]
            lines += len(filled)
            if header is None and filled:
                header = filled[0]
            if header is not None:
                tail = b"x" if tail.strip(_BLANKS) else b""
    if tail.strip(_BLANKS):
        lines += 1
        header = tail if header is None else header
    return size, max(lines - 1, 0), header


def _match_header(header: bytes | None, encoding: str) -> tuple[tuple[int, ...], list[str]]:
    """Return the places of the 53 columns, and how the header differs from them.

    Names are compared without regard to case and to leading, trailing and repeated blanks: a header "ORDER ID " is
    plainly the same column, and anything more than that is a renamed one.
    """
    if header is None:
        return tuple(range(len(SOURCE_NAMES))), []
    try:
        names = next(csv.reader([header.decode(encoding)], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        return (), [f"the header cannot be read ({error}){advice(header)}"]
    found = [_normal(name) for name in names]
    counts = Counter(found)
    expected = {_normal(name): name for name in SOURCE_NAMES}
    if len(counts.keys() & expected.keys()) * 2 < len(expected):
        # Most likely a line of data, whose values (e-mail, password) have no place in a message.
        known = len(counts.keys() & expected.keys())
        return (), [
            f"its first line is no header: {known} of the {len(expected)} column names are there{advice(header)}"
        ]
    differences = []
    if missing := [name for normal, name in expected.items() if normal not in counts]:
        differences.append(f"missing {_listed(missing)}")
    if unexpected := [name for name, normal in zip(names, found, strict=True) if normal not in expected]:
        # More are the values of a line that was joined to the header, and have no place in a message either.
        differences.append(
            f"unexpected {_listed(unexpected)}"
            if len(unexpected) <= _MOST_UNEXPECTED
            else f"{len(unexpected)} unexpected names (is there a line end after the header?)"
        )
    if doubled := [name for normal, name in expected.items() if counts[normal] > 1]:
        differences.append(f"more than once {_listed(doubled)}")
    if differences:
        return (), differences
    return tuple(found.index(normal) for normal in expected), []


def _normal(name: str) -> str:
    return " ".join(name.split()).casefold()


def _listed(names: list[str], longest: int = 80) -> str:
    """List names for a message, cut short where there is too much, and without anything like an e-mail address."""
    return ", ".join(repr("***" if "@" in name else name[:longest]) for name in names)


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
        listed = "\n  ".join(wrong)
        raise ManifestMismatch(
            f"landing folders in {landing_root} are not what their manifests say; deliver them again:\n  {listed}"
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
