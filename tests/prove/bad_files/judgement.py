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
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any

from gx.row_rule_reasons import row_rule_reason
from spark_jobs.tables.blank_records import NULL_WORDS
from spark_jobs.tables.source import CODES, COLUMNS, NAMES

SUITE = Path(__file__).resolve().parents[3] / "gx" / "suites" / "bronze_rows.json"
RULES: list[dict[str, Any]] = json.loads(SUITE.read_text(encoding="utf-8"))["expectations"]
EMAIL, PASSWORD = NAMES.index("customer_email"), NAMES.index("customer_password")
ITEM = NAMES.index("order_item_id")
WIDTH = 53
AROUND = r'[\s\x80-\xff]*"?[\s\x80-\xff]*'
"""Around a date or a number as its bytes stand in a file: a quote, and blanks of any encoding."""
BOM = b"\xef\xbb\xbf"
ORDERED, SHIPPED, DAYS = "order_date_dateorders", "shipping_date_dateorders", "days_for_shipping_real"
LANDED, DAYS_AHEAD = datetime(2018, 1, 1), 30  # noqa: DTZ001 - UTC
NOTHING = " \t\v\f\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
NOTHING = f'{NOTHING}\u202f\u205f\u3000\u200b\ufeff\x1a,"'
NULLS = {*NULL_WORDS.split(",")}
STAND_INS = {
    *("1/1/0001", "01-01-0001", "12/31/9999", "31-12-9999", "1/1/1900", "30-12-1899", "1/1/1970", "1/1/1582"),
    *("2/29/1900", "1/1/0000", "0000-00-00"),
}
"""Those of the corpus."""
MASK = "***"
NO_NAME = " \t\n\v\f\r,;:<>()[]\"'@/\\?=&|*{}!"
"""Never part of the name before the @ of an address."""
FILES = {
    "png", "jpg", "jpeg", "jpe", "gif", "webp", "svg", "bmp", "tif", "tiff", "ico", "avif", "heic", "heif", "psd",
    "pdf", "css", "scss", "js", "jsx", "mjs", "mjsx", "cjs", "cjsx", "ts", "tsx", "json", "map", "xml", "htm",
    "html", "xhtm", "xhtml", "php", "asp", "aspx", "jsp", "txt", "csv", "tsv", "xls", "xlsx", "doc", "docx", "zip",
    "gz", "tgz", "bz", "xz", "tar", "rar", "jar", "mpg", "mpeg", "mpe", "mov", "avi", "webm", "wav", "ogg", "woff",
    "woff2", "ttf", "otf", "eot", "exe", "dll", "py", "rb", "md", "yml", "yaml", "whl", "deb", "rpm", "apk",
}  # fmt: skip
DOMAINS = {
    "com", "net", "org", "edu", "gov", "mil", "int", "info", "biz", "name", "pro", "mobi", "shop", "store",
    "online", "site", "app", "dev", "cloud", "email",
}  # fmt: skip
"""Those that are domains in mixed case too."""


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


def physical_lines(content: bytes, encoding: str = "windows-1252") -> list[bytes]:
    """Return all lines that hold a value, the header first and not again."""
    lines = re.split(rb"\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf"))
    filled = [line for line in lines if holds_value(line.decode(encoding, "replace"))]
    return [line for number, line in enumerate(filled) if not number or names_in(line) != names_in(filled[0])]


def holds_value(text: str) -> bool:
    """Return whether a field of a line is neither empty nor a word for a missing value."""
    return any(field.strip(NOTHING) not in {"", *NULLS} for field in text.split(","))


def names_in(header: bytes) -> list[str]:
    """Return the names of a header, as they are compared."""
    return [" ".join(name.strip('"').split()).lower() for name in header.removeprefix(BOM).decode("latin-1").split(",")]


