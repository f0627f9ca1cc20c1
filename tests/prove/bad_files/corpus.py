"""Bad files, made by code: those whose lines are judged one by one, and those that are refused whole.

Expected reasons are written by hand; the values of valid rows are checked against tests/prove/bad_files/judgement.py.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spark_jobs.runtime.errors import HeaderRefused, LakehouseError, LandingRefused, ManifestMismatch, NothingLanded
from tests.spark.bronze.conftest import COLUMNS, make_line

HEADER = ",".join(COLUMNS)
MONEY, RATE, DEGREES = "DECIMAL(12,2)", "DECIMAL(7,4)", "DECIMAL(11,8)"
DUPLICATE, REPEATED = "exact duplicate", "order item occurs more than once in its file"
ENCODING, CONTROL, QUOTING = "wrong encoding", "control character", "broken quoting"


def fields(found: int) -> str:
    return f"wrong number of fields: found {found} instead of 53"


# Lines that are judged one by one

Line = tuple[bytes, str | tuple[str, ...] | None]
"""A line and its reasons: None for a valid one."""


@dataclass(frozen=True)
class Judged:
    """A file that is loaded, with the reasons of every landed line, in the file's order."""

    name: str
    content: bytes
    reasons: list[tuple[str, ...]]


def judged(name: str, *lines: Line, header: bytes = HEADER.encode(), end: bytes = b"\r\n") -> Judged:
    content = b"".join(line + end for line in (header, *(line for line, _ in lines)))
    return Judged(name, content, [(r,) if isinstance(r, str) else r or () for _, r in lines])


def text(item: int, changes: dict[str, str], encoding: str = "cp1252") -> bytes:
    return make_line({"Order Item Id": str(item)} | changes).encode(encoding)


def values(*cases: tuple[dict[str, str], str | tuple[str, ...] | None], encoding: str = "cp1252") -> list[Line]:
    return [(text(item, changes, encoding), reasons) for item, (changes, reasons) in enumerate(cases, 1)]


def both(first: str, second: str) -> Callable[[str], dict[str, str]]:
    """Changes of two columns that mean the same."""
    return lambda value: {first: value, second: value}


def unparsed(kind: str, *columns: str) -> tuple[str, ...]:
    return tuple(f"{column} does not parse as {kind}" for column in columns)


PROFIT, UNIT_PRICE = (
    both("Benefit per order", "Order Profit Per Order"),
    both("Product Price", "Order Item Product Price"),
)
BAD_PROFIT = unparsed(MONEY, "benefit_per_order", "order_profit_per_order")
CUSTOMER, CATEGORY = both("Customer Id", "Order Customer Id"), both("Category Id", "Product Category Id")
BAD_CUSTOMER = unparsed("BIGINT", "customer_id", "order_customer_id")
BAD_CATEGORY = unparsed("INT", "category_id", "product_category_id")
ORDERED = "order date (DateOrders)"
BAD_ORDERED = unparsed("TIMESTAMP", "order_date_dateorders")
NO_PRICE = "product_price is not greater than 0"
NO_QUANTITY = "order_item_quantity is not greater than 0"

