"""What bronze must make of a file's bytes, in plain Python.

Written from the rules of the source, for obviousness, not speed, and without Spark. It shares the table of columns and
the suite of row rules with the code, and no line of it.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any

from gx.row_rule_reasons import row_rule_reason
from spark_jobs.tables.source import COLUMNS, NAMES

SUITE = Path(__file__).resolve().parents[3] / "gx" / "suites" / "bronze_rows.json"
RULES: list[dict[str, Any]] = json.loads(SUITE.read_text(encoding="utf-8"))["expectations"]
EMAIL, PASSWORD = NAMES.index("customer_email"), NAMES.index("customer_password")
ITEM = NAMES.index("order_item_id")
WIDTH = 53
MASK = "***"


@dataclass
class Judged:
    """One landed line."""

    text: str
    masked: str
    reasons: list[str]
    values: list[Any] = field(default_factory=lambda: [None] * WIDTH)
    """Those of the 53 columns, also of a line with reasons."""
    complete: bool = False

    @property
    def row(self) -> tuple[Any, ...]:
        """What the line becomes: the 53 values of a valid line, or the text and the reasons."""
        return (tuple(self.values), None, ()) if not self.reasons else (None, self.masked, tuple(self.reasons))


def physical_lines(content: bytes) -> list[bytes]:
    """All that hold more than blanks, the header first."""
    lines = re.split(rb"\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf"))
    return [line for line in lines if line.strip(b" \t")]


def judge_file(content: bytes, key: bytes, encoding: str = "windows-1252") -> list[Judged]:
    """Every landed line of a file whose header is right."""
    header, *lines = physical_lines(content) or [b""]
    if not lines:
        return []
    (names,) = csv.reader([header.decode(encoding)])
    places = [" ".join(name.split()).lower() for name in names]
    positions = [places.index(column.source.lower()) for column in COLUMNS]
    judged = [judge_line(line, positions, key, encoding) for line in lines]
    mark_repetitions(judged)
    return judged


def judge_line(line: bytes, positions: Sequence[int], key: bytes, encoding: str) -> Judged:
    text, wrong_encoding = decoded(line, encoding)
    reasons = ["wrong encoding"] if wrong_encoding else []
    if any((c < " " and c not in "\t\n\v\f\r") or c == "\x7f" for c in text):
        reasons.append("control character")
    raw = split(text)
    if raw is None:
        return Judged(text, MASK, [*reasons, "broken quoting"])
    if len(raw) != WIDTH:
        reasons.append(f"wrong number of fields: found {len(raw)} instead of {WIDTH}")
    private = [positions[EMAIL], positions[PASSWORD]]
    judged = Judged(text, masked(raw, private), reasons)
    if len(raw) != WIDTH:
        return judged
    if any(holds_address(part) for place, part in enumerate(raw) if place not in private):
        reasons.append("e-mail address outside its column")
    readable, unparsed = not reasons, []
    for number, column in enumerate(COLUMNS):
        text_value = cleaned(raw[positions[number]])
        kind = column.type_name
        if number == PASSWORD or text_value is None:
            value = None
        elif number == EMAIL:
            value = hmac.new(key, text_value.lower().encode(), hashlib.sha256).hexdigest()
        else:
            value = parsed(text_value, kind)
            if value is None:
                unparsed.append(column.name)
                reasons.append(f"{column.name} does not parse as {kind}")
        judged.values[number] = value
    judged.complete = readable and not unparsed
    if readable:
        values = dict(zip(NAMES, judged.values, strict=True))
        reasons += [row_rule_reason(rule) for rule in RULES if breaks(rule, values, unparsed)]
    return judged


def decoded(line: bytes, encoding: str) -> tuple[str, bool]:
    """The text, and whether the bytes are wrong: in windows-1252 also those that make valid UTF-8."""
    try:
        utf8: str | None = line.decode("utf-8")
    except UnicodeDecodeError:
        utf8 = None
    if encoding == "utf-8":
        return (line.decode("utf-8", "replace"), True) if utf8 is None else (utf8, False)
    if utf8 is not None and utf8.isascii():
        return utf8, False
    text, undefined = "", False
    for byte in line:
        try:
            text += bytes([byte]).decode("cp1252")
        except UnicodeDecodeError:
            text += chr(byte)
            undefined = True
    return text, utf8 is not None or undefined


def split(text: str) -> list[str] | None:
    """The fields as written; None if the quoting is not RFC 4180's."""
    if '"' not in text:
        return text.split(",")
    fields, start = [], 0
    while True:
        if text.startswith('"', start):
            end = start + 1
            while True:
                end = text.find('"', end)
                if end < 0:
                    return None
                if not text.startswith('"', end + 1):
                    break
                end += 2
            end += 1
            if end < len(text) and text[end] != ",":
                return None
        else:
            end = text.find(",", start)
            end = len(text) if end < 0 else end
            if '"' in text[start:end]:
                return None
        fields.append(text[start:end])
        if end == len(text):
            return fields
        start = end + 1