def judge_file(content: bytes, key: bytes, encoding: str = "windows-1252") -> list[Judged]:
    """Judge every landed line of a file whose header is right."""
    header, *lines = physical_lines(content, encoding) or [b""]
    if not lines:
        return []
    (names,) = csv.reader([header.decode(encoding)])
    places = [" ".join(name.split()).lower() for name in names]
    positions = [places.index(column.source.lower()) for column in COLUMNS]
    certain, weak = Counter[str](), Counter[str]()
    for line in lines:
        fields = split(line.decode("latin-1"))
        if fields and len(fields) == WIDTH:
            texts = [(fields[positions[NAMES.index(name)]]) for name in (ORDERED, SHIPPED, DAYS)]
            certain.update(certain_evidence(*texts))
            if not certain_evidence(*texts):
                weak.update(weak_evidence(texts[0]))
    votes = certain or weak
    order = max(votes, key=lambda one: votes[one]) if len({votes["m"], votes["d"]}) == 2 else None
    dates = order, len(+votes) == 1
    judged = [judge_line(line, positions, key, encoding, dates) for line in lines]
    mark_repetitions(judged)
    return judged


def instants(text: str) -> dict[str, datetime]:
    """Return what a date and time is, by its order: month first (m) and day first (d)."""
    found = re.fullmatch(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4}) (\d{1,2}):(\d\d)", text, re.A)
    read: dict[str, datetime] = {}
    for order in "md" if found else "":
        first, second, year, hour, minute = (int(found[n]) for n in (1, 3, 4, 5, 6))  # type: ignore[index]
        month, day = (first, second) if order == "m" else (second, first)
        with suppress(ValueError):
            read[order] = datetime(year, month, day, hour, minute)  # noqa: DTZ001 - UTC
    return read


def days_only(text: str) -> dict[str, datetime]:
    """Return the day that a text begins with, whatever its time, as `instants`."""
    found = re.match(rf"{AROUND}([\d/-]+)", text, re.A)
    return instants(f"{found[1]} 0:00") if found else {}


def certain_evidence(ordered: str, shipped: str, stated: str) -> set[str]:
    """Return the orders for which a line has certain evidence."""
    both = [days_only(ordered), days_only(shipped)]
    if only := {next(iter(read)) for read in both if len(read) == 1}:
        return only
    number = re.fullmatch(rf"{AROUND}([+-]?\d{{1,9}}){AROUND}", stated, re.A)
    if not number:
        return set()
    apart = {order: (both[1][order] - both[0][order]).days for order in both[0] if order in both[1]}
    agree = {order for order, days in apart.items() if days == int(number[1])}
    return agree if len(agree) == 1 else set()


def weak_evidence(ordered: str) -> set[str]:
    """Return the order in which an order lies within the bounds, if it is one of two."""
    read = days_only(ordered)
    within = {order for order in read if -DAYS_AHEAD <= (LANDED - read[order]).days <= 7305}
    return within if len(set(read.values())) == 2 and len(within) == 1 else set()


def judge_line(
    line: bytes, positions: Sequence[int], key: bytes, encoding: str, dates: tuple[str | None, bool]
) -> Judged:
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
    if any(holds_address(unquoted(part)) for place, part in enumerate(raw) if place not in private):
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
            value = parsed(text_value, kind, dates[0], column.name in CODES)
            if value is None:
                unparsed.append(column.name)
                reasons.append(f"{column.name} does not parse as {kind}")
        judged.values[number] = value
    judged.complete = readable and not unparsed
    if readable:
        texts = [cleaned(raw[positions[NAMES.index(name)]]) or "" for name in (ORDERED, SHIPPED, DAYS)]
        reasons += date_reasons(texts, judged.values[NAMES.index(ORDERED)], dates)
        values = dict(zip(NAMES, judged.values, strict=True))
        reasons += [row_rule_reason(rule) for rule in RULES if breaks(rule, values, unparsed)]
    return judged