NUMBERS = values(
    *((PROFIT(value), None) for value in (
        "9999999999.99", "-9999999999.99", "9999999999.994999", "-0.004", "0", "-0", "+5", "5.", ".5", "1e3", "1E-3",
        "0.005", "-0.005", "1e-400", "0" * 90 + "1", "1.00000000000000000000000000000000000000000000000001",
    )),
    *((PROFIT(value), BAD_PROFIT) for value in (
        "9999999999.995", "10000000000", "-9999999999.995", "Nan", "inf", "-Infinity", "1e400", "1e10", "0x1F",
        "1_000", "1 000", "1'000", "--1", "+-1", "1-", ".", "+", "e5", "1e", "1e+", "1.2.3", "(5)", "$5", "5%", "5d",
        "5f", "0b1", "1e99999999999", "1e-99999999999", "9" * 100_000, "0." + "9" * 100_000, "0e999999999", "\xb2",
        "12\xbd",
    )),
    *(({"Order Item Discount Rate": value}, None) for value in ("999.9999", "-999.9999", "999.99994", "0.00005")),
    *(({"Order Item Discount Rate": value}, unparsed(RATE, "order_item_discount_rate")) for value in (
        "999.99995", "1000", "-1000", "1e3", "Nan",
    )),
    *(({"Latitude": value}, None) for value in ("999.99999999", "-999.99999999", "0.000000005")),
    *(({"Latitude": value}, unparsed(DEGREES, "latitude")) for value in ("999.999999995", "1000", "18\xb015'")),
    *((CUSTOMER(value), None) for value in (
        "9223372036854775807", "-9223372036854775808", "0", "-0", "+7", "0" * 100_000 + "7", "1.0", "7.",
        "00725.00", "'7", "725.",
    )),
    (CUSTOMER("nan"), "customer_id is null"),
    *((CUSTOMER(value), BAD_CUSTOMER) for value in (
        "9223372036854775808", "-9223372036854775809", "1e3", "1.5", "1.000", "0x7", "1_0", "Nan", "9" * 100_000, "7L",
    )),
    *((CATEGORY(value), None) for value in ("2147483647", "-2147483648", "73.0")),
    *((CATEGORY(value), BAD_CATEGORY) for value in ("2147483648", "-2147483649", "73.5")),
    *(({"Product Status": value}, None) for value in ("TRUE", "False", "1", "")),
    *(({"Product Status": value}, unparsed("BOOLEAN", "product_status")) for value in ("yes", "t", "2", "-1", "1.0")),
)  # fmt: skip
SIGNS = values(
    *((UNIT_PRICE(value), NO_PRICE) for value in ("0", "-0.01", "0.00", "0.004", "-9999999999.99")),
    (UNIT_PRICE("0.005"), None),
    *(({"Order Item Quantity": value}, NO_QUANTITY) for value in ("0", "-1", "-2147483648")),
    ({"Order Item Quantity": "2147483647"}, None),
    *(({column: "-1.50"}, None) for column in ("Sales", "Order Item Discount", "Order Item Discount Rate")),
    (PROFIT("-1.50"), None),
    (both("Order Item Total", "Sales per customer")("-1.50"), None),
    ({"Order Item Quantity": ""}, None),
)
AMBIGUOUS = "ambiguous date: set date_order to month_first or day_first"
OLD = "ordered more than 7305 days before it was landed"


def stand_in(day: str) -> str:
    return f"order_date_dateorders stands for no date: {day}"


