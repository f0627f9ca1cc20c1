"""ops.publications: a layer's only truth about what is published (design, section 9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.delta import create_table, is_concurrency_conflict
from spark_jobs.tables.names import LAYER_BELOW, Tables

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, SparkSession

COLUMNS = """
    layer STRING NOT NULL COMMENT 'bronze, silver or gold',
    seq BIGINT NOT NULL COMMENT 'number of the publication: 1, 2, 3, ... without a gap in each layer',
    base_seq BIGINT NOT NULL COMMENT 'the publication of the same layer on which it was built, 0 for none',
    below_seq BIGINT COMMENT 'the publication of the layer below from which it was built',
    interval_start DATE COMMENT 'first landing date of the run; none for maintenance',
    interval_end DATE COMMENT 'first landing date after the run',
    tables MAP<STRING, BIGINT> NOT NULL COMMENT 'table -> published Delta version',
    row_counts MAP<STRING, BIGINT> NOT NULL COMMENT 'table -> rows at that version',
    fingerprint STRING NOT NULL COMMENT 'of the build that was audited and published',
    gate_fingerprint STRING NOT NULL COMMENT 'of the build that publish was asked for; another one if it built again',
    build_id STRING NOT NULL,
    job_run_id STRING NOT NULL COMMENT 'job run that published',
    code_version STRING NOT NULL,
    published_at TIMESTAMP NOT NULL
"""


@dataclass(frozen=True)
class Publication:
    """One row of ops.publications."""

    layer: str
    seq: int
    base_seq: int
    below_seq: int | None
    interval_start: date | None
    interval_end: date | None
    tables: dict[str, int]
    row_counts: dict[str, int]
    fingerprint: str
    gate_fingerprint: str
    build_id: str
    job_run_id: str
    code_version: str

    @property
    def interval(self) -> Interval | None:
        """The landing dates of the run; None for maintenance, which changes no data."""
        if self.interval_start is None or self.interval_end is None:
            return None
        return Interval(self.interval_start, self.interval_end)


class Publications:
    """Reads and appends publications of all layers."""

    def __init__(self, spark: SparkSession, tables: Tables) -> None:
        self._spark = spark
        self._tables = tables
        self._name = tables.name("ops.publications")

    def create(self) -> None:
        comment = "What is published, of which the newest of a layer counts"
        create_table(self._spark, self._name, COLUMNS, comment, ("layer", "seq"))

    def newest(self, layer: str) -> Publication | None:
        rows = self._of(layer).orderBy(F.desc("seq")).limit(1).collect()
        return _publication(rows[0]) if rows else None

    def newest_by_layer(self) -> dict[str, Publication]:
        """The newest of each layer that has one."""
        table = self._spark.table(self._name)
        newest = table.groupBy("layer").agg(F.max_by(F.struct(*table.columns), "seq").alias("newest"))
        return {row["layer"]: _publication(row) for row in newest.select("newest.*").collect()}

    def get(self, layer: str, seq: int) -> Publication:
        rows = self._of(layer).where(F.col("seq") == seq).collect()
        if not rows:
            raise LookupError(f"{self._name} has no publication {seq} of {layer}")
        return _publication(rows[0])

    def since(self, layer: str, seq: int) -> list[Publication]:
        """Those of the layer after `seq`, oldest first."""
        return [_publication(row) for row in self._of(layer).where(F.col("seq") > seq).orderBy("seq").collect()]

    def with_fingerprint(self, layer: str, fingerprint: str) -> Publication | None:
        """The publication of the build with that fingerprint, or of what was built again in its place."""
        rows = self._of(layer).where(F.col("gate_fingerprint") == fingerprint).orderBy("seq").limit(1).collect()
        return _publication(rows[0]) if rows else None

    def append(self, publication: Publication) -> bool:
        """Whether it was inserted; not if another run took its number first."""
        row = self._spark.createDataFrame(
            [vars(publication)], self._spark.table(self._name).drop("published_at").schema
        )
        row.createOrReplaceTempView("next_publication")
        columns = ", ".join(row.columns)
        try:
            result = self._spark.sql(
                f"MERGE INTO {self._name} AS published USING next_publication AS next"  # noqa: S608 - a checked name
                " ON published.layer = next.layer AND published.seq = next.seq"
                f" WHEN NOT MATCHED THEN INSERT ({columns}, published_at)"
                f" VALUES ({', '.join(f'next.{column}' for column in row.columns)}, current_timestamp())"
            ).collect()
        except Exception as error:
            if is_concurrency_conflict(error):
                return False
            raise
        return bool(result[0]["num_inserted_rows"])

    def inputs_of(self, layer: str) -> Publication | None:
        """The publication of the layer below from which the newest of this layer was built."""
        newest = self.newest(layer)
        if newest is None or newest.below_seq is None:
            return None
        return self.get(LAYER_BELOW[layer], newest.below_seq)

    def _of(self, layer: str) -> DataFrame:
        return self._spark.table(self._name).where(F.col("layer") == layer)


@dataclass(frozen=True)
class PublishedDates:
    """Landing dates of bronze: `dates` is a condition on `landing_date`.

    `are_latest` says that every date published before ends where the first of them begins, or earlier.
    """

    dates: Column
    are_latest: bool


def published_since(publications: Publications, after: int, until: int) -> PublishedDates:
    """The landing dates of the bronze publications later than `after`, up to `until`."""
    intervals: dict[bool, list[Interval]] = {True: [], False: []}
    for publication in publications.since("bronze", 0):
        if publication.seq <= until and (interval := publication.interval):
            intervals[publication.seq > after].append(interval)
    condition = F.lit(False)
    for interval in intervals[True]:
        condition = condition | (
            (F.col("landing_date") >= F.lit(interval.start)) & (F.col("landing_date") < F.lit(interval.end))
        )
    begin = min((interval.start for interval in intervals[True]), default=None)
    are_latest = begin is not None and all(interval.end <= begin for interval in intervals[False])
    return PublishedDates(condition, are_latest)


def _publication(row: Row) -> Publication:
    fields = row.asDict()
    del fields["published_at"]
    return Publication(**fields)
