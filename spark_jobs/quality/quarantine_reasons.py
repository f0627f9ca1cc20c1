"""Explain the quarantine of a build that is rejected: each reason, how often, where first, a sample, what to do.

It looks at what the build staged, and at the landed files again, by itself and without Spark: the numbers of lines are
those that an editor shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from spark_jobs.quality.rules import PRIVATE
from spark_jobs.storage.verdicts import QuarantineReason
from spark_jobs.tables.blank_records import blank_test
from spark_jobs.tables.source import COLUMNS

MOST_REASONS = 12
_MOST_TEXTS = 10_000
"""Lines of one file that are compared with the landed file, for each reason."""
_MASK = "***"
_SHOWN = 40  # characters of a value
_MOST_VALUES = 3
_KEYS = ("order_item_id", "order_id")
_COLUMNS = {" ".join(column.source.split()).casefold(): column.name for column in COLUMNS}
_WINDOWS = {byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xA0)}
_FIELD = r'(?:"[^"]*+(?:""[^"]*+)*+"|[^",]*+)'
_FIELDS = re.compile(f",({_FIELD})")
_ONE_FIELD = re.compile(rf"(?=.*\S){_FIELD}")
_BROKEN = re.compile(rf"(?!{_FIELD}(?:,{_FIELD})*+\Z).*", re.DOTALL)  # not RFC 4180
_QUOTING = "broken quoting"
_ENCODING = "wrong encoding"
_DUPLICATE = "exact duplicate"
_ABOUT = ((r"^ambiguous date|^ordered ", ("order_date_dateorders", "shipping_date_dateorders")),)
"""Columns that a reason is about and does not name."""
_REMEDIES = (
    (r"wrong number of fields: found 1 ", "Values must be separated by commas, as in the header."),
    (
        r"wrong number of fields|broken quoting",
        "Put a value with a comma or a quote in quotes, double the quotes in it, and keep each record on one line. If"
        " it is the last line, the file may have been cut off.",
    ),
    (
        r"does not parse as TIMESTAMP",
        "A date is written as 1/31/2018 22:56 or 31-01-2018 22:56, with the month or the day first.",
    ),
    (
        r"does not parse as DECIMAL",
        "A number has a decimal point, and neither thousands separators nor currency signs.",
    ),
    (
        r"does not parse as (?:INT|BIGINT)",
        "A whole number has digits only: 3, and not 3.0 as spreadsheets may write it.",
    ),
    (r"does not parse as BOOLEAN", "A flag is 0 or 1, or false or true."),
    (r"is not a known value", "If the value is right, add it to its value_set in gx/suites/bronze_rows.json."),
    (r"occurs more than once", "Deliver an order item once in a file; where it changes, in a later file or date."),
    (
        r"e-mail address",
        "An address may stand in the column Customer Email only, where it is hashed. If it is none, leave its column"
        " out of the setting email_columns.",
    ),
    (r"^ordered after", "Does the day stand before the month (date_order), or is max_order_days_ahead too small?"),
    (r"^ordered more than", "If the date is right, raise max_order_age_days."),
)


@dataclass
class _Found:
    """The lines of one reason. `texts` are those of the first file, masked, each with whether its quoting is broken."""

    lines: int = 0
    dates: set[str] = field(default_factory=set)
    file: str = ""
    texts: set[tuple[str, bool]] = field(default_factory=set)


@dataclass(frozen=True)
class _Place:
    """Where a quarantined line stands in its file."""

    number: int | None
    masked: str
    raw: bytes = b""


def quarantine_reasons(
    quarantined: Iterable[tuple[str, str, Sequence[str]]], landing_root: Path, encoding: str
) -> tuple[QuarantineReason, ...]:
    """Return the reasons, those with most lines first; `quarantined` has file, masked line and reasons of each line.

    At most MOST_REASONS of them, and then one for all others. A file that is gone, or has changed since, leaves the
    number of the line out.
    """
    found: dict[str, _Found] = {}
    for file, text, reasons in quarantined:
        for reason in set(reasons):
            one = found.setdefault(reason, _Found())
            one.lines += 1
            one.dates.add(file.partition("/")[0])
            if not one.file or file < one.file:
                one.file, one.texts = file, set()
            if file == one.file and len(one.texts) < _MOST_TEXTS:
                one.texts.add((text, _QUOTING in reasons))
    ordered = sorted(found.items(), key=lambda item: (-item[1].lines, item[0]))
    chosen, others = dict(ordered[:MOST_REASONS]), [one for _, one in ordered[MOST_REASONS:]]
    by_file: dict[str, dict[str, set[tuple[str, bool]]]] = {}
    for reason, one in chosen.items():
        by_file.setdefault(one.file, {})[reason] = one.texts
    places: dict[str, _Place] = {}
    headers: dict[str, list[str]] = {}
    for file, texts in by_file.items():
        places |= {reason: _Place(None, min(some)[0]) for reason, some in texts.items()}
        try:
            header, found_there = _look_up(landing_root / file, encoding, texts)
        except OSError:  # it is gone: all else is known
            continue
        headers[file] = header
        places |= found_there
    explained = tuple(
        QuarantineReason(
            reason=reason,
            lines=one.lines,
            dates=len(one.dates),
            file=one.file,
            line=places[reason].number,
            sample=_sample(reason, places[reason].masked, headers.get(one.file, [])),
            remedy=_remedy(reason, places[reason].raw, encoding),
        )
        for reason, one in chosen.items()
    )
    if not others:
        return explained
    dates = {day for one in others for day in one.dates}
    return (
        *explained,
        QuarantineReason(
            reason=f"{len(others)} other {'reason' if len(others) == 1 else 'reasons'}",
            lines=sum(one.lines for one in others),
            dates=len(dates),
            file=min(one.file for one in others),
            line=None,
            sample="",
            remedy="",
        ),
    )


def _fits(parts: Sequence[str], text: str) -> bool:
    """Tell whether a text is these parts with anything between them.

    By the first place of each part, which leaves the most for those after it: a regular expression would try all places
    of all parts, and a line can have dozens of masks.
    """
    if len(parts) == 1:
        return text == parts[0]
    first, *middle, last = parts
    place, end = len(first), len(text) - len(last)
    if place > end or not (text.startswith(first) and text.endswith(last)):
        return False
    for part in middle:
        place = text.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return True


def _look_up(
    path: Path, encoding: str, texts: Mapping[str, set[tuple[str, bool]]]
) -> tuple[list[str], dict[str, _Place]]:
    """Return the names of a file's columns, and the first line of each reason. Raises OSError."""
    matchers: dict[str, list[tuple[Callable[[str], object], str, str]]] = {}
    for reason, some in texts.items():
        for masked, is_broken in some:
            parts = masked.split(_MASK)
            # A line whose quoting is broken is masked as a whole; else a mask stands for one field, or a part of it.
            fits: Callable[[str], object] = partial(_fits, parts)
            if is_broken or masked == _MASK:
                fits = (_BROKEN if is_broken else _ONE_FIELD).fullmatch
            matchers.setdefault(parts[0], []).append((fits, masked, reason))
    lengths = sorted({len(begin) for begin in matchers})
    found: dict[str, _Place] = {}
    finished: set[str] = set()
    lines, is_blank = _lines(path), blank_test(encoding)
    header = next((raw for _, raw in lines if not is_blank(raw)), b"")
    for number, raw in lines:
        text = _decoded(raw, encoding)
        for length in lengths:
            for is_line, masked, reason in matchers.get(text[:length], ()):
                if reason in finished or not is_line(text):
                    continue
                # Of equal lines the first one is kept, so the second one is the duplicate.
                if reason != _DUPLICATE or (reason in found and found[reason].masked == masked):
                    finished.add(reason)
                if reason in finished or reason not in found:
                    found[reason] = _Place(number, masked, raw)
        if len(finished) == len(texts):
            break
    names = _values(_decoded(header.removeprefix(b"\xef\xbb\xbf"), encoding))
    return [_COLUMNS.get(" ".join(name.split()).casefold(), "") for name in names], found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file without their ends, which are those of the build, numbered from 1."""
    with path.open(encoding="latin-1", newline=None) as stream:
        for number, line in enumerate(stream, start=1):
            yield number, line.removesuffix("\n").encode("latin-1")


def _decoded(raw: bytes, encoding: str) -> str:
    if raw.isascii():
        return raw.decode("ascii")
    return raw.decode("utf-8", "replace") if encoding == "utf-8" else raw.decode("latin-1").translate(_WINDOWS)


def _values(line: str) -> list[str]:
    """Return the values of a line, however long they are: a reader of csv refuses one of more than 128 KB."""
    fields = _FIELDS.findall(f",{line}")
    return [field[1:-1].replace('""', '"') if field.startswith('"') else field for field in fields]


def _sample(reason: str, masked: str, names: Sequence[str]) -> str:
    """Show the values that the reason is about, or the item's keys; nothing of a line that is masked as a whole."""
    if masked == _MASK or not names:
        return ""
    fields = _values(masked)
    shift = abs(len(fields) - len(names))
    if shift:
        # A private value may stand as many places before its own as there are fields too many or too few.
        private = min((number for number, name in enumerate(names) if name in PRIVATE), default=0)
        shown = ",".join(fields[: max(0, private - shift)])[: 2 * _SHOWN]
        return f"{shown!r}..." if shown else ""
    values = dict(zip(names, fields, strict=True))
    about = [name for name in names if name and re.search(rf"\b{name}\b", reason)]
    about += [name for pattern, some in _ABOUT if re.search(pattern, reason) for name in some if name in values]
    if reason == _ENCODING:
        about = [name for name in names if name and not values[name].isascii()]
    about = about[:_MOST_VALUES] or [name for name in _KEYS if name in values]
    return ", ".join(f"{name} {_value(name, values[name])}" for name in about)


def _value(name: str, value: str) -> str:
    if name in PRIVATE:
        return _MASK
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")


def _remedy(reason: str, raw: bytes, encoding: str) -> str:
    if reason == _ENCODING:
        return _remedy_of_encoding(raw, encoding)
    return next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, reason)), "")


def _remedy_of_encoding(raw: bytes, encoding: str) -> str:
    try:
        raw.decode("utf-8")
        seems = "utf-8"
    except UnicodeDecodeError:
        seems = "windows-1252"
    if not raw or seems == encoding:
        return f"The line is not {encoding}, which source_encoding says: ask for the encoding of the delivery."
    return (
        f"The line seems to be {seems}, and is read as {encoding}: set source_encoding to {seems} (on one machine"
        f" BUNDLE_VAR_source_encoding={seems} make up) and run again, or deliver the file in {encoding}."
    )
