"""`make query SQL="select ..."`: a query's result as a table, or as CSV or JSON with nothing else on standard output.

The query comes through the environment, so that no shell and no make interprets it.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from laptop.laptop_state import LaptopState
from laptop.spark_client import first_line, spark_session
from machine.command_line import UserError, run_command

FORMATS = ("table", "csv", "json")
TABLE_ROWS = 200


def text_of(value: Any) -> str:
    """Write a value as text, the same on every machine: decimals exact, times in UTC and ISO form, NULL as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, (list, tuple, dict)):
        return json_of(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    return str(value)


def json_of(value: Any) -> str:
    """Write a value as JSON; a decimal is a number with all its digits, which json.dumps cannot write."""
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return json.dumps(value) if value == value and abs(value) != float("inf") else json.dumps(str(value))
    if hasattr(value, "asDict"):
        value = value.asDict()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {json_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(json_of(item) for item in value) + "]"
    if isinstance(value, (datetime, date, timedelta)):
        return json.dumps(text_of(value), ensure_ascii=False)
    return json.dumps(text_of(value), ensure_ascii=False)


def csv_lines(columns: list[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Yield the lines of a CSV file with a header."""
    for row in [columns], ([text_of(value) for value in row] for row in rows):
        for values in row:
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerow(values)
            yield buffer.getvalue()


def json_lines(columns: list[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Yield the lines of a JSON array with one object per row. Raises UserError where two columns have one name."""
    if len(set(columns)) < len(columns):
        raise UserError("two columns of the result have the same name, which JSON cannot hold; rename one with AS.")
    separator = "[\n"
    for row in rows:
        yield f"{separator}  {json_of(dict(zip(columns, row, strict=True)))}"
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def print_table(columns: list[str], rows: list[Any], more: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    numeric = (int, float, Decimal)
    for number, column in enumerate(columns):
        values = [row[number] for row in rows if row[number] is not None]
        right = bool(values) and all(isinstance(value, numeric) and not isinstance(value, bool) for value in values)
        table.add_column(Text(column), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("NULL", style="dim") if value is None else Text(text_of(value)) for value in row))
    # A pipe has no width; cutting columns there would lose data.
    console = Console() if sys.stdout.isatty() else Console(width=max(120, 24 * len(columns)))
    if columns:
        console.print(table)
    console.print(f"the first {len(rows)} rows; FORMAT=csv gives all" if more else f"{len(rows)} rows", style="dim")


def main() -> int:
    sql = os.environ.get("SQL", "").strip().rstrip(";")
    if not sql:
        raise UserError('there is no query; give one: make query SQL="select * from gold.customers360 limit 5"')
    return answer(sql)


def answer(sql: str) -> int:
    """Print the result of a query in the form that FORMAT names. Raises UserError."""
    form = os.environ.get("FORMAT") or "table"
    if form not in FORMATS:
        raise UserError(f"FORMAT={form} is not one of {', '.join(FORMATS)}.")
    # Timestamps come as local time; here that is UTC, as in the tables.
    os.environ["TZ"] = "UTC"
    time.tzset()
    # Spark's client logs each refused query with its stack traces; the sentence at the end is enough.
    logging.disable(logging.CRITICAL)
    _answer(LaptopState.from_environment(), sql, form)
    return 0


def _answer(state: LaptopState, sql: str, form: str) -> None:
    from pyspark.errors import PySparkException

    with spark_session(state) as spark:
        try:
            frame = spark.sql(sql)
            columns = list(frame.columns)
            if form == "table":
                rows = frame.limit(TABLE_ROWS + 1).collect() if columns else []
                print_table(columns, rows[:TABLE_ROWS], len(rows) > TABLE_ROWS)
            else:
                lines = csv_lines if form == "csv" else json_lines
                for line in lines(columns, frame.toLocalIterator() if columns else []):
                    sys.stdout.write(line)
                sys.stdout.flush()
        except PySparkException as error:
            raise UserError(first_line(error)) from None


if __name__ == "__main__":
    sys.exit(run_command(main))
