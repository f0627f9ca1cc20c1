"""What has landed: the order files of an interval's landing dates, counted and checked.

    <landing>/dt=YYYY-MM-DD/*.csv
    <landing>/dt=YYYY-MM-DD/_manifest.json    optional: {"files": {"orders.csv": 129}}, landed lines per file

Every file is read once here, byte by byte and without Spark or a CSV reader, so that the count of landed lines owes
nothing to the code that it checks. A landed line is a non-blank line (one with more than blanks and tabs) after the
header, which is the first non-blank line. A line ends with \\r\\n, \\n or a lone \\r, as in Spark's text reader.

Other hidden entries (a leading . or _) are ignored; anything else that is not a regular *.csv file is refused by name.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from spark_jobs.runtime.errors import HeaderRefused, LandingRefused, ManifestMismatch, NothingLanded
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.file_signatures import advice
from spark_jobs.tables.source import SOURCE_NAMES

MANIFEST = "_manifest.json"
UTF8_BOM = b"\xef\xbb\xbf"
_BLANKS = b" \t"
_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 24
_MOST_UNEXPECTED = 10


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


@dataclass(frozen=True)
class Landing:
    """What the landing dates of an interval hold."""

    files: tuple[LandedFile, ...]
    dates: tuple[date, ...]
    """The dates that have a folder, also those without orders."""
    missing: tuple[date, ...]
    """The dates without a folder; empty unless missing dates were allowed."""

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files)


def folder_name(landing_date: date) -> str:
    return f"dt={landing_date.isoformat()}"


def landed_files(
    landing_root: Path, interval: Interval, *, encoding: str = "windows-1252", allow_missing: bool = False
) -> Landing:
    """Return the order files of the interval, by path, all of them checked.

    Raises NothingLanded (dates without a folder, all listed), LandingRefused (entries that are no order files),
    HeaderRefused (files with a wrong header, all listed) and ManifestMismatch.
    """
    dates: list[date] = []
    missing: list[date] = []
    try:
        for day in interval.dates():
            (dates if (landing_root / folder_name(day)).exists() else missing).append(day)
    except OSError as error:
        raise LandingRefused(f"the landing root {landing_root} cannot be read: {error.strerror or error}") from error
    if missing and not allow_missing:
        raise NothingLanded(
            f"nothing has landed in {landing_root} for {', '.join(day.isoformat() for day in missing)}: deliver"
            f" a folder {folder_name(missing[0])} (an empty one for a day without orders), or allow missing dates"
        )

    entries: list[tuple[Path, date]] = []
    refused: list[str] = []
    for day in dates:
        for path, problem in _entries(landing_root / folder_name(day)):
            if problem:
                refused.append(f"{path.relative_to(landing_root).as_posix()!r} {problem}")
            else:
                entries.append((path, day))
    if refused:
        raise LandingRefused(
            f"in {landing_root} these are no order files that can be loaded: {'; '.join(refused)}. Only regular"
            " *.csv files may stand in a landing folder; remove the others, or give them a name that starts with _"
        )

    files, wrong = [], []
    for path, day in entries:
        name = path.relative_to(landing_root).as_posix()
        try:
            size, lines, header = _measure(path)
        except OSError as error:
            raise LandingRefused(f"the landed file {name} cannot be read: {error.strerror or error}") from error
        positions, differences = _match_header(header, encoding)
        if differences:
            wrong.append(f"{name}: {'; '.join(differences)}")
        files.append(LandedFile(name, day, size, lines, header, positions))
    if wrong:
        listed = "\n  ".join(wrong)
        raise HeaderRefused(
            f"{len(wrong)} of {len(files)} landed files have a wrong header (the order of the columns is free,"
            f" the {len(SOURCE_NAMES)} names are not):\n  {listed}"
        )
    _check_manifests(landing_root, dates, files)
    return Landing(tuple(files), tuple(dates), tuple(missing))


def _entries(folder: Path) -> list[tuple[Path, str]]:
    """Return the entries of a landing folder by name, each with what is wrong with it, or ""."""
    try:
        if not folder.is_dir():
            return [(folder, "is not a folder")]
        found = sorted(folder.iterdir(), key=lambda path: path.name)
        return [(path, _problem(path)) for path in found if not path.name.startswith((".", "_"))]
    except OSError as error:
        return [(folder, f"cannot be read ({error.strerror or error})")]


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


def _measure(path: Path) -> tuple[int, int, bytes | None]:
    """Measure size, landed lines and header of a file, in one pass and in constant memory (the header line aside)."""
    size = lines = 0
    header: bytes | None = None
    tail = b""  # the unfinished line so far: while the header is sought all of it, later only whether it is blank
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
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
        # So many are the values of a line that was joined to the header, and have no place in a message either.
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