def date_reasons(texts: list[str], ordered: datetime | None, dates: tuple[str | None, bool]) -> Iterator[str]:
    """Yield what is wrong with the dates of a line."""
    order, agreed = dates
    named = False
    for name, text in zip((ORDERED, SHIPPED), texts, strict=False):
        day = re.split("[ T]", text)[0]
        if day in STAND_INS:
            named = True
            yield f"{name} stands for no date: {day}"
    read = [instants(text) for text in texts[:2]]
    is_ambiguous = (
        any(len(set(one.values())) == 2 for one in read) and not agreed and certain_evidence(*texts) != {order}
    )
    if is_ambiguous and not named and all(one or not text for one, text in zip(read, texts, strict=False)):
        yield "ambiguous date: set date_order to month_first or day_first"
    if ordered and not named and not (is_ambiguous and not order):
        if (ordered - LANDED).days > DAYS_AHEAD:
            yield "ordered after it was landed"
        if (LANDED - ordered.replace(hour=0, minute=0)).days > 7305:
            yield "ordered more than 7305 days before it was landed"


def unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if field.startswith('"') else field


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
    """Return whether it has someone@somewhere.xy, and not only what else has an @."""
    text = re.sub(r"://[^\s/?#@]*@", "://", text.replace("%40", "@"), flags=re.A)  # name and password of a URL
    earlier, before, *later = "x", *text.split("@")
    for number, after in enumerate(later):
        if is_someone(earlier if number else None, before) and is_somewhere(after):
            return True
        earlier, before = before, after
    return False


def is_someone(earlier: str | None, before: str) -> bool:
    """Return whether what stands before an @ ends like the name of an address; `earlier` stands before the @ before."""
    if before.endswith('"'):  # the end of a quoted name
        return len(before) > 1 and is_of_domain(before[-2]) and before[-2] not in "_-"
    size = next((size for size, character in enumerate(reversed(before)) if character in NO_NAME), len(before))
    is_account = size == len(before) and earlier is not None and (not earlier or earlier[-1] in NO_NAME)
    return size > 0 and not is_account  # such as @jane@social.example


def is_somewhere(after: str) -> bool:
    """Return whether what stands after an @ begins like the domain of an address."""
    if re.match(r"\[(\d{1,3}\.){3}\d{1,3}\]", after, re.A):
        return True
    size = next((size for size, character in enumerate(after) if not is_of_domain(character, ".")), len(after))
    domain, rest = after[:size], after[size:]
    if ".." in domain or domain.endswith("."):
        domain, rest = domain.split("..")[0].removesuffix("."), ""
    *labels, ending = domain.rstrip("-").split(".")
    kinds = {unicodedata.category(character) for character in ending}
    return (
        not re.match(r":[\w.~-]+/", rest, re.A)  # such as git@host.example:a/b
        and 1 <= len(labels) <= 10
        and all(0 < len(label) <= 63 and label[0] not in "_-" for label in labels)
        and ending.lower() not in FILES
        and (
            (2 <= len(ending) <= 63 and kinds in ({"Ll"}, {"Lu"}, {"Lo"}))
            or (len(ending) == 2 and all(kind[0] == "L" for kind in kinds))
            or re.fullmatch(r"xn--[a-z0-9-]{2,59}", ending, re.I | re.A) is not None
            or ending.lower() in DOMAINS
        )
    )


def is_of_domain(character: str, more: str = "") -> bool:
    return unicodedata.category(character)[0] in "LN" or character in f"_-{more}"


def cleaned(raw: str) -> str | None:
    value = re.sub(rf"[\n\r{NOTHING[:-5]}]+", " ", unquoted(raw)).strip(" ")
    return None if value in NULLS else value or None


def parsed(text: str, kind: str, order: str | None = None, is_code: bool = False) -> Any:
    """None where it does not parse."""
    if is_code and (number := re.fullmatch(r"""=?"?'?0*(\d+)(\.0{0,2}|,0{1,2})?"?""", text, re.A)):
        text = number[1]
    if kind == "STRING":
        return text
    if kind == "BOOLEAN":
        return {"1": True, "true": True, "0": False, "false": False}.get(text.lower())
    if kind == "TIMESTAMP":
        read = instants(text)
        return read.get(order or "m") or next(iter(read.values()), None)
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
