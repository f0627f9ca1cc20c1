"""The header of an order file: where it puts the columns, and how it differs from what it must be."""

from __future__ import annotations

import csv
from collections import Counter

from spark_jobs.storage.file_signatures import advice
from spark_jobs.tables.source import SOURCE_NAMES

_MOST_UNEXPECTED = 10
# Words of a header that no line of data holds and no repeated blank can part: the cheap look at every line.
_WORDS = (b"(dateorders)", b"late_delivery_risk")


def match_header(header: bytes | None, encoding: str) -> tuple[tuple[int, ...], list[str]]:
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


def is_header(line: bytes, encoding: str) -> bool:
    """Return whether a line below the first is a header too: at least half of the column names are in it."""
    lowered = line.lower()
    if not any(word in lowered for word in _WORDS):
        return False
    try:
        names = next(csv.reader([line.decode(encoding)], strict=True))
    except (UnicodeDecodeError, csv.Error):
        return False
    return len({_normal(name) for name in names} & {_normal(name) for name in SOURCE_NAMES}) * 2 >= len(SOURCE_NAMES)


def _normal(name: str) -> str:
    return " ".join(name.split()).casefold()


def _listed(names: list[str], longest: int = 80) -> str:
    """Write names for a message, cut short where there is too much, and without anything like an e-mail address."""
    return ", ".join(repr("***" if "@" in name else name[:longest]) for name in names)
