"""Every landed line, parsed and judged: the whole of bronze as one pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, BooleanType, IntegerType, StringType, StructType

from spark_jobs.layers.bronze import addresses, dates, line_text, masking, values
from spark_jobs.layers.bronze.bronze_tables import LANDED_LINES, ORDER_ITEMS, QUARANTINE
from spark_jobs.layers.bronze.email import email_hmac, key_blocks
from spark_jobs.layers.bronze.row_rules import RowRule
from spark_jobs.storage.landing import LandedFile
from spark_jobs.storage.order_file import UTF8_BOM
from spark_jobs.tables import source
from spark_jobs.tables.source import SourceFormat

WRONG_ENCODING = "wrong encoding"
CONTROL_CHARACTER = "control character"
BROKEN_QUOTING = "broken quoting"
MISPLACED_ADDRESS = "e-mail address outside its column"
EXACT_DUPLICATE = "exact duplicate"
REPEATED_ITEM = "order item occurs more than once in its file"
VALID = "size(reasons) = 0"
"""Holds for the lines that become order items. All others go to quarantine."""
_WIDTH = len(source.COLUMNS)
# Not as text, which the server would be asked to parse.
_FILES = (
    StructType()
    .add("source_file", StringType())
    .add("layout", IntegerType())
    .add("date_order", StringType())
    .add("dates_agree", BooleanType())
)
_LAYOUTS = (
    StructType()
    .add("layout", IntegerType())
    .add("headers", ArrayType(BinaryType()))
    .add("positions", ArrayType(IntegerType()))
    .add("hmac_inner", BinaryType())
    .add("hmac_outer", BinaryType())
)


@dataclass(frozen=True)
class BuildStamp:
    """Which build a row comes from: audit columns, kept out of every comparison."""

    build_id: str
    job_run_id: str
    code_version: str
    built_at: datetime


def landed_lines(
    lines: DataFrame,
    files: Sequence[LandedFile],
    rules: Sequence[RowRule],
    email_key: bytes,
    stamp: BuildStamp,
    source_format: SourceFormat = SourceFormat(),  # noqa: B008 - frozen
) -> DataFrame:
    """Return one row per landed line: the 61 columns of an order item, `line` and `reasons` (LANDED_LINES).

    `lines` are as `read_lines` gives them, `files` the files that they come from. `reasons` is empty for a valid
    row; `line`, the masked text, is NULL there. A row with reasons has its line instead of the 53 values and
    their hash, as fields that have slipped out of place could hold private data.
    """
    return without_repetitions(judged_lines(lines, files, rules, email_key, source_format), stamp)


def judged_lines(
    lines: DataFrame,
    files: Sequence[LandedFile],
    rules: Sequence[RowRule],
    email_key: bytes,
    source_format: SourceFormat = SourceFormat(),  # noqa: B008 - frozen
) -> DataFrame:
    """Return each landed line with its values and reasons, judged by itself alone: `lines` may be a stream.

    `text` is the line as it is, with its private data: see `masked_lines`.
    """
    split = _split(_with_layout(lines, files, email_key), source_format)
    return _judge(_parse(split, source_format), rules)


def masked_lines(judged: DataFrame) -> DataFrame:
    """Return judged lines that can be stored. Masking a masked line changes nothing, so what follows is the same."""
    return _with_fields(judged, F.lit(True)).withColumn("text", _masked()).drop("raw", "surplus")


def order_items(landed: DataFrame) -> DataFrame:
    """Return `bronze.order_items`: the valid lines."""
    return landed.where(VALID).select(*ORDER_ITEMS.columns)


def quarantine(landed: DataFrame) -> DataFrame:
    """Return `bronze.quarantine`: all other lines, masked, with their reasons."""
    return landed.where(f"NOT {VALID}").select(*QUARANTINE.columns)


def _with_layout(lines: DataFrame, files: Sequence[LandedFile], email_key: bytes) -> DataFrame:
    """Return lines that are no header, beside the places of their columns, the order of their dates, and the key.

    Few layouts serve many files. The key travels in the same small table, as data, which no plan shows.
    """
    spark = lines.sparkSession
    inner, outer = key_blocks(email_key)
    layouts: dict[tuple[tuple[bytes, ...], tuple[int, ...]], int] = {}
    of_file = [
        (
            file.path,
            layouts.setdefault((file.headers, file.positions), len(layouts)),
            file.dates.order,
            file.dates.agreed,
        )
        for file in files
        if file.headers
    ]
    # Spark drops the byte order mark of a file's first line; other readers may not.
    layout_rows = [
        (number, [*headers, *(UTF8_BOM + header for header in headers)], list(positions), inner, outer)
        for (headers, positions), number in layouts.items()
    ]
    layout = spark.createDataFrame(of_file, _FILES).join(
        F.broadcast(spark.createDataFrame(layout_rows, _LAYOUTS)), "layout"
    )
    placed = lines.join(F.broadcast(layout), "source_file").drop("layout")
    return placed.where(~F.array_contains("headers", F.col("value").cast("binary"))).drop("headers")


def _split(lines: DataFrame, source_format: SourceFormat) -> DataFrame:
    """Add text, fields (NULL where there are not 53), and what is wrong with the line as a whole."""
    decoded = line_text.decode(F.col("value"), source_format.encoding)
    found = F.size("found")
    private = F.array(*(F.element_at("positions", source.position(name) + 1) for name in source.MASKED))
    searched = F.array(
        *(F.element_at("positions", source.position(name) + 1) for name in source_format.email_columns)
    ).cast("array<int>")
    return (
        lines.select("*", decoded.text.alias("text"), decoded.wrong.alias("wrong_encoding"))
        .where(line_text.holds_value(F.col("text"), source_format.null_words))
        .withColumn("broken_quoting", line_text.broken_quoting(F.col("text")))
        .withColumn("found", F.when(~F.col("broken_quoting"), line_text.fields(F.col("text"))))
        .select(
            "source_file",
            "source_file_modified_at",
            "text",
            "positions",
            "date_order",
            "dates_agree",
            private.alias("private"),
            "hmac_inner",
            "hmac_outer",
            "broken_quoting",
            F.when(found == _WIDTH, F.col("found")).alias("fields"),
            values.needs_collapsing(F.col("text")).alias("collapse"),
            values.holds_null_word(F.col("text"), source_format.null_words).alias("has_null_word"),
            F.array_compact(
                F.array(
                    F.when(F.col("wrong_encoding"), WRONG_ENCODING),
                    F.when(F.col("text").rlike(line_text.CONTROL_CHARACTERS), CONTROL_CHARACTER),
                    F.when(F.col("broken_quoting"), BROKEN_QUOTING),
                    F.when(
                        ~F.col("broken_quoting") & (found != _WIDTH),
                        F.concat(F.lit("wrong number of fields: found "), found, F.lit(f" instead of {_WIDTH}")),
                    ),
                    F.when(
                        (found == _WIDTH) & addresses.may_hold_one(F.col("text")),
                        F.when(addresses.any_holds_one(F.col("found"), searched), MISPLACED_ADDRESS),
                    ),
                )
            ).alias("line_reasons"),
        )
    )


def _parse(split: DataFrame, source_format: SourceFormat) -> DataFrame:
    """Add the 53 typed columns, `unparsed` (the names of those that do not parse), `date_reasons` and the row hash."""
    raw = split.select(
        *("source_file", "source_file_modified_at", "text", "private", "date_order", "dates_agree"),
        *("hmac_inner", "hmac_outer", "broken_quoting", "line_reasons"),
        *(
            values.clean(
                F.element_at("fields", F.element_at("positions", number + 1) + 1),
                F.col("collapse"),
                F.col("has_null_word"),
                source_format.null_words,
            ).alias(_raw(column.name))
            for number, column in enumerate(source.COLUMNS)
        ),
    )
    read = raw.select("*", *(dates.readings(F.col(_raw(name))).alias(_reading(name)) for name in source.DATES))
    ordered, shipped = (F.col(_reading(name)) for name in source.DATES)
    line_dates = dates.DatePair(
        ordered,
        shipped,
        values.parse(F.col(_raw(source.STATED_DAYS)), source.COLUMNS[source.position(source.STATED_DAYS)]),
        source_format.date_order,
    )
    typed: list[Column] = []
    for column in source.COLUMNS:
        field = F.col(_raw(column.name))
        match column.name:
            case source.EMAIL:
                value = email_hmac(field, F.col("hmac_inner"), F.col("hmac_outer"))
            case source.PASSWORD:
                value = F.lit(None).cast(column.type)
            case name if name in source.DATES:
                value = line_dates.value(F.col(_reading(name)))
            case _:
                value = values.parse(field, column)
        typed.append(value.alias(column.name))
    parsed = read.select("*", *typed, line_dates.is_ambiguous().alias("is_ambiguous"))
    unparsed = F.array_compact(
        F.array(
            *(
                F.when(F.col(_raw(column.name)).isNotNull() & F.col(column.name).isNull(), column.name)
                for column in source.COLUMNS
                if column.type != source.TEXT
            )
        )
    )
    return parsed.select(
        *("source_file", "source_file_modified_at", "text", "private"),
        *("broken_quoting", "line_reasons"),
        unparsed.alias("unparsed"),
        F.array_compact(F.array(*_date_reasons(source_format))).alias("date_reasons"),
        *source.NAMES,
        values.row_hash(source.NAMES).alias("row_hash"),
    )


def _date_reasons(source_format: SourceFormat) -> list[Column]:
    """Return what is wrong with the dates of a line, or NULLs."""
    stand_ins = {name: dates.stands_for_none(F.col(_raw(name))) for name in source.DATES}
    named = F.coalesce(*stand_ins.values()).isNotNull()
    all_parse = reduce(and_, (F.col(_raw(name)).isNull() | F.col(name).isNotNull() for name in source.DATES))
    # Where its file has no order, an ambiguous date is on no known day.
    is_known = ~named & ~(F.col("is_ambiguous") & F.col("date_order").isNull())
    bounds = dates.out_of_bounds(F.col(source.ORDER_DATE), _landing_date(), source_format)
    return [
        *(F.concat(F.lit(f"{name} stands for no date: "), stand_in) for name, stand_in in stand_ins.items()),
        F.when(F.col("is_ambiguous") & all_parse & ~named, dates.AMBIGUOUS),
        *(F.when(is_known, reason) for reason in bounds),
    ]


def _landing_date() -> Column:
    return F.to_date(F.substring("source_file", 4, 10))


def _raw(name: str) -> str:
    return f"raw_{name}"


def _reading(name: str) -> str:
    return f"reading_{name}"


def _judge(parsed: DataFrame, rules: Sequence[RowRule]) -> DataFrame:
    """Add `reasons`, and `complete`: whether the line was parsed in full."""
    type_names = F.create_map(*(F.lit(part) for column in source.COLUMNS for part in (column.name, column.type_name)))
    does_not_parse = F.transform(
        "unparsed", lambda name: F.concat(name, F.lit(" does not parse as "), F.element_at(type_names, name))
    )
    # What is not there because its line or its field could not be read has its reason already.
    readable = F.size("line_reasons") == 0
    broken = [
        F.when(
            readable & rule.broken() & ~F.arrays_overlap("unparsed", F.array(*map(F.lit, rule.columns))),
            F.lit(rule.reason),
        )
        for rule in rules
    ]
    return parsed.select(
        *("source_file", "source_file_modified_at", "text", "private", "broken_quoting"),
        *source.NAMES,
        "row_hash",
        (readable & (F.size("unparsed") == 0)).alias("complete"),
        F.concat(
            F.col("line_reasons"),
            does_not_parse,
            F.filter("date_reasons", lambda _: readable),
            F.array_compact(F.array(*broken)),
        ).alias("reasons"),
    )


def without_repetitions(judged: DataFrame, stamp: BuildStamp) -> DataFrame:
    """Mark repetitions within a file, mask, and add the audit columns.

    Both windows share one partitioning, so there is one shuffle. Of exact duplicates the line with the least text
    stays, whatever order they are read in.
    """
    item = Window.partitionBy("source_file", "order_item_id")
    ordered = item.orderBy("complete", "row_hash", "text")
    duplicate = (
        F.col("complete")
        & F.lag("complete", 1, False).over(ordered)
        & F.col("row_hash").eqNullSafe(F.lag("row_hash").over(ordered))
    )
    numbered = judged.select("*", duplicate.alias("is_duplicate"))
    marked = numbered.withColumn(
        "reasons",
        F.when(F.col("is_duplicate"), F.array_append("reasons", F.lit(EXACT_DUPLICATE))).otherwise(F.col("reasons")),
    )
    passing = F.count(F.when(F.size("reasons") == 0, True)).over(item)
    final = marked.withColumn("passing", passing).withColumn(
        "reasons",
        F.when((F.size("reasons") == 0) & (F.col("passing") > 1), F.array(F.lit(REPEATED_ITEM))).otherwise(
            F.col("reasons")
        ),
    )
    valid = F.size("reasons") == 0
    quarantined = _with_fields(final, ~valid)
    made = {
        **{name: F.when(valid, F.col(name)) for name in (*source.NAMES, "row_hash")},
        "landing_date": _landing_date(),
        "build_id": F.lit(stamp.build_id),
        "job_run_id": F.lit(stamp.job_run_id),
        "code_version": F.lit(stamp.code_version),
        "built_at": F.lit(stamp.built_at),
        "line": F.when(~valid, _masked()),
    }
    return quarantined.select(*(made.get(name, F.col(name)).alias(name) for name in LANDED_LINES.names))


def _with_fields(lines: DataFrame, condition: Column) -> DataFrame:
    """Add `raw` and `surplus`, from which `_masked` makes the masked line, where the condition holds.

    Separate columns: masking looks at both for every field, and would split the line again for each.
    """
    raw = F.when(condition, line_text.raw_fields(F.col("text")))
    return lines.withColumn("raw", raw).withColumn("surplus", F.size("raw") - _WIDTH)


def _masked() -> Column:
    private = [F.element_at("private", number + 1) for number in range(len(source.MASKED))]
    return masking.masked_line(F.col("raw"), F.col("surplus"), F.col("broken_quoting"), private)
