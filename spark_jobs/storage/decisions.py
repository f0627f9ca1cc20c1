"""`ops.decisions`: what people decided about builds that a gate rejected, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DateType, StringType, StructType, TimestampType

from spark_jobs.storage.delta import create_table, is_concurrency_conflict, is_missing
from spark_jobs.storage.spark_connect import query
from spark_jobs.tables.spec import TableSpec, Write, column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from spark_jobs.storage.lakehouse import Lakehouse
    from spark_jobs.storage.verdicts import Finding

R = TypeVar("R")
PUBLISH, REJECT = "publish", "reject"
BrokenRule = tuple[str, str, date | None]
"""Table without its schema, rule, and landing date."""
_BROKEN_RULE = StructType().add("table", StringType()).add("rule", StringType()).add("landing_date", DateType())
DECISIONS = TableSpec(
    name="ops.decisions",
    comment="What people decided about rejected builds: one row per build about which somebody has decided",
    grain="one row per build about which somebody has decided",
    schema=StructType(
        [
            column("layer", StringType(), "bronze, silver or gold", nullable=False),
            column("build_id", StringType(), "Build that the gate rejected", nullable=False),
            column("fingerprint", StringType(), "Fingerprint for which the decision holds", nullable=False),
            column("interval_start", DateType(), "First landing date of the run", nullable=False),
            column("interval_end", DateType(), "First landing date after the run", nullable=False),
            column("decision", StringType(), "publish (anyway) or reject", nullable=False),
            column("reason", StringType(), "Why, in the words of who decided", nullable=False),
            column("decided_by", StringType(), "Who decided", nullable=False),
            column("decided_at", TimestampType(), "When", nullable=False),
            column("broken_rules", ArrayType(_BROKEN_RULE), "The rules that failed, by landing date", nullable=False),
            column(
                "confirmed_incidents",
                ArrayType(DateType()),
                "Landing dates on which something was wrong indeed: bands of metrics leave them out",
                nullable=False,
            ),
            column("job_run_id", StringType(), "Job run that recorded it", nullable=False),
        ]
    ),
    natural_key=("layer", "build_id", "fingerprint"),
    write=Write.APPEND,
    statistics_columns=("layer", "build_id"),
)


@dataclass(frozen=True)
class Decision:
    """One row of ops.decisions."""

    layer: str
    build_id: str
    fingerprint: str
    interval_start: date
    interval_end: date
    decision: str
    reason: str
    decided_by: str
    decided_at: datetime
    """In UTC."""
    broken_rules: tuple[BrokenRule, ...]
    confirmed_incidents: tuple[date, ...]
    job_run_id: str

    @property
    def text(self) -> str:
        """One sentence for people."""
        verb = "to publish anyway" if self.decision == PUBLISH else "to reject it"
        return f"{self.decided_by} decided {verb} on {self.decided_at:%Y-%m-%d at %H:%M} UTC: {self.reason}"

    def as_dict(self) -> dict[str, Any]:
        """Return what the verdict file shows."""
        shown = ("decision", "reason", "decided_by", "decided_at", "confirmed_incidents", "fingerprint")
        content = {name: value for name, value in asdict(self).items() if name in shown}
        return content | {"decided_at": self.decided_at.isoformat(), "text": self.text}


def broken_rules(failures: Iterable[Finding]) -> tuple[BrokenRule, ...]:
    """Return the rules that failed, each with its landing date."""
    return tuple(
        (one.table, one.rule, date.fromisoformat(one.landing_date) if one.landing_date else None) for one in failures
    )


class Decisions:
    """Reads and inserts decisions. A table that does not exist holds none."""

    def __init__(self, lakehouse: Lakehouse) -> None:
        self._spark = lakehouse.spark
        self._name = lakehouse.name(DECISIONS.name)

    def create(self) -> None:
        create_table(self._spark, self._name, DECISIONS)

    def about(self, layer: str, build_id: str, fingerprint: str) -> Decision | None:
        """Return the decision on exactly this build."""

        def read() -> Decision | None:
            about = (F.col("layer") == layer) & (F.col("build_id") == build_id) & (F.col("fingerprint") == fingerprint)
            # As text in the session's time zone, UTC: the client would give its own to a timestamp.
            at = F.date_format("decided_at", "yyyy-MM-dd'T'HH:mm:ss.SSSSSS")
            decided = self._spark.table(self._name).select(*DECISIONS.columns).where(about)
            rows = decided.withColumn("decided_at", at).collect()
            return _decision(rows[0].asDict(recursive=True)) if rows else None

        return self._read(read, None)

    def overruled(self) -> set[BrokenRule]:
        """Return the broken rules that people have overruled."""

        def read() -> set[BrokenRule]:
            rules = self._spark.table(self._name).where(F.col("decision") == PUBLISH).select(F.explode("broken_rules"))
            return {tuple(row["col"]) for row in rules.collect()}

        return self._read(read, set())

    def confirmed_incidents(self) -> DataFrame:
        """Return the landing dates that people have confirmed as incidents: landing_date. The table must exist."""
        return self._spark.table(self._name).select(F.explode("confirmed_incidents").alias("landing_date")).distinct()

    def insert(self, decision: Decision) -> bool:
        """Insert a decision. Return whether it was inserted: not if this build has one already."""
        self.create()
        row, moment = asdict(decision), decision.decided_at.isoformat()
        row |= {name: list(row[name]) for name in ("broken_rules", "confirmed_incidents")}  # Spark takes no tuples
        schema = StructType([one for one in DECISIONS.schema.fields if one.name != "decided_at"])
        values = tuple(row[name] for name in schema.names)
        frame = self._spark.createDataFrame([values], schema).withColumn("decided_at", F.to_timestamp(F.lit(moment)))
        same = " AND ".join(f"decided.{name} = next.{name}" for name in DECISIONS.natural_key)
        listed = ", ".join(DECISIONS.columns)  # others may have added columns
        inserted = ", ".join(f"next.{name}" for name in DECISIONS.columns)
        try:
            result = query(
                self._spark,
                f"MERGE INTO {self._name} AS decided USING {{row}} AS next ON {same}"  # noqa: S608 - a checked name
                f" WHEN NOT MATCHED THEN INSERT ({listed}) VALUES ({inserted})",
                row=frame,
            ).collect()
        except PySparkException as error:
            if is_concurrency_conflict(error):
                return False
            raise
        return bool(result[0]["num_inserted_rows"])

    def _read(self, read: Callable[[], R], nothing: R) -> R:
        try:
            return read()
        except PySparkException as error:
            if is_missing(error):
                return nothing
            raise


def _decision(row: dict[str, Any]) -> Decision:
    return Decision(
        **{
            **row,
            "decided_at": datetime.fromisoformat(row["decided_at"] + "+00:00"),
            "broken_rules": tuple((one["table"], one["rule"], one["landing_date"]) for one in row["broken_rules"]),
            "confirmed_incidents": tuple(row["confirmed_incidents"]),
        }
    )