DATES = values(
    *(({ORDERED: value}, None) for value in (
        "2/29/2016 0:00", "2/29/2000 23:59", "01/02/2018 03:04", "1-1-2018 01:00", "01-13-2018 00:00",
        " 1/1/2018  1:00",
    )),
    *(({ORDERED: value}, OLD) for value in ("1/1/1903 0:00", "12/31/1997 0:00")),
    *(({ORDERED: f"{day} 0:00"}, stand_in(day)) for day in (
        "1/1/0001", "01-01-0001", "12/31/9999", "1/1/1900", "1/1/1582", "1/1/1970",
    )),
    *(({ORDERED: f"{day}{time}"}, (*BAD_ORDERED, stand_in(day))) for day, time in (
        ("1/1/1970", ""), ("2/29/1900", " 0:00"), ("1/1/0000", " 1:00"), ("0000-00-00", "T00:00:00"),
    )),
    ({ORDERED: "2/1/2018 0:00"}, "ordered after it was landed"),
    *(({ORDERED: value}, BAD_ORDERED) for value in (
        "2/30/2018 1:00", "2/29/2017 0:00", "4/31/2018 1:00", "0/1/2018 1:00",
        "1/0/2018 1:00", "1/32/2018 1:00", "1/1/2018 24:00", "1/1/2018 23:60", "1/1/2018 1:0", "1/1/2018 1:000",
        "1/1/10000 1:00", "1/1/+10000 1:00", "1/1/+999999 1:00", "1/1/-999999 1:00", "1/1/-2018 1:00",
        "01-01-+999999 00:00", "1/1/999999999999 1:00", "1/1/18 1:00", "1/1/2018", "1/1/2018 1:00:00", "1/1/2018T1:00",
        "2018-01-01 01:00", "30-02-2018 00:00", "01-01-2018 24:00", "0", "43101.5", "1/1/2018 1:00 PM",
        "+1/1/2018 1:00", "-1/1/2018 1:00", "001/1/2018 1:00", "1/1/2018 00001:00", "1/1-2018 1:00",
        "9" * 100_000,
    )),
    ({ORDERED: "NULL"}, "order_date_dateorders is null"),
    ({"shipping date (DateOrders)": "1/1/+999999 1:00"}, unparsed("TIMESTAMP", "shipping_date_dateorders")),
    ({"shipping date (DateOrders)": ""}, None),
)  # fmt: skip
DAY_FIRST_DATES = values(
    *(({ORDERED: value}, None) for value in ("29-02-2016 00:00", "13/1/2018 1:00", "31-12-2017 9:00", "1/2/2017 1:00")),
    ({ORDERED: "31-12-9999 23:59"}, stand_in("31-12-9999")),
    ({ORDERED: "30-12-1899 00:00"}, stand_in("30-12-1899")),
)  # fmt: skip
# Three lines have the month first for certain, two the day.
DATES_OF_BOTH = values(
    ({ORDERED: "1/13/2018 1:00"}, None),
    ({ORDERED: "1/14/2018 1:00"}, None),
    ({ORDERED: "2/1/2017 1:00", "shipping date (DateOrders)": "2/4/2017 1:00"}, None),
    ({ORDERED: "13-01-2018 01:00"}, AMBIGUOUS),  # its shipping date can be read both ways
    ({ORDERED: "13-01-2018 01:00", "shipping date (DateOrders)": "16-01-2018 01:00"}, None),
    ({ORDERED: "1/2/2018 1:00", "Days for shipping (real)": ""}, AMBIGUOUS),
    ({ORDERED: "1/1/2018 1:00", "shipping date (DateOrders)": ""}, None),
)
NO_EVIDENCE = values(
    ({ORDERED: "1/2/2017 1:00", "shipping date (DateOrders)": ""}, AMBIGUOUS),
    ({ORDERED: "1/1/2017 1:00", "shipping date (DateOrders)": ""}, None),
)
BY_LANDING = values(({ORDERED: "5/1/2018 1:00", "shipping date (DateOrders)": ""}, None))  # not the fifth month
WORDS = values(
    *(({"Type": value}, "type is not a known value") for value in (
        "debit", "DEBIT.", "DEBI", "NULL.", "D\xc9BIT", "0",
    )),
    *(({"Market": value}, "market is not a known value") for value in ("EU", "Europe;", "NA", "None")),
    *(({"Market": value}, "market is null") for value in ("N/A", " NULL ", '"nan"', "\\N", "#N/A", "<null>")),
    *(({"Customer Segment": value}, None) for value in ("", "Home  Office", "\tConsumer\xa0", '"Corporate"')),
    *(({"Customer Segment": value}, None) for value in ("null", "#REF!")),
    ({"Customer Segment": "Null"}, "customer_segment is not a known value"),
    ({"Type": "\xa0 \t"}, "type is null"),
    ({"Type": "x", "Market": "y", "Product Price": "z"}, (
        "product_price does not parse as DECIMAL(12,2)", "type is not a known value", "market is not a known value",
    )),
    ({"Type": "'; DROP TABLE orders; --"}, "type is not a known value"),
    ({"Customer Street": "'; DROP TABLE orders; -- ${jndi:x} {{7*7}} <script>alert(1)</script> =1+1 \\N \\"}, None),
)  # fmt: skip
# The address in another column's place is private all the same.
MISPLACED = "e-mail address outside its column"
ADDRESSES = values(
    ({"Customer Lname": "jane.doe@example.com"}, MISPLACED),
    ({"Customer Street": "call jane.doe@example.com; now"}, MISPLACED),
    ({"Customer Street": '"<jane.doe@example.com>, please"', "Type": "x"}, MISPLACED),
    ({"Customer Street": "two @ 5 a@b @home"}, None),
    *(({"Customer Street": value}, MISPLACED) for value in (
        "jane.doe@example.co.jp", "<JANE@EXAMPLE.COM>", "a@b.ca@b.c", "jane%40eXample.cOm", "jane@[10.0.0.1]",
    )),
    *(({"Customer Street": value}, None) for value in (
        "?@x.yz", "watch@2x.JPG", "Nike@Air.Max", "@jane@social.example", "git@host.example:a/b", "a@b.c@b.c",
        "http://u:p@host.example/x",
    )),
    ({"Customer Password": "jane.doe@example.com", "Customer Email": "x"}, None),
)  # fmt: skip
QUOTES = [
    *values(
        ({"Customer Street": '"a ""b"" c"'}, None),
        ({"Customer Street": '""""'}, None),
        ({"Customer Street": '",,,,"'}, None),
        ({"Customer Street": '"' + '"",' * 100_000 + '"'}, None),
        ({"Customer Street": '"' + "x" * 200_000}, QUOTING),
        ({"Customer Street": '"a" '}, QUOTING),
        ({"Customer Street": ' "a"'}, QUOTING),
        ({"Customer Street": 'a"b'}, QUOTING),
        ({"Customer Street": '"a""'}, QUOTING),
        ({"Customer Street": '"a"b"'}, QUOTING),
        ({"Customer Street": '"a\\"b"'}, QUOTING),
        ({"Customer Street": "'a,b'"}, fields(54)),
        ({"Customer Password": '"p"w"'}, QUOTING),
        ({"Shipping Mode": '"Standard Class" '}, QUOTING),
        ({"Customer Street": "x" * 3_000_000}, None),
        ({"Customer Street": "," * 9_948}, fields(10_001)),
        ({"Customer Street": "@" * 100_000}, None),
        ({"Customer Street": "a@" * 100_000, "Type": "x"}, "type is not a known value"),
        ({"Customer Street": " " * 100_000}, None),
    ),
    (b",".join(b'"%s"' % part for part in text(90, {}).split(b",")), None),
    (b",".join([b'"x"'] * 10_000), fields(10_000)),
]  # fmt: skip


