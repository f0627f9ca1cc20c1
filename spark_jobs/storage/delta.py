"""The few things said to Delta tables in SQL: heads, versions, creation, restore (design, sections 9 and 11)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

KEPT_FOR = "interval 90 days"
"""How long published tables keep deleted files and logs."""

Answer = TypeVar("Answer")
_MISSING = "TABLE_OR_VIEW_NOT_FOUND"
_CONFLICTS = ("DELTA_CONCURRENT", "CONCURRENT_", "DELTA_METADATA_CHANGED", "DELTA_PROTOCOL_CHANGED", "ConcurrentAppend")
_NO_SUCH_VERSION = "DELTA_VERSION_NOT_FOUND"
_UNREADABLE = (_NO_SUCH_VERSION, "DELTA_CANNOT_RESTORE", "DELTA_LOG_FILE_NOT_FOUND", "DELTA_TIME_TRAVEL",
               "FAILED_READ_FILE", _MISSING, "VersionNotFound")  # fmt: skip


@dataclass(frozen=True)
class Head:
    """The newest state of a Delta table."""

    table_id: str
    version: int


def table_id(spark: SparkSession, name: str) -> str | None:
    """Two tables that were made under one name differ in it (design, section 11); None where there is no table."""
    return _unless_missing(lambda: str(spark.sql(f"DESCRIBE DETAIL {name}").collect()[0]["id"]))


def head_version(spark: SparkSession, name: str, expected: int | None = None) -> int | None:
    """The newest version; None where there is no table.

    Where it is the one that is `expected`, as it nearly always is, it is found out in a tenth of the time.
    """
    if expected is not None and can_read(spark, name, expected):
        beyond = _not_opened(spark, name, expected + 1)
        if beyond and _NO_SUCH_VERSION in beyond:
            return expected
    return _unless_missing(lambda: int(spark.sql(f"DESCRIBE HISTORY {name} LIMIT 1").collect()[0]["version"]))


def head(spark: SparkSession, name: str, expected: int) -> Head | None:
    """None where there is no table; `expected` as for `head_version`."""
    identity, version = table_id(spark, name), head_version(spark, name, expected)
    return None if identity is None or version is None else Head(identity, version)


def at_version(spark: SparkSession, name: str, version: int) -> DataFrame:
    """Nothing is asked of the server before the frame is used."""
    return spark.read.option("versionAsOf", int(version)).table(name)


def changed_keys(spark: SparkSession, name: str, after: int, until: int, key: str) -> DataFrame:
    """The distinct `key`s of rows that a commit later than version `after`, up to `until`, wrote or removed.

    From the table's change feed, so what did not change is not read. A key may be among them without any change.
    """
    if after == until:
        return at_version(spark, name, until).select(key).where("false")
    changes = spark.read.option("readChangeFeed", "true").option("startingVersion", after + 1)
    return changes.option("endingVersion", until).table(name).select(key).distinct()


def can_read(spark: SparkSession, name: str, version: int) -> bool:
    """Whether Delta still opens that version, as its log allows; whether each file is there shows when it is read."""
    return _not_opened(spark, name, version) is None


def _not_opened(spark: SparkSession, name: str, version: int) -> str | None:
    """Why Delta does not open that version; None where it does."""
    try:
        at_version(spark, name, version).schema  # noqa: B018 - asks the server
    except Exception as error:
        if any(mark in str(error) for mark in _UNREADABLE):
            return str(error)
        raise
    return None


def _unless_missing(ask: Callable[[], Answer]) -> Answer | None:
    try:
        return ask()
    except Exception as error:
        if _MISSING in str(error):
            return None
        raise


def restore(spark: SparkSession, name: str, version: int) -> None:
    spark.sql(f"RESTORE TABLE {name} TO VERSION AS OF {int(version)}").collect()


def create_schema(spark: SparkSession, schema: str) -> None:
    """Where it exists, nothing is said: whoever runs the job may not be allowed to create schemas."""
    if spark.catalog.databaseExists(schema):
        return
    _patiently(lambda: spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}"))


def create_table(
    spark: SparkSession, name: str, columns: str, comment: str, looked_up_by: Sequence[str], *, is_merged: bool = False
) -> None:
    """A published table, empty at version 0, where it does not exist yet.

    Its files tell the least and the greatest value of the columns `looked_up_by`, by which files are skipped. Left to
    itself, Delta takes the first 32 columns of a table. In a table that is merged into, changed rows of a file are
    marked as deleted and not the whole file written anew.
    """
    if spark.catalog.tableExists(name):
        return
    create_schema(spark, name.rpartition(".")[0])
    _patiently(
        lambda: spark.sql(
            f"CREATE TABLE IF NOT EXISTS {name} ({columns}) USING delta COMMENT {_text(comment)}"
            f" TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true',"
            f" 'delta.enableDeletionVectors' = '{str(is_merged).lower()}',"
            f" 'delta.dataSkippingStatsColumns' = {_text(','.join(looked_up_by))},"
            f" 'delta.deletedFileRetentionDuration' = '{KEPT_FOR}',"
            f" 'delta.logRetentionDuration' = '{KEPT_FOR}')"
        )
    )


def ddl(schema: StructType) -> str:
    """The columns of a struct as SQL, comments included."""
    columns = []
    for field in schema.fields:
        comment = field.metadata.get("comment", "")
        null = "" if field.nullable else " NOT NULL"
        columns.append(
            f"`{field.name}` {field.dataType.simpleString()}{null}" + (f" COMMENT {_text(comment)}" if comment else "")
        )
    return ", ".join(columns)


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def is_concurrency_conflict(error: Exception) -> bool:
    """Whether Delta refused a commit because another one came first."""
    return any(mark in str(error) for mark in _CONFLICTS)


def _patiently(create: Callable[[], object], tries: int = 5) -> None:
    """Two runs that create the same thing at once: one may be refused although the thing is there then."""
    for attempt in range(1, tries + 1):
        try:
            create()
        except Exception as error:
            text = str(error)
            known = is_concurrency_conflict(error) or "ALREADY_EXISTS" in text or "NON_EMPTY_LOCATION" in text
            if attempt == tries or not known:
                raise
            time.sleep(0.2 * attempt)
        else:
            return
