"""From the text of a field to a typed value."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DecimalType, StringType

from spark_jobs.tables.blank_records import BLANKS, SPACES, any_word
from spark_jobs.tables.source import CODES, SourceColumn

# What counts as a blank inside a field: Java's white space and the other spaces.
_BLANK = rf"[\s{SPACES}]"

# Spark's own reading takes digits of any script, and time that grows with the square of their number: two million of
# them hold a core for minutes.
_DECIMAL = r"^(?=.{1,100}\z)[+-]?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?+[0-9]{1,4})?+\z"


def needs_collapsing(text: Column) -> Column:
    """Return whether a line holds blanks that trimming plain blanks off its fields does not put right.

    Most lines do not, and a regular expression for each of 53 fields would cost more than all the rest.
    """
    return text.rlike(rf"[\n\r{SPACES[1:]}]|  ")


def holds_null_word(text: Column, words: tuple[str, ...]) -> Column:
    """Return whether a field of a line may be one of the words: as with blanks, few lines need a look at each."""
    if not words:
        return F.lit(False)
    around = rf'[{BLANKS}"]*+'
    return text.rlike(f"(?:^|,){around}{any_word(words)}{around}(?:,|\\z)")


def clean(field: Column, collapse: Column, has_null_word: Column, words: tuple[str, ...]) -> Column:
    """Trim and collapse blanks; return NULL for an empty field and for a word that stands for a missing value."""
    collapsed = F.when(collapse, F.regexp_replace(field, f"{_BLANK}+", " ")).otherwise(field)
    text = F.nullif(F.trim(collapsed), F.lit(""))
    return F.when(has_null_word & text.isin(*words), None).otherwise(text) if words else text


_CODE = r"""^=?"?'?0*([0-9]+)(?:\.0{0,2}|,0{1,2})?"?\z"""


def code(field: Column) -> Column:
    """Write a code as it was before a spreadsheet took it for a number: 00725, 725.0, '725 and ="725" are 725.

    Leading zeros go too: a spreadsheet drops them, as in all of DataCo, so they cannot tell two codes apart.
    """
    return F.regexp_replace(field, _CODE, "$1")


def parse(field: Column, column: SourceColumn) -> Column:
    """Return the value of a cleaned field; NULL where it does not parse. For timestamps see `dates.py`.

    Decimals are rounded half-up, once, from the text.
    """
    match column.type:
        case StringType():
            return code(field) if column.name in CODES else field
        case BooleanType():
            word = F.lower(field)
            return F.when(word.isin("1", "true"), True).when(word.isin("0", "false"), False)
        case DecimalType():
            return F.when(field.rlike(_DECIMAL), field.try_cast(column.type))
    number = field.try_cast(column.type)
    return F.coalesce(number, code(field).try_cast(column.type)) if column.name in CODES else number


def row_hash(names: tuple[str, ...]) -> Column:
    """Return SHA-256 over all parsed values, in an encoding that tells any two different rows apart."""
    return F.sha2(
        F.to_json(
            F.struct(*names),
            {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss", "timeZone": "UTC"},
        ),
        256,
    )