def placed(item: int, content: bytes) -> bytes:
    return text(item, {"Order State": "@@"}).replace(b"@@", content)


BYTES: list[Line] = [
    (placed(1, "Île-de-France".encode("cp1252")), None),
    (placed(2, "Île-de-France".encode()), ENCODING),
    (placed(3, "日本 １２".encode()), ENCODING),
    (placed(4, "日".encode()[:2]), None),  # cut inside a character: in windows-1252 two characters like others
    (placed(5, "Île".encode() + b"\xe9"), None),
    (placed(6, b"\x81\x8d\x8f\x90\x9d"), ENCODING),
    (placed(7, b"\x81"), ENCODING),
    (placed(8, b"a\x00b"), CONTROL),
    (placed(9, b"\x00" * 100_000), CONTROL),
    (placed(10, b"\x7f"), CONTROL),
    (placed(11, b"\x1b[31m"), CONTROL),
    (placed(12, b"a\x0b\x0cb\t"), None),
    (placed(13, b"\xff\xfe"), None),
    (placed(14, b"\xef\xbb\xbf"), ENCODING),
    (placed(15, b"\xc0\xaf\xed\xa0\x80"), None),
    (placed(16, bytes(range(0xA0, 0x100))), None),
    (placed(17, b"\x80\x82\x99\x9f"), None),
    (text(18, {}, "cp037"), (ENCODING, fields(1))),
    (text(19, {}, "utf-16-le"), (CONTROL, "...")),
    (text(20, {}, "utf-16"), (CONTROL, "...")),
]
UTF8: list[Line] = [
    (placed(1, "Île 日本 \U0001f6d2 e\u0301".encode()), None),
    (placed(2, "\u2028\u2029\x85\u200b\ufeff\u202e".encode()), None),
    (placed(3, b"\xe6\x97"), ENCODING),
    (placed(4, b"\xe9"), ENCODING),
    (placed(5, b"\xc0\xaf"), ENCODING),
    (placed(6, b"\xed\xa0\x80"), ENCODING),
    (placed(7, b"\xf5\x80\x80\x80"), ENCODING),
    (text(8, CUSTOMER("１２"), "utf-8"), BAD_CUSTOMER),
    (text(9, PROFIT("１２.5"), "utf-8"), BAD_PROFIT),
    (text(10, PROFIT("٣"), "utf-8"), BAD_PROFIT),
    (text(11, PROFIT("−5"), "utf-8"), BAD_PROFIT),
    (text(12, {ORDERED: "１/1/2018 1:00"}, "utf-8"), BAD_ORDERED),
    (text(13, {"Type": "DEBIТ"}, "utf-8"), "type is not a known value"),  # the last letter is Cyrillic
    (text(14, {"Customer Email": "ÅSA@EXAMPLE.COM"}, "utf-8"), None),
    (text(15, {"Shipping Mode": '"Standard Class"\u2028'}, "utf-8"), QUOTING),
    (text(16, {"Shipping Mode": '"Standard Class"\x85'}, "utf-8"), QUOTING),
    (text(17, {ORDERED: "1/1/2018 1:00\u2028"}, "utf-8"), BAD_ORDERED),
    (text(18, PROFIT("5\u2028"), "utf-8"), BAD_PROFIT),
]
REPETITIONS: list[Line] = [
    (text(1, {}), DUPLICATE),
    (text(1, {"Customer Password": "x"}), DUPLICATE),
    (text(1, {"Sales": "327.7500", "Customer City": "  Caguas"}), None),  # of equal lines the least text stays
    (text(2, {"Order City": "one"}), REPEATED),
    (text(2, {"Order City": "two"}), REPEATED),
    (text(3, {}), None),
    (text(3, {"Market": "Moon"}), "market is not a known value"),
    (text(4, {"Order Item Id": ""}), ("order_item_id is null", DUPLICATE)),
    (text(4, {"Order Item Id": " "}), "order_item_id is null"),
    (text(0, {"Order Item Id": "0005"}), None),
    (text(0, {"Order Item Id": "+5", "Customer Password": "y"}), DUPLICATE),
    *[(text(6, {"Order City": str(n)}), REPEATED) for n in range(50)],
    *[(text(7, {}), DUPLICATE if n else None) for n in range(50)],
]
PLAIN = [text(item, {}) for item in range(1, 5)]
GOOD: list[Line] = [(line, None) for line in PLAIN]
WHOLE = judged("", *GOOD).content
FIRST_TWO = WHOLE.index(PLAIN[2])
CP1252_ROW = placed(2, b"\xcele")