def masked(raw: list[str], private: list[int]) -> str:
    """Private fields masked, wherever they can be; then every run of characters with an @."""
    surplus = len(raw) - WIDTH
    hidden = {
        index for place in private for index in range(min(place, place + surplus), max(place, place + surplus) + 1)
    }
    line = ",".join(MASK if index in hidden else part for index, part in enumerate(raw))
    return "".join(MASK if "@" in run else run for run in runs(line))


def runs(text: str) -> list[str]:
    """The characters that could make an address, and those between them."""
    return re.split(r'([ \t\n\v\f\r,;"<>])', text)


def holds_address(text: str) -> bool:
    """someone@somewhere.xy, and not just an @."""
    parts = (run.partition("@") for run in runs(text) if "@" in run)
    return any(name and "." in domain[:-1] for name, _, domain in parts)


def cleaned(raw: str) -> str | None:
    value = raw[1:-1].replace('""', '"') if raw.startswith('"') else raw
    return re.sub(r"[ \t\n\v\f\r\xa0]+", " ", value).strip(" ") or None


def parsed(text: str, kind: str) -> Any:
    """None where it does not parse."""
    if kind == "STRING":
        return text
    if kind == "BOOLEAN":
        return {"1": True, "true": True, "0": False, "false": False}.get(text.lower())
    if kind == "TIMESTAMP":
        found = re.fullmatch(r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4}) (?P<h>\d{1,2}):(?P<i>\d\d)", text, re.A)
        found = found or re.fullmatch(r"(?P<d>\d\d)-(?P<m>\d\d)-(?P<y>\d{4}) (?P<h>\d\d):(?P<i>\d\d)", text, re.A)
        try:
            if found is None:
                return None
            year, month, day, hour, minute = (int(found[part]) for part in "ymdhi")
            return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - UTC
        except ValueError:
            return None
    if kind in ("INT", "BIGINT"):
        # Control characters around a number do no harm: such a line has its reason.
        digits = re.fullmatch(r"([+-]?)0*(\d{1,19})", text.strip("".join(map(chr, [*range(33), 127]))), re.A)
        limit = 2**31 if kind == "INT" else 2**63
        return int(digits[1] + digits[2]) if digits and -limit <= int(digits[1] + digits[2]) < limit else None
    precision, scale = map(int, re.findall(r"\d+", kind))
    if len(text) > 100 or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", text, re.A):
        return None
    with localcontext() as context:
        context.prec = 20_000
        rounded = Decimal(text).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
    return rounded if abs(rounded) < 10 ** (precision - scale) else None


def breaks(rule: dict[str, Any], values: dict[str, Any], unparsed: list[str]) -> bool:
    """Whether a row breaks a rule; one about a value that could not be read holds."""
    kwargs = rule["kwargs"]
    if "column_A" in kwargs:
        left, right = kwargs["column_A"], kwargs["column_B"]
        return left not in unparsed and right not in unparsed and values[left] != values[right]
    column = kwargs["column"]
    if column in unparsed:
        return False
    value = values[column]
    match rule["type"]:
        case "expect_column_values_to_not_be_null":
            return value is None
        case "expect_column_values_to_be_between":
            assert (kwargs["min_value"], kwargs["strict_min"], len(kwargs)) == (0, True, 3)
            return value is not None and value <= 0
        case "expect_column_values_to_be_in_set":
            return value is not None and value not in kwargs["value_set"]
    raise AssertionError(rule)


def mark_repetitions(judged: list[Judged]) -> None:
    """Of equal lines the one with the least text stays; then no item may be left twice."""
    equal: dict[tuple[Any, ...], list[Judged]] = defaultdict(list)
    for line in judged:
        if line.complete:
            equal[tuple(line.values)].append(line)
    for lines in equal.values():
        for line in sorted(lines, key=lambda line: line.text.encode())[1:]:
            line.reasons.append("exact duplicate")
    left: dict[Any, list[Judged]] = defaultdict(list)
    for line in judged:
        if not line.reasons:
            left[line.values[ITEM]].append(line)
    for lines in left.values():
        if len(lines) > 1:
            for line in lines:
                line.reasons.append("order item occurs more than once in its file")


def differences(found: Sequence[Any], judged: Sequence[Judged]) -> Iterator[str]:
    """How the rows of a file (of bronze.lines) differ from what its lines should become; smallest lines first."""
    should: dict[tuple[Any, ...], list[Judged]] = defaultdict(list)
    for line in judged:
        should[line.row].append(line)
    unexpected = []
    for row in found:
        valid = not row.reasons
        is_row = (
            tuple(row[name] for name in NAMES) if valid else None,
            None if valid else row.line,
            tuple(row.reasons),
        )
        if should.get(is_row):
            should[is_row].pop()
        else:
            unexpected.append(is_row)
    missing = sorted((line for lines in should.values() for line in lines), key=lambda line: len(line.text))
    for line in missing[:5]:
        yield f"{line.text[:2000]!r}\n  should become {str(line.row)[:2000]}"
    for is_row in sorted(unexpected, key=lambda is_row: len(str(is_row)))[: 5 if missing else 50]:
        yield f"  found {str(is_row)[:2000]}"
