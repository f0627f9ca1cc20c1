"""Lines that are broken at random, from a seed: the same seed gives the same files."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.spark.bronze.conftest import COLUMNS, make_line

HEADER = ",".join(COLUMNS)
REORDERED = [*COLUMNS[30:], *COLUMNS[:30]]
LINE_ENDS = (b"\r\n", b"\n", b"\r")
SPECIAL = (
    *(
        b",",
        b'"',
        b'""',
        b'","',
        b"\r",
        b"\n",
        b"\r\n",
        b"\t",
        b" ",
        b"  ",
        b"\xa0",
        b"\x00",
        b"\x7f",
        b"\x1a",
        b"\x0b",
    ),
    *(b"\xef\xbb\xbf", b"\x81", b"\x85", b"\x92", b"\xe9", b"\xff", b"\xc3\xa9", b"\xe2\x80\xa8", b"\xf0\x9f\x9b\x92"),
    *(b"\xc0\x80", b"\xed\xa0\x80", b"\xe6\x97", b"\xef\xbc\x91", b"\xd9\xa3", b"@", b"a@b.c", b"\\", b"'", b";", b"+"),
    *(b"-", b".", b"e", b"0", b"9"),
)
VALUES = (
    *("", " ", "0", "-0", "1", "-1", "+1", "2147483647", "2147483648", "-2147483648", "9223372036854775807"),
    *("9223372036854775808", "9999999999.99", "9999999999.995", "0.005", "-0.005", "0.00005", "999.99995", "1e3"),
    *("1e400", "1e-400", "1E+2", ".5", "5.", "nan", "Infinity", "0x10", "1_0", "1,5", "１２", "٣", "1e99999999999"),
    *("true", "FALSE", "yes", "2/29/2016 1:00", "2/29/2017 1:00", "1/1/0001 0:00", "1/1/0000 0:00", "12/31/9999 23:59"),
    *("1/1/10000 1:00", "1/1/+999999 1:00", "1/1/-5 1:00", "29-02-2016 10:00", "1/1/2018 24:00", "13/13/2018 1:00"),
    *("DEBIT", "debit", "Europe"),
    *("LATAM", "COMPLETE", "First Class", "Home  Office", "x", '"', '"x"', '"x', 'x""y', "NULL"),
    *("jane@example.com", "0" * 120 + "7", "9" * 120, "0." + "3" * 120, "\u2028", "İSTANBUL", "ΑΣ", "ß", "\u0130@x.yz"),
)  # fmt: skip


@dataclass
class Line:
    """One line before it is broken, and its secrets."""

    text: bytes
    secrets: tuple[str, str]


def new_line(rng: random.Random, number: int, columns: list[str], encoding: str) -> Line:
    password, address = f"pw{number}q{rng.randrange(10**6)}", f"user{number}.{rng.randrange(10**6)}"
    changes = {"Order Item Id": str(number), "Order Zipcode": f"zip{number}", "Customer Password": password}
    changes["Customer Email"] = f"{address}@Example.com"
    changes["Customer Id"] = changes["Order Customer Id"] = str(rng.randrange(10**5))
    changes["Benefit per order"] = changes["Order Profit Per Order"] = repr(rng.uniform(-500, 500))
    changes["Sales"] = f"{rng.uniform(0, 10 ** rng.randrange(1, 10)):.{rng.randrange(12)}f}"
    changes["Latitude"], changes["Longitude"] = f"{rng.uniform(-90, 90):.10f}", f"{rng.uniform(-180, 180):.9f}"
    changes["Order City"] = rng.choice(["Île", "Cox’s", "Šiauliai", "A  b", " x ", '"a,b"', '"q""q"', "plain", "€ÿ"])
    return Line(make_line(changes, columns).encode(encoding), (password, address))


def flip(rng: random.Random, line: bytes, _: bytes) -> bytes:
    place = rng.randrange(len(line))
    return line[:place] + bytes([line[place] ^ 1 << rng.randrange(8)]) + line[place + 1 :]


def overwrite(rng: random.Random, line: bytes, _: bytes) -> bytes:
    place = rng.randrange(len(line))
    return line[:place] + bytes([rng.randrange(256)]) + line[place + 1 :]


def insert(rng: random.Random, line: bytes, _: bytes) -> bytes:
    place = rng.randrange(len(line) + 1)
    return line[:place] + rng.choice(SPECIAL) * rng.choice((1, 1, 1, 2, 5, 200)) + line[place:]


def delete(rng: random.Random, line: bytes, _: bytes) -> bytes:
    start = rng.randrange(len(line))
    return line[:start] + line[start + rng.randrange(1, 80) :]


def double(rng: random.Random, line: bytes, _: bytes) -> bytes:
    start = rng.randrange(len(line))
    end = start + rng.randrange(1, 80)
    return line[:end] + line[start:end] * rng.choice((1, 1, 3)) + line[end:]


def truncate(rng: random.Random, line: bytes, _: bytes) -> bytes:
    return line[: rng.randrange(len(line) + 1)]


def behead(rng: random.Random, line: bytes, _: bytes) -> bytes:
    return line[rng.randrange(len(line) + 1) :]


def splice(rng: random.Random, line: bytes, other: bytes) -> bytes:
    return line[: rng.randrange(len(line) + 1)] + other[rng.randrange(len(other) + 1) :]


def join(rng: random.Random, line: bytes, other: bytes) -> bytes:
    return line + rng.choice((b"", b",", b" ", b"\x00")) + other


def quote_field(rng: random.Random, line: bytes, _: bytes) -> bytes:
    parts = line.split(b",")
    place = rng.randrange(len(parts))
    parts[place] = b'"' + parts[place] + rng.choice((b'"', b'"', b'"', b'" ', b"", b'""'))
    return b",".join(parts)


def separators(rng: random.Random, line: bytes, _: bytes) -> bytes:
    return line.replace(b",", rng.choice((b";", b"\t", b", ", b",,", b"|", b"")), rng.choice((1, 3, 53)))


def replace_field(rng: random.Random, line: bytes, _: bytes) -> bytes:
    parts = line.split(b",")
    value = rng.choice(VALUES)
    encoded = value.encode("utf-8") if rng.random() < 0.5 else value.encode("cp1252", "replace")
    parts[rng.randrange(len(parts))] = encoded
    return b",".join(parts)


def swap_fields(rng: random.Random, line: bytes, _: bytes) -> bytes:
    parts = line.split(b",")
    first, second = rng.randrange(len(parts)), rng.randrange(len(parts))
    parts[first], parts[second] = parts[second], parts[first]
    return b",".join(parts)


def recase(rng: random.Random, line: bytes, _: bytes) -> bytes:
    return rng.choice((line.upper, line.lower, line.swapcase))()


def recode(rng: random.Random, line: bytes, _: bytes) -> bytes:
    return line.decode("latin-1").encode(rng.choice(("utf-8", "utf-16-le", "utf-16", "utf-7")))


Mutation = Callable[[random.Random, bytes, bytes], bytes]
# One of these moves the private columns in one direction at most, so that they cannot end where nobody looks.
STRAIGHT: tuple[Mutation, ...] = (
    *(flip, overwrite, insert, delete, double, truncate, behead, splice, join, quote_field, separators, recase, recode),
)
ALL: tuple[Mutation, ...] = (*STRAIGHT, *(replace_field, swap_fields) * 8)


@dataclass
class Fuzzed:
    """A file, and the secrets that no output may show: those of lines that were broken once, in a straight way."""

    content: bytes
    secrets: set[str]


def fuzzed_file(seed: int, lines: int, encoding: str = "windows-1252") -> Fuzzed:
    """A header and about `lines` lines: untouched, broken once or several times, or repeated."""
    rng = random.Random(seed)
    columns = rng.choice((COLUMNS, REORDERED))
    end = rng.choice(LINE_ENDS)
    made = [new_line(rng, number, columns, encoding) for number in range(1, lines + 1)]
    # Lines that are broken several times or have fields swapped may show their secrets: nobody can tell which they are.
    secrets = {secret for line in made[1::2] for secret in line.secrets}
    out = [",".join(columns).encode()]
    for number, line in enumerate(made):
        text, other = line.text, rng.choice(made[number % 2 :: 2]).text
        kind = rng.random()
        if kind < 0.1:
            out.append(text)
        elif number % 2:
            out.append(rng.choice(STRAIGHT)(rng, text, other))
        elif kind < 0.4:
            out.append(rng.choice((replace_field, swap_fields))(rng, text, other))
        elif kind < 0.9:
            for _ in range(rng.randrange(1, 5)):
                text = rng.choice(ALL)(rng, text or b"x", other)
            out.append(text)
        elif kind < 0.97:
            repeated = replace_field(rng, text, other) if rng.random() < 0.5 else text
            out += rng.choice(([text, repeated], [text, text, repeated], [repeated, text.replace(b",", b" ,")]))
        else:
            out.append(
                rng.choice(
                    (b"", b" \t", b",", b'"', b"\x00", b"\xe9", out[0], b"\xef\xbb\xbf", b"," * 52, b"NULL,nan, ,\xa0")
                )
            )
    body = bytearray(out[0])
    for text in out[1:]:
        body += (end if rng.random() < 0.9 else rng.choice((*LINE_ENDS, b"\r\r\n", b"\n \n"))) + text
    body += rng.choice((b"", end, b"\n\n \t"))
    bom = rng.choice((b"", b"", b"\xef\xbb\xbf"))
    return Fuzzed(bom + bytes(body), secrets)
