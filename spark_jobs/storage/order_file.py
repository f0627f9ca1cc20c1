"""One order file, read byte by byte and without Spark or a CSV reader: what it holds, and in which order its dates are.

The count of landed lines owes nothing to the code that it checks. A line ends with \\r\\n, \\n or a lone \\r, as in
Spark's text reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from spark_jobs.storage.file_header import is_header, match_header
from spark_jobs.tables.blank_records import blank_test
from spark_jobs.tables.date_order import EVIDENCE_COLUMNS, DateEvidence, DateOrder, evidence_texts, fields_of
from spark_jobs.tables.source import SOURCE_NAMES, SourceFormat

UTF8_BOM = b"\xef\xbb\xbf"
CHUNK = 1 << 20
"""Bytes of one read."""
_LONGEST_LINE = 1 << 24
"""No header is longer, and no evidence; of a longer line this much is looked at."""


@dataclass(frozen=True)
class OrderFile:
    """What an order file holds."""

    size: int
    lines: int
    """Landed lines: those after the header that hold a value and are no header."""
    blank: int
    """Records without any value, such as those of commas or of null words alone."""
    headers: tuple[bytes, ...]
    """The header as it stands in the file, without byte order mark and line end, and how it stands there again further
    down, where that differs; empty for an empty file."""
    repeated_headers: int
    positions: tuple[int, ...]
    """For each of the 53 columns, in the order of bronze's schema, where it stands in this file, from 0."""
    dates: DateOrder
    differences: tuple[str, ...]
    """What is wrong with the header, or with another one below it."""

    @property
    def header(self) -> bytes | None:
        """The header line; None in a file without a value."""
        return self.headers[0] if self.headers else None


def read_order_file(path: Path, landing_date: date, source_format: SourceFormat, chunk: int = CHUNK) -> OrderFile:
    """Read a file once, in constant memory (its longest line aside). Raises OSError."""
    encoding = source_format.encoding
    is_blank = blank_test(encoding, source_format.null_words)
    headers: dict[bytes, None] = {}
    positions: tuple[int, ...] = ()
    differences: list[str] = []
    lines = blank = repeated = 0
    places: tuple[int, ...] = ()
    evidence = DateEvidence(source_format.date_order, lambda day: source_format.is_plausible(day, landing_date))
    size = 0
    for size, line in _lines(path, chunk):  # noqa: B007 - the last one is the size of the file
        if is_blank(line):
            blank += bool(line)
        elif not headers:
            headers[line] = None
            positions, differences = match_header(line, encoding)
            places = (
                ()
                if differences or not source_format.finds_date_order
                else tuple(positions[SOURCE_NAMES.index(name)] for name in EVIDENCE_COLUMNS)
            )
        elif not differences and is_header(line, encoding):
            headers[line] = None
            repeated += 1
            differences += _other_header(path, line, positions, encoding)
        else:
            lines += 1
            if places:
                evidence.add(evidence_texts(fields_of(line), places))
    if not headers:
        positions = tuple(range(len(SOURCE_NAMES)))
    return OrderFile(size, lines, blank, tuple(headers), repeated, positions, evidence.decide(), tuple(differences))


def _lines(path: Path, chunk_size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the bytes read so far, and each line without its end; the parts of \\r\\n give an empty line."""
    size = 0
    tail = b""
    with path.open("rb") as stream:
        while chunk := stream.read(chunk_size):
            start = chunk if size else chunk.removeprefix(UTF8_BOM)
            size += len(chunk)
            *ended, rest = start.replace(b"\r", b"\n").split(b"\n")
            if ended:
                ended[0] = tail + ended[0]
                tail = rest
            elif len(tail) < _LONGEST_LINE:
                tail += rest
            for line in ended:
                yield size, line
    yield size, tail


def _other_header(path: Path, line: bytes, positions: tuple[int, ...], encoding: str) -> list[str]:
    """Return what is wrong with a header below the first: nothing, where it has the same columns in the same order."""
    others, differences = match_header(line.removeprefix(UTF8_BOM), encoding)
    if others == positions:
        return []
    what = "; ".join(differences) or "the same columns in another order"
    with path.open(encoding="latin-1") as stream:  # universal line ends, and any bytes
        wanted = line.decode("latin-1")
        number = next((n for n, text in enumerate(stream, 1) if text.rstrip("\n").endswith(wanted)), 0)
    return [f"line {number} is another header ({what}): deliver what is below it as a separate file"]
