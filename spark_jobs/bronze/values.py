"""From the text of a field to a typed value (design, section 5)."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, StringType, TimestampType

from spark_jobs.bronze import schema

# What counts as a blank inside a field: Java's white space and the no-break space of windows-1252.
_BLANK = r"[\s\xa0]"


def needs_collapsing(text: Column) -> Column:
    """Whether a line holds blanks that trimming plain blanks off its fields does not put right. Most lines do not, and
    a regular expression for each of 53 fields would cost more than all the rest."""
    return text.rlike(r"[\t\n\x0b\f\r\xa0]|  ")


def clean(field: Column, collapse: Column) -> Column:
    """Trimmed, inner blanks collapsed, empty is NULL."""
    collapsed = F.when(collapse, F.regexp_replace(field, f"{_BLANK}+", " ")).otherwise(field)
    return F.nullif(F.trim(collapsed), F.lit(""))


def parse(field: Column, column: schema.Column, timestamp_formats: tuple[str, ...]) -> Column:
    """The value of a cleaned field; NULL where it does not parse. Decimals are rounded half-up, once, from the text."""
    match column.type:
        case StringType():
            return field
        case BooleanType():
            word = F.lower(field)
            return F.when(word.isin("1", "true"), True).when(word.isin("0", "false"), False)
        case TimestampType():
            return F.coalesce(*(F.try_to_timestamp(field, F.lit(pattern)) for pattern in timestamp_formats))
    return field.try_cast(column.type)


def row_hash(names: tuple[str, ...]) -> Column:
    """SHA-256 over all parsed values, in an encoding that tells any two different rows apart."""
    return F.sha2(
        F.to_json(
            F.struct(*names),
            {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss", "timeZone": "UTC"},
        ),
        256,
    )
