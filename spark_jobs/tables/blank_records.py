"""Records that hold nothing, such as the rows of commas that spreadsheets leave at the end of a file.

The standard library is enough: `feeds.daily_replay` uses it as bronze does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

SPACES = " \t\x0b\x0c\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
BLANKS = f"{SPACES}\u200b\ufeff\x1a"
"""Characters that show nothing; the last three have no width either. The last one ends the files of DOS."""
_ASCII = "".join(character for character in f'{BLANKS},"' if character.isascii()).encode()
NULL_WORDS = (
    "NULL,null,(null),(NULL),<null>,<NULL>,NaN,nan,NAN,-nan,-NaN,NaT,<NA>,\\N,N/A,n/a,"
    "#N/A,#NA,#NULL!,#REF!,#VALUE!,#DIV/0!,#NAME?,#NUM!,"
    "#SPILL!,#CALC!,#FIELD!,#BLOCKED!,#CONNECT!,#UNKNOWN!,#GETTING_DATA,1.#QNAN,-1.#IND"
)
"""Words that programs write where a value is missing, spelled exactly so. NA (Namibia, North America), None and the
surname Null are not among them."""


def words_in(text: str) -> tuple[str, ...]:
    """Read a list of words, separated by commas."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def any_word(words: Iterable[str]) -> str:
    """Return a regular expression for one of the words, for Java and for Python."""
    literals = ("".join(sign if sign.isalnum() else f"\\{sign}" for sign in word) for word in words)
    return f"(?:{'|'.join(literals)})"


def blank_record(null_words: Sequence[str]) -> str:
    """Return a regular expression for a record without any value: fields are empty, or words for a missing value.

    For Java and for Python. Possessive quantifiers, so that a gigantic record costs no stack.
    """
    around = f'[{BLANKS}"]*+'
    field = f"{around}(?:{any_word(null_words)}{around}(?![^,]))?" if null_words else around
    return f"{field}(?:,{field})*+"


def blank_test(encoding: str, null_words: Sequence[str] = ()) -> Callable[[bytes], bool]:
    """Return the test whether a line, with or without its end, holds no value."""
    record, words = re.compile(blank_record(null_words)), tuple(word.encode(encoding, "replace") for word in null_words)

    def is_blank(line: bytes) -> bool:
        line = line.rstrip(b"\r\n")
        rest = line.lstrip(_ASCII)
        # Of most lines the first value tells, and they need not be decoded.
        if rest and rest[0] < 0x80 and not rest.startswith(words):
            return False
        return not rest or record.fullmatch(line.decode(encoding, "replace")) is not None

    return is_blank
