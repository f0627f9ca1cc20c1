"""Replay one big file as a daily feed, by order date.

    python -m feeds.daily_replay --data orders.csv.xz --landing /Volumes/.../landing/files

Lines are streamed: memory stays within a budget whatever the size and order of the file, and the standard library is
enough. Every line keeps exactly its bytes, below the file's own header:

- A record with a quoted line break stays together. A quote that does not close within a hundred lines is damage: its
  line is delivered alone.
- In which order day and month are written, is decided from the whole file, as bronze decides it for each landed one
  (spark_jobs/tables/date_order.py); so the file is read twice.
- A line whose date cannot be read, or stands for none, is delivered with the line before it, at the start of the file
  with the first line whose date can be read. Bronze judges lines, so none may be lost here. Blank lines, records
  without any value and repetitions of the header hold nothing and are left out; another header is refused.
- A day between the first and the last one for which the file has no line gets a file with a header only, unless its
  folder has landed already: there were no orders on that day. Not so where they lie more than MOST_DAYS apart, since
  then a date is wrong.
- All days are written under a hidden name first. Only when the last line has been read, the finished folders are
  renamed, each replacing the folder of its day; an error before that leaves the landing root as it was.
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from feeds.source_file import CHUNK, Header, ReplayRefused, opened, read_header, read_lines, read_records
from spark_jobs.runtime.errors import LakehouseError
from spark_jobs.storage.file_signatures import advice
from spark_jobs.tables.blank_records import NULL_WORDS, blank_test, words_in
from spark_jobs.tables.date_order import (
    AUTO,
    DATE_ORDERS,
    EVIDENCE_COLUMNS,
    ORDER_DATE,
    DateEvidence,
    DateOrder,
    LineDates,
    Readings,
    evidence_texts,
    fields_of,
    line_dates,
)
from spark_jobs.tables.stand_in_dates import is_stand_in

DATE_COLUMN = ORDER_DATE
FILE_NAME = "orders.csv"
_BUDGET = 64 << 20  # bytes of lines in memory before they are written
MOST_DAYS = 7305


@dataclass(frozen=True)
class ReplayResult:
    """The result of a replay."""

    days: int
    lines: int
    first: date
    last: date
    undated: int
    """Lines without a readable date, delivered with a line beside them."""
    blank: int
    """Records without any value, and repeated headers, which were left out."""

    def __str__(self) -> str:
        undated = f" ({self.undated:,} of them without a readable date)" if self.undated else ""
        blank = f"; left out {self.blank:,} records without any value" if self.blank else ""
        return f"replayed {self.lines:,} lines{undated} into {self.days:,} days, {self.first} to {self.last}{blank}"


def replay(
    data: Path,
    landing: Path,
    *,
    date_column: str = DATE_COLUMN,
    encoding: str = "windows-1252",
    date_order: str = AUTO,
    null_words: str = NULL_WORDS,
    manifest: bool = False,
    budget: int = _BUDGET,
    chunk: int = CHUNK,
) -> ReplayResult:
    """Deliver the lines of `data` (plain, .xz, .gz or .zip) to <landing>/dt=YYYY-MM-DD/orders.csv.

    `budget` is the number of bytes of lines in memory before they are written, `chunk` that of one read.
    Raises ReplayRefused.
    """
    try:
        landing.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".replay-", dir=landing))
    except OSError as error:
        raise ReplayRefused(f"cannot write to the landing root {landing}: {error.strerror or error}") from error
    try:
        staging.chmod(0o755)
        with opened(data, date_column, encoding) as stream:
            dates = _date_order(read_records(stream, chunk), date_column, encoding, date_order)
        with opened(data, date_column, encoding) as stream:
            records = read_records(stream, chunk)
            is_blank = blank_test(encoding, words_in(null_words))
            result = _distribute(data, records, staging, date_column, encoding, is_blank, dates, manifest, budget)
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, EOFError) as error:
        raise ReplayRefused(f"{data} is damaged ({error}): nothing was delivered; get the file again") from error
    # zipfile raises RuntimeError for an archive with a password, or with an unknown compression.
    except (OSError, UnicodeDecodeError, LookupError, RuntimeError) as error:
        raise ReplayRefused(f"{data} could not be replayed: {error}; nothing was delivered") from error
    else:
        deliver(staging, landing)
        return result
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _date_order(records: Iterator[list[bytes]], date_column: str, encoding: str, setting: str) -> DateOrder:
    """Decide from the whole file in which order its dates are."""
    evidence = DateEvidence(setting)
    header, _ = read_header(records, encoding)
    positions = _positions(header, date_column)
    if setting == AUTO:
        for record in records:
            if len(record) == 1:
                evidence.add(evidence_texts(fields_of(record[0]), positions))
    return evidence.decide()


def _positions(header: Header, date_column: str) -> tuple[int | None, ...]:
    """Return where the evidence stands, the date of the order first; None for a column that the file does not have."""
    return tuple(header.position(name) for name in (date_column, *EVIDENCE_COLUMNS[1:]))


class _Days:
    """The day files under the hidden name: lines are buffered in memory and appended when the budget is exceeded."""

    def __init__(self, folder: Path, header: bytes, is_blank: Callable[[bytes], bool], budget: int) -> None:
        self._folder, self._header, self._is_blank, self._budget = folder, header, is_blank, budget
        self._pending: dict[date, list[bytes]] = {}
        self._size = 0
        self.lines: dict[date, int] = {}

    def add(self, day: date, record: list[bytes]) -> None:
        self._pending.setdefault(day, []).extend(record)
        self._size += sum(map(len, record))
        self.lines[day] = self.lines.get(day, 0) + sum(1 for line in record if not self._is_blank(line))
        if self._size > self._budget:
            self.flush()

    def flush(self) -> None:
        for day, lines in self._pending.items():
            with self._begun(day).open("ab") as stream:
                stream.writelines(lines)
        self._pending.clear()
        self._size = 0

    def begin_days_without_lines(self, landing: Path) -> None:
        """Write a header for each day between the others that has no line, and no folder in `landing`."""
        first, last = min(self.lines), max(self.lines)
        if (last - first).days <= MOST_DAYS:
            for day in (first + timedelta(days=number) for number in range((last - first).days)):
                if not (landing / f"dt={day}").exists():
                    self._begun(day)

    def _begun(self, day: date) -> Path:
        path = self._folder / f"dt={day}" / FILE_NAME
        if not path.exists():
            path.parent.mkdir()
            path.write_bytes(self._header)
        return path


def _distribute(
    data: Path,
    records: Iterator[list[bytes]],
    staging: Path,
    date_column: str,
    encoding: str,
    is_blank: Callable[[bytes], bool],
    dates: DateOrder,
    manifest: bool,
    budget: int,
) -> ReplayResult:
    header, number = read_header(records, encoding)
    if header.position(date_column) is None:
        raise ReplayRefused(
            f"{data} has no column {date_column!r} in its header ({len(header.names)} columns){advice(header.content)},"
            " so its lines cannot be assigned to days; name the column with --date-column"
        )
    positions = _positions(header, date_column)
    wanted = date_column.split()[-1].lower().encode(encoding)
    days = _Days(staging, header.content, is_blank, budget)
    current: date | None = None
    undated = blank = 0
    # Lines before the first readable date wait in a file, since they may be any number.
    with tempfile.TemporaryFile(dir=staging) as waiting:
        for record in records:
            number += len(record)
            if len(record) == 1 and is_blank(record[0]):
                blank += bool(record[0].rstrip(b"\r\n"))
                continue
            found = dates.day(_line_dates(b"".join(record), positions, len(header.names)))
            day = None if found is None or is_stand_in(found) else found
            if day is None:
                if wanted in record[0].lower() and _is_repeated(data, record[0], number, header, date_column, encoding):
                    blank += 1
                    continue
                undated += len(record)
                if current is None:
                    waiting.writelines(record)
                    continue
            elif current is None:
                current = day
                waiting.seek(0)
                for line in read_lines(cast(BinaryIO, waiting)):
                    days.add(day, [line])
            current = current if day is None else day
            days.add(current, record)
    if not days.lines:
        raise ReplayRefused(
            f"{data} has no line with a date that can be read (M/D/YYYY, D/M/YYYY or with dashes); where no line shows"
            " whether the month or the day comes first, set --date-order"
        )
    days.flush()
    days.begin_days_without_lines(staging.parent)
    if manifest:
        for day, lines in days.lines.items():
            text = json.dumps({"files": {FILE_NAME: lines}}, indent=2) + "\n"
            (staging / f"dt={day.isoformat()}" / "_manifest.json").write_text(text, encoding="utf-8")
    return ReplayResult(len(days.lines), sum(days.lines.values()), min(days.lines), max(days.lines), undated, blank)


def _line_dates(record: bytes, positions: tuple[int | None, ...], width: int) -> LineDates:
    """Read the dates of a record; where there is none for the order, positions count from the right."""
    fields = fields_of(record)
    found = line_dates(evidence_texts(fields, positions))
    if found.ordered == Readings() and len(fields) != width:
        found = line_dates(evidence_texts(fields, positions, len(fields) - width))
    return found


def _is_repeated(data: Path, line: bytes, number: int, header: Header, date_column: str, encoding: str) -> bool:
    """Return whether a line is the header again. Raises ReplayRefused for a header with other columns."""
    other = Header.parse(line, encoding)
    if other.position(date_column) is None:
        return False
    if other.has_names_of(header):
        return True
    raise ReplayRefused(
        f"line {number} of {data} is another header, with columns in another order or other ones: replay what is below"
        " it as a separate file"
    )


def deliver(staging: Path, landing: Path) -> None:
    """Rename the finished folders of `staging`, a hidden folder in the landing root, to where they land.

    Raises ReplayRefused.
    """
    replaced = staging / "replaced"
    try:
        replaced.mkdir()
        for folder in sorted(staging.glob("dt=*")):
            deliver_folder(folder, landing, replaced)
    except OSError as error:
        raise ReplayRefused(
            f"cannot rename the finished folders into {landing}: {error}; some days may have been delivered, so repeat"
            " the replay once the cause is removed"
        ) from error


def deliver_folder(folder: Path, landing: Path, replaced: Path) -> None:
    """Rename one finished folder. The folder that it replaces is moved into `replaced` first, since no system call
    swaps two folders. All three are in one file system."""
    target = landing / folder.name
    if target.exists():
        target.rename(replaced / folder.name)
    folder.rename(target)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m feeds.daily_replay", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the source file: plain, .xz, .gz or .zip")
    parser.add_argument("--landing", type=Path, required=True, help="the landing root to deliver to")
    parser.add_argument("--date-column", default=DATE_COLUMN, help="the column with the day (default: %(default)s)")
    parser.add_argument("--encoding", default="windows-1252", help="of the header (default: %(default)s)")
    parser.add_argument(
        "--date-order", choices=DATE_ORDERS, default=AUTO, help="of day and month (default: %(default)s)"
    )
    parser.add_argument("--null-words", default=NULL_WORDS, help="for a missing value, separated by commas")
    parser.add_argument("--manifest", action="store_true", help="write a _manifest.json into each folder")
    options = parser.parse_args(arguments)
    try:
        result = replay(
            options.data,
            options.landing,
            date_column=options.date_column,
            encoding=options.encoding,
            date_order=options.date_order,
            null_words=options.null_words,
            manifest=options.manifest,
        )
    except LakehouseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
