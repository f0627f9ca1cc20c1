"""The source file of a replay, plain or packed: its records, and the columns that its header names.

The standard library is enough.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import lzma
import re
import zipfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from spark_jobs.runtime.errors import LakehouseError
from spark_jobs.tables.blank_records import blank_test

CHUNK = 1 << 20
_LONGEST_RECORD = 100  # lines over which a quoted value may run
_UTF8_BOM = b"\xef\xbb\xbf"
# Whole fields, plain or quoted, and then a quoted one that does not end on this line.
_OPEN_QUOTE = re.compile(rb'(?:(?:"[^"]*+(?:""[^"]*+)*+"|(?!")[^,]*+),)*+"[^"]*+(?:""[^"]*+)*+\Z')


class ReplayRefused(LakehouseError):
    """A file that cannot be replayed."""


@dataclass(frozen=True)
class Header:
    """The header of a source file: its bytes, and the names of its columns."""

    content: bytes
    names: tuple[str, ...]

    @classmethod
    def parse(cls, content: bytes, encoding: str) -> Header:
        line = content.removeprefix(_UTF8_BOM).strip(b"\r\n").decode(encoding, "replace")
        try:
            names = next(csv.reader(io.StringIO(line)), [])
        except csv.Error:
            names = []  # no header: too long a field, or a line break that csv does not accept
        return cls(content, tuple(" ".join(name.split()) for name in names))

    def position(self, column: str) -> int | None:
        """Return the position of a column, from 0; None where there is none of that name, in whatever case."""
        names, wanted = [name.casefold() for name in self.names], " ".join(column.split()).casefold()
        return names.index(wanted) if wanted in names else None

    def has_names_of(self, other: Header) -> bool:
        return [name.casefold() for name in self.names] == [name.casefold() for name in other.names]


@contextlib.contextmanager
def opened(data: Path, column: str, encoding: str) -> Iterator[BinaryIO]:
    """Open a file, unpacked; of an archive its one file with that column. Raises ReplayRefused, and what unpacking
    raises."""
    match data.suffix.lower():
        case ".xz":
            with lzma.open(data) as unpacked:
                yield cast(BinaryIO, unpacked)
        case ".gz":
            with gzip.open(data) as unpacked:
                yield cast(BinaryIO, unpacked)
        case ".zip":
            with zipfile.ZipFile(data) as archive, archive.open(_member(data, archive, column, encoding)) as member:
                yield cast(BinaryIO, member)
        case _:
            with data.open("rb") as plain:
                yield plain


def _member(data: Path, archive: zipfile.ZipFile, column: str, encoding: str) -> str:
    """Return the name of the one file with the date column; DataCo's archive has two others. Raises ReplayRefused."""
    names = [name for name in archive.namelist() if name.lower().endswith(".csv") and "__MACOSX" not in name]
    wanted = []
    for name in names:
        with archive.open(name) as member:
            header, _ = read_header(read_records(cast(BinaryIO, member)), encoding)
            if header.position(column) is not None:
                wanted.append(name)
    if len(wanted) != 1:
        raise ReplayRefused(
            f"{data} must hold exactly one .csv file with the date column; of {names or 'no .csv file'},"
            f" {wanted or 'none'} has it. Unpack the right one and name it"
        )
    return wanted[0]


def read_lines(stream: BinaryIO, size: int = CHUNK) -> Iterator[bytes]:
    """Yield physical lines with their ends: \\r\\n, \\n or a single \\r."""
    rest: list[bytes] = []
    while chunk := stream.read(size):
        if b"\n" not in chunk and b"\r" not in chunk and not (rest and rest[-1].endswith(b"\r")):
            rest.append(chunk)
            continue
        pieces = (b"".join(rest) + chunk).splitlines(keepends=True)
        # The last one may continue in the next chunk, even if only by the \n of a \r\n.
        rest = [] if pieces[-1].endswith(b"\n") else [pieces.pop()]
        yield from pieces
    if rest:
        yield from b"".join(rest).splitlines(keepends=True)


def read_records(stream: BinaryIO, chunk: int = CHUNK) -> Iterator[list[bytes]]:
    """Yield records, each as its physical lines."""
    lines = read_lines(stream, chunk)
    pushed_back: deque[bytes] = deque()

    def next_line() -> bytes | None:
        return pushed_back.popleft() if pushed_back else next(lines, None)

    while (line := next_line()) is not None:
        record = [line]
        if b'"' in line and _OPEN_QUOTE.match(line):
            is_open = True
            while is_open and len(record) < _LONGEST_RECORD and (more := next_line()) is not None:
                record.append(more)
                is_open ^= more.count(b'"') % 2 == 1
            if is_open:
                pushed_back.extendleft(reversed(record[1:]))
                record = [line]
        yield record


def read_header(records: Iterator[list[bytes]], encoding: str) -> tuple[Header, int]:
    """Read up to the first record with a value. Return it as the header, and the number of its last line."""
    number, is_blank = 0, blank_test(encoding)
    for record in records:
        number += len(record)
        if not is_blank(record[0]):
            return Header.parse(b"".join(record), encoding), number
    return Header(b"", ()), number