JUDGED: list[Judged] = [
    judged("numbers.csv", *NUMBERS),
    judged("signs.csv", *SIGNS),
    judged("dates.csv", *DATES),
    judged("dates_day_first.csv", *DAY_FIRST_DATES),
    judged("dates_of_both.csv", *DATES_OF_BOTH),
    judged("dates_without_evidence.csv", *NO_EVIDENCE),
    judged("dates_by_landing.csv", *BY_LANDING),
    judged("words.csv", *WORDS),
    judged("addresses.csv", *ADDRESSES),
    judged("quotes.csv", *QUOTES),
    judged("bytes.csv", *BYTES),
    judged("repetitions.csv", *REPETITIONS),
    Judged("empty.csv", b"", []),
    Judged("blank.csv", b"\xef\xbb\xbf \t\r\n\n\r", []),
    Judged("commas.csv", b"," * 3_000_000, []),
    Judged("header_only.csv", HEADER.encode(), []),
    Judged("header_only_bom.csv", b"\xef\xbb\xbf" + HEADER.encode() + b"\r\n", []),
    Judged("header_twice.csv", b"\r\n".join([HEADER.encode()] * 2 + PLAIN + [HEADER.upper().encode()]), [()] * 4),
    Judged("header_bom_again.csv", WHOLE + b"\xef\xbb\xbf" + HEADER.encode(), [()] * 4),
    Judged(
        "no_values.csv",
        b"\r\n".join([b"," * 52, WHOLE, b"," * 100_000, b'"', b'""', b'" ",\xa0,\t', b"\x1a"]),
        [()] * 4,
    ),
    judged("header_quoted.csv", *GOOD, header=",".join(f'"{name}"' for name in COLUMNS).encode()),
    judged("header_blanks.csv", *GOOD, header=",".join(f"  {n.upper()}\t" for n in COLUMNS).encode()),
    judged("bom.csv", *GOOD, header=b"\xef\xbb\xbf" + HEADER.encode()),
    judged("bom_and_blank_lines.csv", *GOOD, header=b"\xef\xbb\xbf\r\n \n" + HEADER.encode()),
    judged("bom_in_the_middle.csv", GOOD[0], (b"\xef\xbb\xbf" + PLAIN[1], (ENCODING, "...")), header=HEADER.encode()),
    *(
        judged(f"line_ends_{n}.csv", *GOOD, end=end)
        for n, end in enumerate((b"\r", b"\n", b"\r\r\n", b"\n\r", b"\n \t\r"))
    ),
    Judged("line_ends_mixed.csv", HEADER.encode() + b"\r" + b"\n\r\r\n".join(PLAIN[:3]) + b"\r" + PLAIN[3], [()] * 4),
    Judged("no_end.csv", WHOLE.rstrip(), [()] * 4),
    Judged("cut_after_a_line.csv", WHOLE[:FIRST_TWO], [()] * 2),
    Judged("cut_in_a_line.csv", WHOLE[: FIRST_TWO + 100], [(), (), (fields(PLAIN[2][:100].count(b",") + 1),)]),
    Judged("cut_in_the_last_field.csv", WHOLE.rstrip()[:-3], [(), (), (), ("shipping_mode is not a known value",)]),
    Judged(
        "cut_in_a_quote.csv",
        judged("", GOOD[0], (text(2, {"Shipping Mode": '"First Class"'}), None)).content[:-6],
        [(), (QUOTING,)],
    ),
    Judged("cut_in_a_number.csv", WHOLE[: FIRST_TWO + 7], [(), (), (fields(2),)]),
    judged(
        "break_in_a_quote.csv",
        GOOD[0],
        *((part, QUOTING) for part in text(2, {"Customer Street": '"1\r\n2\r\n3"'}).split(b"\r\n")[::2]),
        (b"2", fields(1)),
    ),
    judged("nul_lines.csv", GOOD[0], (b"\x00" * 4096, (CONTROL, fields(1))), GOOD[1]),
    judged("a [1] {b,c} 50%25+#;'\"&=@!~^$(`)é日🛒\\.csv", *GOOD),
    judged("%2e%2e%2f+ +.csv", *GOOD),
    judged("-rf.csv", *GOOD),
    judged("n" * 251 + ".csv", *GOOD),
]
JUDGED_UTF8: list[Judged] = [
    judged("utf8.csv", *UTF8),
    judged("utf8_bom.csv", *UTF8, header=b"\xef\xbb\xbf" + HEADER.encode()),
    judged("cp1252.csv", GOOD[0], (CP1252_ROW, ENCODING)),
    Judged(
        "cut_in_a_character.csv",
        WHOLE[:FIRST_TWO] + placed(3, "日".encode()).split(b"\xa5")[0],
        [(), (), (ENCODING, fields(42))],
    ),
]


