"""From the text of a field to a typed value."""

from __future__ import annotations

import re

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DecimalType, StringType, TimestampType

from spark_jobs.tables.source import SourceColumn

# What counts as a blank inside a field: Java's white space and the no-break space of windows-1252.
_BLANK = r"[\s\xa0]"

# Spark's own reading takes digits of any script, and time that grows with the square of their number: two million of
# them hold a core for minutes.
_DECIMAL = r"^(?=.{1,100}\z)[+-]?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?+[0-9]{1,4})?+\z"


def needs_collapsing(text: Column) -> Column:
    """Return whether a line holds blanks that trimming plain blanks off its fields does not put right.

    Most lines do not, and a regular expression for each of 53 fields would cost more than all the rest.
    """
    return text.rlike(r"[\t\n\x0b\f\r\xa0]|  ")


def clean(field: Column, collapse: Column) -> Column:
    """Trim a field and collapse its inner blanks; an empty one is NULL."""
    collapsed = F.when(collapse, F.regexp_replace(field, f"{_BLANK}+", " ")).otherwise(field)
    return F.nullif(F.trim(collapsed), F.lit(""))


def parse(field: Column, column: SourceColumn, timestamp_formats: tuple[str, ...]) -> Column:
    """Parse a cleaned field; NULL where it does not parse. Decimals are rounded half-up, once, from the text."""
    match column.type:
        case StringType():
            return field
        case BooleanType():
            word = F.lower(field)
            return F.when(word.isin("1", "true"), True).when(word.isin("0", "false"), False)
        case TimestampType():
            return F.coalesce(*(_timestamp(field, pattern) for pattern in timestamp_formats))
        case DecimalType():
            return F.when(field.rlike(_DECIMAL), field.try_cast(column.type))
    return field.try_cast(column.type)


def _timestamp(field: Column, pattern: str) -> Column:
    """Parse a date and time of the years 1 to 9999, with as many digits as the pattern has letters (or two, for one
    letter).

    Spark's own reading takes years with a sign and up to 19 digits: those that no Python and few tools can show, and
    from 294248 on try_to_timestamp does not return NULL, but fails the query.
    """

    def digits(letters: re.Match[str]) -> str:
        number = len(letters[0])
        return ("(?!0000)" if number == 4 else "") + (f"[0-9]{{{number}}}" if number > 1 else "[0-9]{1,2}")

    shape = re.sub(r"([a-zA-Z])\1*", digits, pattern)
    return F.when(field.rlike(rf"^{shape}\z"), F.try_to_timestamp(field, F.lit(pattern)))


def row_hash(names: tuple[str, ...]) -> Column:
    """Return SHA-256 over all parsed values, in an encoding that tells any two different rows apart."""
    return F.sha2(
        F.to_json(
            F.struct(*names),
            {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss", "timeZone": "UTC"},
        ),
        256,
    )
