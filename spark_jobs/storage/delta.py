"""The SQL of Delta tables: versions, changes, creation, restore."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from spark_jobs.storage.spark_connect import query
from spark_jobs.storage.sql_literal import literal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from spark_jobs.tables.spec import TableSpec

RETENTION_DAYS = 90
"""How long a new table keeps deleted files and logs; maintenance sets what its parameter says."""

_CHANGE_FEED = {"delta.enableChangeDataFeed": "true"}
_MISSING = "TABLE_OR_VIEW_NOT_FOUND"
_NO_SUCH_VERSION = "DELTA_VERSION_NOT_FOUND"
_BEYOND_EVERY_VERSION = 2**62
# Delta's error conditions: https://docs.databricks.com/en/error-messages/error-classes.html
_UNREADABLE = (
    *(_MISSING, _NO_SUCH_VERSION, "DELTA_CANNOT_RESTORE_TABLE_VERSION", "DELTA_UNSUPPORTED_TIME_TRAVEL"),
    *("DELTA_LOG_FILE_NOT_FOUND", "DELTA_STATE_RECOVER_ERROR", "DELTA_TRUNCATED_TRANSACTION_LOG", "DELTA_TIME_TRAVEL"),
    *("FAILED_READ_FILE", "DELTA_FILE_NOT_FOUND", "DELTA_MISSING_FILES", "PATH_NOT_FOUND"),
    *("DELTA_MISSING_CHANGE_DATA", "DELTA_CHANGE_DATA_F", "DELTA_CHANGE_TABLE_FEED_DISABLED", "DELTA_CDC"),
)
_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]")
_IN_ANOTHER_THREAD = "Exception thrown in awaitResult"
_VIOLATIONS = ("DELTA_VIOLATE_CONSTRAINT", "DELTA_NOT_NULL_CONSTRAINT_VIOLATED")
_CONFLICTS = ("DELTA_CONCURRENT", "DELTA_METADATA_CHANGED", "DELTA_PROTOCOL_CHANGED")
_ALREADY_THERE = ("TABLE_OR_VIEW_ALREADY_EXISTS", "SCHEMA_ALREADY_EXISTS", "DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION")


def condition(error: BaseException) -> str:
    """Return the error condition of a Spark error, such as "DELTA_CONCURRENT_APPEND.WITHOUT_HINT"; "" without one.

    Where another thread of Spark has failed, as in a broadcast or a subquery, only the message has the condition.
    """
    if not isinstance(error, PySparkException):
        return ""
    found = error.getCondition() or next(iter(_CONDITION.findall(str(error))), "")
    return str(found)


def is_concurrency_conflict(error: BaseException) -> bool:
    """Return whether Delta refused a commit because another one came first (optimistic concurrency)."""
    return condition(error).startswith(_CONFLICTS)


def is_missing(error: BaseException) -> bool:
    """Return whether a statement names a table that does not exist."""
    return condition(error) == _MISSING


def is_unreadable(error: BaseException) -> bool:
    """Return whether a version of a table, or the changes since one, can no longer be read.

    Files or log entries were removed, the change feed was switched off or has another schema, or the table is another
    one than before.
    """
    if not isinstance(error, PySparkException):
        return False
    # An error of a broadcast or a subquery may have a condition of its own, and the reason in its message.
    return any(found.startswith(_UNREADABLE) for found in (condition(error), *_CONDITION.findall(str(error))))


def hides_its_reason(error: BaseException) -> bool:
    """Return whether an error of Spark Connect says only that another thread of Spark has failed.

    Errors of subqueries do. The reason may be that something can no longer be read, or any other.
    """
    return isinstance(error, PySparkException) and not is_unreadable(error) and _IN_ANOTHER_THREAD in str(error)


def has_more_columns(error: BaseException) -> bool:
    """Return whether rows were refused since the table has more columns than these."""
    return condition(error).startswith("DELTA_INSERT_COLUMN_ARITY_MISMATCH")


def violated_constraint(error: BaseException) -> str | None:
    """Return what a constraint says that refused a row, without the row; None for any other error."""
    if not condition(error).startswith(_VIOLATIONS):
        return None
    return str(error).strip().splitlines()[0].partition("] ")[2].removesuffix(":")


def head_version(spark: SparkSession, name: str) -> int | None:
    """Return the newest version; None where there is no table.

    Delta is asked for a version beyond every other. Its refusal names the newest one. DESCRIBE HISTORY takes
    ten times as long.
    """
    try:
        at_version(spark, name, _BEYOND_EVERY_VERSION).schema  # noqa: B018 - asks the server
    except PySparkException as error:
        if is_missing(error):
            return None
        if condition(error) == _NO_SUCH_VERSION:
            return int((error.getMessageParameters() or {})["latest"])
        raise
    raise RuntimeError(f"{name} claims to have version {_BEYOND_EVERY_VERSION}")


def at_version(spark: SparkSession, name: str, version: int) -> DataFrame:
    """Return the table at a version. The server is not asked before the frame is used."""
    return spark.read.option("versionAsOf", int(version)).table(name)


def changed_keys(spark: SparkSession, name: str, after: int, until: int, key: str) -> DataFrame:
    """Return the distinct `key`s of rows that a commit later than version `after`, up to `until`, wrote or removed.

    From the table's change feed, so unchanged rows are not read. A key may be among them without any change.
    """
    if after == until:
        return at_version(spark, name, until).select(key).where("false")
    changes = spark.read.option("readChangeFeed", "true").option("startingVersion", after + 1)
    return changes.option("endingVersion", until).table(name).select(key).distinct()


def restore(spark: SparkSession, name: str, version: int) -> None:
    spark.sql(f"RESTORE TABLE {name} TO VERSION AS OF {int(version)}")


def overwrite(spark: SparkSession, name: str, column: str) -> str:
    """Return the beginning of a statement that replaces all rows of a table, whatever they hold in a column.

    INSERT OVERWRITE takes clustering away. REPLACE WHERE leaves it, and reads the rows that it removes.
    """
    (detail,) = query(spark, f"DESCRIBE DETAIL {name}").collect()
    if not detail["clusteringColumns"]:
        return f"INSERT OVERWRITE {name}"
    return f"INSERT INTO {name} REPLACE WHERE `{column}` IS NULL OR `{column}` IS NOT NULL"


def select_list(columns: Sequence[str], spec: TableSpec) -> str:
    """List the columns of a table for a SELECT of rows of its specification: columns that others added are NULL."""
    return ", ".join(f"`{column}`" if column in spec.columns else "NULL" for column in columns)


def create_schema(spark: SparkSession, schema: str) -> None:
    """Create a schema that does not exist. Whoever runs the job need not be allowed to create one that does."""
    if not spark.catalog.databaseExists(schema):
        _retry_creation(lambda: spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}"))


def create_table(spark: SparkSession, name: str, spec: TableSpec, *, replaces: bool = False) -> None:
    """Create the table of a specification, empty, where it does not exist, or in place of another (`replaces`).

    Left to itself, Delta keeps statistics of the first 32 columns. In a table that is merged into, changed rows are
    marked as deleted instead of rewriting the whole file (deletion vectors).
    """
    if not replaces and spark.catalog.tableExists(name):
        return
    create_schema(spark, name.rpartition(".")[0])
    properties = {
        **_CHANGE_FEED,
        "delta.enableDeletionVectors": str(spec.merge_key is not None).lower(),
        "delta.dataSkippingStatsColumns": ",".join(spec.statistics_columns),
        **_retention(RETENTION_DAYS),
    }
    create = "CREATE OR REPLACE TABLE" if replaces else "CREATE TABLE IF NOT EXISTS"
    columns, comment = ddl(spec.schema), literal(spec.comment)
    statement = f"{create} {name} ({columns}) USING delta COMMENT {comment} TBLPROPERTIES ({_listed(properties)})"
    _retry_creation(lambda: spark.sql(statement))


def keep_settings(spark: SparkSession, name: str, retention_days: int) -> None:
    """Let a table keep deleted files and logs for that long, and its change feed; no commit where it does already."""
    _set_properties(spark, name, _CHANGE_FEED | _retention(retention_days))


def keep_change_feed(spark: SparkSession, name: str) -> bool:
    """Let a table write its change feed, if others have switched it off. Return whether that took a commit."""
    return _set_properties(spark, name, _CHANGE_FEED)


def _set_properties(spark: SparkSession, name: str, properties: dict[str, str]) -> bool:
    found = {row["key"]: row["value"] for row in spark.sql(f"SHOW TBLPROPERTIES {name}").collect()}
    if wanted := {key: value for key, value in properties.items() if found.get(key) != value}:
        spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ({_listed(wanted)})")
    return bool(wanted)


def _listed(properties: dict[str, str]) -> str:
    return ", ".join(f"'{key}' = {literal(value)}" for key, value in properties.items())


def written(spark: SparkSession, name: str) -> dict[int, datetime]:
    """Return when each version of a table was written, as far back as its log goes."""
    history = spark.sql(f"DESCRIBE HISTORY {name}").select("version", "timestamp").collect()
    return {int(row["version"]): row["timestamp"].replace(tzinfo=UTC) for row in history}


def _retention(days: int) -> dict[str, str]:
    keys = ("delta.deletedFileRetentionDuration", "delta.logRetentionDuration")
    return dict.fromkeys(keys, f"interval {days} days")


def ddl(schema: StructType) -> str:
    """Write the columns of a schema as SQL, comments included."""
    columns = []
    for field in schema.fields:
        comment = field.metadata.get("comment", "")
        null = "" if field.nullable else " NOT NULL"
        columns.append(
            f"`{field.name}` {field.dataType.simpleString()}{null}"
            + (f" COMMENT {literal(comment)}" if comment else "")
        )
    return ", ".join(columns)


def _retry_creation(create: Callable[[], object], tries: int = 5) -> None:
    """Retry a creation: of two runs that create the same thing at the same time, Spark may refuse one although the
    thing then exists."""
    for attempt in range(1, tries + 1):
        try:
            create()
        except PySparkException as error:
            is_race = is_concurrency_conflict(error) or condition(error).startswith(_ALREADY_THERE)
            if attempt == tries or not is_race:
                raise
            time.sleep(0.2 * attempt)
        else:
            return
