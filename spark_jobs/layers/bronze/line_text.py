"""From the bytes of a line to its text and its fields."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_jobs.tables.blank_records import blank_record

# The 27 characters that windows-1252 has at 0x80-0x9F, where ISO-8859-1 has control characters, and the five bytes
# that it does not define.
_CP1252 = {byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0xA0)}
_DEFINED = {byte: character for byte, character in _CP1252.items() if character != "\N{REPLACEMENT CHARACTER}"}
_UNDEFINED = "".join(f"\\x{byte:02x}" for byte in range(0x80, 0xA0) if byte not in _DEFINED)

# RFC 4180, strictly. Possessive quantifiers, so that a gigantic field costs no stack.
_QUOTED = '"[^"]*+(?:""[^"]*+)*+"'
_FIELD = f'(?:{_QUOTED}|[^",]*+)'
_LINE = rf"^{_FIELD}(?:,{_FIELD})*+\z"  # for Java, $ would let some kinds of line end be left over

CONTROL_CHARACTERS = r"[\x00-\x08\x0e-\x1f\x7f]"


@dataclass(frozen=True)
class Decoded:
    """A line's text, and whether its bytes are what the encoding allows."""

    text: Column
    wrong: Column


def decode(line: Column, encoding: str) -> Decoded:
    """Return the text of a line read as STRING, whose bytes may be anything.

    windows-1252 is ISO-8859-1 but for 0x80-0x9F. Bytes beyond ASCII that make valid UTF-8 are taken for what they
    seem, a file in the wrong encoding: not one line of DataCo is like that.
    """
    valid = F.is_valid_utf8(line)
    if encoding == "utf-8":
        return Decoded(F.when(valid, line).otherwise(F.make_valid_utf8(line)), ~valid)
    ascii_only = valid & (F.octet_length(line) == F.char_length(line))
    latin = F.decode(line.cast("binary"), "ISO-8859-1")
    western = F.translate(latin, "".join(map(chr, _DEFINED)), "".join(_DEFINED.values()))
    undefined = latin.rlike(f"[{_UNDEFINED}]")
    return Decoded(
        F.when(ascii_only, line).otherwise(western),
        F.when(ascii_only, False).when(valid, True).otherwise(undefined),
    )


def holds_value(text: Column, null_words: tuple[str, ...]) -> Column:
    """Return whether a line holds anything but empty fields and words that stand for a missing value."""
    # A line with a value matches at its first character; without `?!` all the others would be tried as a beginning.
    return text.rlike(rf"^(?!{blank_record(null_words)}\z)")


def has_quotes(text: Column) -> Column:
    return F.contains(text, F.lit('"'))


def broken_quoting(text: Column) -> Column:
    """Return whether a line is not RFC 4180; a quoted line break leaves such lines, as does a quote inside a plain
    field."""
    return has_quotes(text) & ~text.rlike(_LINE)


def raw_fields(text: Column) -> Column:
    """Return the fields of a line as they stand in it, quotes included.

    For a line with broken quoting it means nothing.
    """
    # With a comma in front, every match takes at least one character, and no field is skipped or seen twice.
    quoted = F.regexp_extract_all(F.concat(F.lit(","), text), F.lit(f",({_FIELD})"), 1)
    return F.when(has_quotes(text), quoted).otherwise(F.split(text, ",", -1))


def fields(text: Column) -> Column:
    """Return the values of a line's fields, quotes resolved."""

    def unquoted(field: Column) -> Column:
        inner = F.substring(field, F.lit(2), F.char_length(field) - 2)
        return F.when(field.startswith('"'), F.replace(inner, F.lit('""'), F.lit('"'))).otherwise(field)

    raw = raw_fields(text)
    return F.when(has_quotes(text), F.transform(raw, unquoted)).otherwise(raw)
