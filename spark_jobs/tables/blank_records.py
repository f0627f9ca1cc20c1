"""Records that hold nothing, such as the rows of commas that spreadsheets leave at the end of a file.

The standard library is enough: `feeds.daily_replay` uses it as bronze does.
"""

from __future__ import annotations

SPACES = " \t\x0b\x0c\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
BLANKS = f"{SPACES}\u200b\ufeff"
"""Characters that show nothing; the last two have no width either."""
EMPTY = BLANKS + ',"'
"""A line of these alone is a record without any value."""
_ASCII = "".join(character for character in EMPTY if character.isascii()).encode()


def is_blank(line: bytes, encoding: str) -> bool:
    """Return whether a line, without its end, holds no value."""
    rest = line.lstrip(_ASCII)
    return not rest or (rest[0] >= 0x80 and not rest.decode(encoding, "replace").strip(EMPTY))