# Files that are refused whole


@dataclass(frozen=True)
class Refused:
    """A landing folder that is refused: its files, and what the error must say."""

    name: str
    deliver: Callable[[Path], object]
    """Delivers into the folder of a day."""
    error: type[LakehouseError]
    words: tuple[str, ...]
    is_alone: bool = False
    """Whether no good file stands beside it."""


def file(name: str, content: bytes, error: type[LakehouseError], *words: str) -> Refused:
    is_alone = error is NothingLanded
    return Refused(name, lambda folder: (folder / name).write_bytes(content), error, (name, *words), is_alone)


def manifest(name: str, content: bytes | dict[str, object], *words: str) -> Refused:
    text = content if isinstance(content, bytes) else json.dumps({"files": content}).encode()
    return made_manifest(name, lambda path: path.write_bytes(text), *words)


def made_manifest(name: str, make: Callable[[Path], object], *words: str) -> Refused:
    def deliver(folder: Path) -> None:
        (folder / "a.csv").write_bytes(WHOLE)
        make(folder / "_manifest.json")

    return Refused(f"manifest {name}", deliver, ManifestMismatch, ("_manifest.json", *words), is_alone=True)


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("orders.csv", content)
    return buffer.getvalue()


UNREADABLE = "cannot be read as"
COMPRESSED = {
    "gzip": gzip.compress(WHOLE, mtime=0),
    "xz": lzma.compress(WHOLE),
    "zip": zipped(WHOLE),
    "bzip2": bz2.compress(WHOLE),
}
REFUSED: list[Refused] = [
    *(
        refused
        for kind, content in COMPRESSED.items()
        for refused in (
            file(f"{kind}_whole.csv", content, HeaderRefused, f"looks like {kind}", "unpack"),
            file(f"{kind}_cut.csv", content[: len(content) // 2], HeaderRefused, f"looks like {kind}", "unpack"),
            file(f"orders.csv.{kind}", content, LandingRefused, "not a *.csv file"),
        )
    ),
    file("utf16.csv", WHOLE.decode().encode("utf-16"), HeaderRefused, "UTF-16"),
    file("utf16_be.csv", b"\xfe\xff" + WHOLE.decode().encode("utf-16-be"), HeaderRefused, "UTF-16"),
    file("utf16_no_bom.csv", WHOLE.decode().encode("utf-16-le"), HeaderRefused, "no header"),
    file("ebcdic.csv", WHOLE.decode().encode("cp037"), HeaderRefused, "header"),
    file("nul.csv", b"\x00" * 100_000, HeaderRefused, "no header"),
    file("two_boms.csv", b"\xef\xbb\xbf" * 2 + WHOLE, HeaderRefused, "missing 'Type'"),
    file("nul_in_header.csv", WHOLE.replace(b"Market", b"Mar\x00ket", 1), HeaderRefused, "'Mar\\x00ket'", "'Market'"),
    file("header_joined.csv", WHOLE.replace(b"\r\n", b",", 1), HeaderRefused, "53 unexpected", "line end"),
    file("no_header.csv", WHOLE.partition(b"\r\n")[2], HeaderRefused, "no header", "0 of the 53"),
    file("cut_header.csv", HEADER.encode()[:-30], HeaderRefused, "missing"),
    file("cut_early.csv", HEADER.encode()[:30], HeaderRefused, "no header"),
    file("doubled_name.csv", WHOLE.replace(b"Market", b"Market,Market", 1), HeaderRefused, "more than once 'Market'"),
    file("doubled_otherwise.csv", WHOLE.replace(b"Market", b"Market, MARKET", 1), HeaderRefused, "more than once"),
    file("nameless.csv", WHOLE.replace(b"Market", b"", 1), HeaderRefused, "missing 'Market'", "unexpected ''"),
    file("renamed.csv", WHOLE.replace(b"Market", b"Markt", 1), HeaderRefused, "missing 'Market'", "unexpected 'Markt'"),
    file("semicolons.csv", WHOLE.replace(b",", b";"), HeaderRefused, "no header"),
    file("tabs.csv", WHOLE.replace(b",", b"\t"), HeaderRefused, "no header"),
    file("quote_in_header.csv", b'"' + WHOLE, HeaderRefused, "cannot be read"),
    file("undefined_byte_in_header.csv", b"\x81" + WHOLE, HeaderRefused, "cannot be read"),
    file("wide.csv", HEADER.encode() + b",x" * 9_947 + b"\n", HeaderRefused, "9947 unexpected names"),
    file("very_wide.csv", b"x" + b"," * 3_000_000, HeaderRefused, "no header"),
    file("very_wide_and_empty.csv", b"," * 3_000_000, NothingLanded, "only files without a header"),
    file("blank.csv", b"\r\n \n", NothingLanded, "only files without a header"),
    file("empty.csv", b"", NothingLanded, "only empty files"),
    file("endless_header.csv", b"x" * 20_000_000, HeaderRefused, "header"),
    file("html.csv", b"<!DOCTYPE html><title>404</title>", HeaderRefused, "no header"),
    file("UPPER.CSV", WHOLE, LandingRefused, "not a *.csv file"),
    file("orders.csv ", WHOLE, LandingRefused, "not a *.csv file"),
    file("orders.csv.old", WHOLE, LandingRefused, "not a *.csv file"),
    file("orders.csv.tmp", WHOLE, NothingLanded, "only unfinished or hidden names"),
    file(".orders.csv", WHOLE, NothingLanded, "only unfinished or hidden names"),
    file("no_suffix", WHOLE, LandingRefused, "not a *.csv file"),
    file("a:b.csv", WHOLE, LandingRefused, "colon"),
    Refused(
        "line break in a name", lambda f: (f / "a\nb.csv").write_bytes(WHOLE), LandingRefused, ("a\\nb.csv", "printed")
    ),
    Refused(
        "name in no encoding",
        lambda f: (f / "a\udcff.csv").write_bytes(WHOLE),
        LandingRefused,
        ("udcff.csv", "printed"),
    ),
    Refused("folder", lambda f: (f / "x.csv").mkdir(), LandingRefused, ("x.csv", "is a folder")),
    Refused("dangling link", lambda f: (f / "x.csv").symlink_to(f / "none"), LandingRefused, ("x.csv", "regular")),
    Refused("link to itself", lambda f: (f / "x.csv").symlink_to(f / "x.csv"), LandingRefused, ("x.csv", "regular")),
    Refused("pipe", lambda f: os.mkfifo(f / "x.csv"), LandingRefused, ("x.csv", "regular")),
    manifest("empty", b"", UNREADABLE),
    manifest("cut", b'{"files": {"a.csv": 4', UNREADABLE),
    manifest("list", b"[]", UNREADABLE),
    manifest("null", b"null", UNREADABLE),
    manifest("without files", b'{"version": 2, "entries": []}', UNREADABLE),
    manifest("files a list", b'{"files": ["a.csv"]}', UNREADABLE),
    manifest("utf-16", json.dumps({"files": {"a.csv": 4}}).encode("utf-16"), UNREADABLE),
    manifest("no text", b"\xff\x00", UNREADABLE),
    manifest("deep", b"[" * 200_000, UNREADABLE),
    manifest("file twice", b'{"files": {"a.csv": 3, "a.csv": 4}}', UNREADABLE),
    *(
        manifest(f"count {count}", f'{{"files": {{"a.csv": {count}}}}}'.encode(), UNREADABLE)
        for count in (
            '"4"',
            "4.0",
            "4.5",
            "true",
            "null",
            "-4",
            "[4]",
            "1e400",
            "NaN",
            "Infinity",
            '"four"',
            '"４"',
            "9" * 5000,
        )
    ),
    manifest("count wrong", {"a.csv": 5}, "'a.csv' has 4 lines instead of 5"),
    manifest("count zero", {"a.csv": 0}, "'a.csv' has 4 lines instead of 0"),
    manifest("none", {}, "'a.csv' is not in the manifest"),
    manifest("file missing", {"a.csv": 4, "b.csv": 0}, "'b.csv' is missing"),
    manifest("another folder", {"../dt=2018-01-02/a.csv": 4}, "is missing", "'a.csv' is not in the manifest"),
    manifest("a name to print", {"a.csv": 4, "x\n\x1b[31m.csv": 1}, "'x\\n\\x1b[31m.csv' is missing"),
    made_manifest("a folder", Path.mkdir, UNREADABLE),
    made_manifest("a dangling link", lambda path: path.symlink_to("none"), UNREADABLE),
]
