"""`ops.publications`: a layer's only truth about what is published."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from pyspark.errors import PySparkException
from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DateType, LongType, MapType, StringType, StructType, TimestampType

from spark_jobs.runtime.errors import PublicationMissing
from spark_jobs.runtime.interval import Interval
from spark_jobs.runtime.table_names import LAYERS, UPSTREAM_LAYER
from spark_jobs.storage.delta import create_table, ddl, is_concurrency_conflict, is_missing
from spark_jobs.storage.spark_connect import query
from spark_jobs.tables.spec import TableSpec, Write, column

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, WindowSpec

    from spark_jobs.storage.lakehouse import Lakehouse

P = ParamSpec("P")
R = TypeVar("R")
_COUNTS = MapType(StringType(), LongType())
PUBLICATIONS = TableSpec(
    name="ops.publications",
    comment="What is published: one row per publication, of which the newest of a layer counts",
    grain="one row per publication",
    schema=StructType(
        [
            column("layer", StringType(), "bronze, silver or gold", nullable=False),
            column("seq", LongType(), "Number of the publication: 1, 2, 3, ... in each layer, no gap", nullable=False),
            column("previous_seq", LongType(), "Previous publication of the layer, 0 for none", nullable=False),
            column("upstream_seq", LongType(), "Publication of the upstream layer from which it was built"),
            column("interval_start", DateType(), "First landing date of the run; none for maintenance"),
            column("interval_end", DateType(), "First landing date after the run"),
            column("tables", _COUNTS, "Table -> published Delta version", nullable=False),
            column("row_counts", _COUNTS, "Table -> rows at that version", nullable=False),
            column("fingerprint", StringType(), "Of the build that was audited and published", nullable=False),
            column("gate_fingerprint", StringType(), "Of the build that publish was asked for", nullable=False),
            column("build_id", StringType(), "Build that was published", nullable=False),
            column("job_run_id", StringType(), "Job run that published", nullable=False),
            column("code_version", StringType(), "Version of the code that published", nullable=False),
            column("open_dates", ArrayType(DateType()), "Published landing dates that were still being delivered"),
            column("published_at", TimestampType(), "When the row was inserted", nullable=False),
        ]
    ),
    natural_key=("layer", "seq"),
    write=Write.APPEND,
    statistics_columns=("layer", "seq"),
)


@dataclass(frozen=True)
class Publication:
    """One row of ops.publications."""

    layer: str
    seq: int
    previous_seq: int
    upstream_seq: int | None
    interval_start: date | None
    interval_end: date | None
    tables: dict[str, int]
    row_counts: dict[str, int]
    fingerprint: str
    gate_fingerprint: str
    build_id: str
    job_run_id: str
    code_version: str
    open_dates: tuple[date, ...] = ()
    """Of bronze: the published landing dates that were still being delivered when they were built."""

    @property
    def interval(self) -> Interval | None:
        """The landing dates of the run; None for maintenance, which changes no data."""
        if self.interval_start is None or self.interval_end is None:
            return None
        return Interval(self.interval_start, self.interval_end)


@dataclass(frozen=True)
class LayerState:
    """What is published of a layer, as a publish needs it."""

    newest: Publication | None
    same_build: Publication | None
    """The publication of the build with the fingerprint that was asked for, or of the rebuild that took its place."""
    dates_end: date | None
    """The first landing date after all that the layer's runs have published; None where none has."""
    allowed_by: dict[str, Any] | None = None
    """The verdict on the build, as its JSON file has it, where it is a success."""


@dataclass(frozen=True)
class Progress:
    """How far the layers have come."""

    bronze: Publication | None
    """Its newest publication."""
    pending: Interval | None
    """An interval around the landing dates that bronze or silver has published, and from which the next layer was not
    built yet; None for none."""


@dataclass(frozen=True)
class PublishedInputs:
    """What a build of a layer starts from."""

    newest: Publication | None
    upstream: Publication | None
    previous_upstream: Publication | None
    """The upstream publication that `newest` was built from."""


def _creating(read: Callable[Concatenate[Publications, P], R]) -> Callable[Concatenate[Publications, P], R]:
    """Create the table where it is missing, and read again by a new frame: Spark still refuses the old one."""

    @wraps(read)
    def reading(publications: Publications, *args: P.args, **options: P.kwargs) -> R:
        try:
            return read(publications, *args, **options)
        except PySparkException as error:
            if not is_missing(error):
                raise
        publications.create()
        return read(publications, *args, **options)

    return reading


class Publications:
    """Reads and appends publications of all layers. Where the table does not exist, it is created at the first read."""

    def __init__(self, lakehouse: Lakehouse) -> None:
        self._spark = lakehouse.spark
        self._name = lakehouse.name(PUBLICATIONS.name)

    def create(self) -> None:
        create_table(self._spark, self._name, PUBLICATIONS)

    def newest(self, layer: str) -> Publication | None:
        return self.state(layer, "").newest

    @_creating
    def newest_by_layer(self) -> dict[str, Publication]:
        """Return the newest of each layer that has one."""
        rows = _with_newest_seq(self._table()).where("seq = newest_seq").collect()
        return {row["layer"]: _publication(row) for row in rows}

    @_creating
    def progress(self) -> Progress:
        """Return how far the layers have come, by one statement.

        What maintenance has published is never pending, since it is the same data.
        """
        is_pending = F.lit(False)
        for layer, upstream_layer in UPSTREAM_LAYER.items():
            is_later = F.col("seq") > F.coalesce(_built_from(layer), F.lit(0))
            is_pending = is_pending | ((F.col("layer") == upstream_layer) & is_later)
        rows = (
            _with_newest_seq(self._table())
            .withColumn("is_pending", is_pending & F.col("interval_start").isNotNull())
            .where((F.col("seq") == F.col("newest_seq")) | F.col("is_pending"))
            .collect()
        )
        bronze = [_publication(row) for row in rows if row["layer"] == "bronze"]
        pending = [row for row in rows if row["is_pending"]]
        start = min((row["interval_start"] for row in pending), default=None)
        end = max((row["interval_end"] for row in pending), default=None)
        return Progress(
            bronze=max(bronze, key=lambda one: one.seq, default=None),
            pending=Interval(start, end) if start and end else None,
        )

    @_creating
    def state(self, layer: str, fingerprint: str, verdict: DataFrame | None = None) -> LayerState:
        """Return what is published of a layer, and the publication of a build, by one statement.

        `verdict` is one row with the column `allowed_by`, such as of Verdicts.newest.
        """
        dates_end = F.max("interval_end").over(Window.partitionBy("layer"))
        found = (
            _with_newest_seq(self._of(layer))
            .withColumn("dates_end", dates_end)
            .where((F.col("seq") == F.col("newest_seq")) | (F.col("gate_fingerprint") == fingerprint))
        )
        rows = (found if verdict is None else verdict.join(found, F.lit(True), "left")).collect()
        published = sorted((_publication(row) for row in rows if row["seq"] is not None), key=lambda one: one.seq)
        same_build = next((one for one in published if one.gate_fingerprint == fingerprint), None)
        return LayerState(
            newest=published[-1] if published else None,
            same_build=same_build,
            dates_end=rows[0]["dates_end"] if rows else None,
            allowed_by=json.loads(rows[0]["allowed_by"]) if verdict is not None and rows[0]["allowed_by"] else None,
        )

    @_creating
    def inputs(self, layer: str) -> PublishedInputs:
        """Return what a build of silver or gold starts from, by one statement."""
        upstream_layer = UPSTREAM_LAYER[layer]
        is_upstream = F.col("layer") == upstream_layer
        rows = (
            _with_newest_seq(self._of(layer, upstream_layer))
            .withColumn("built_from", _built_from(layer))
            .where((F.col("seq") == F.col("newest_seq")) | (is_upstream & (F.col("seq") == F.col("built_from"))))
            .collect()
        )
        published = sorted((_publication(row) for row in rows), key=lambda one: one.seq)
        upstream = {one.seq: one for one in published if one.layer == upstream_layer}
        newest = next((one for one in published if one.layer == layer), None)
        return PublishedInputs(
            newest=newest,
            upstream=upstream[max(upstream)] if upstream else None,
            previous_upstream=upstream.get(newest.upstream_seq or 0) if newest else None,
        )

    @_creating
    def get(self, layer: str, seq: int) -> Publication:
        """Return one publication. Raises PublicationMissing."""
        rows = self._of(layer).where(F.col("seq") == seq).collect()
        if not rows:
            raise self._missing(f"publication {seq} of {layer}")
        return _publication(rows[0])

    @_creating
    def upstream_of(self, layer: str, seq: int) -> Publication:
        """Return the upstream publication from which publication `seq` of a layer was built.

        Raises PublicationMissing.
        """
        upstream_seq = self._of(layer).where(F.col("seq") == seq).select(F.col("upstream_seq").alias("seq"))
        rows = self._of(UPSTREAM_LAYER[layer]).join(upstream_seq, "seq", "left_semi").collect()
        if not rows:
            raise self._missing(f"publication from which publication {seq} of {layer} was built")
        return _publication(rows[0])

    @_creating
    def since(self, layer: str, seq: int) -> list[Publication]:
        """Return those of the layer after `seq`, oldest first."""
        return [_publication(row) for row in self._of(layer).where(F.col("seq") > seq).orderBy("seq").collect()]

    @_creating
    def dates_since(self, after: int, until: int) -> PublishedDates:
        """Return the landing dates of the bronze publications later than `after`, up to `until`."""
        is_old = F.col("seq") <= after
        old_end = F.max(F.when(is_old, F.col("interval_end"))).over(_all_rows())
        rows = (
            self._of("bronze")
            .where(F.col("seq") <= until)
            .select("seq", "interval_start", "interval_end", old_end.alias("old_end"))
            .where(~is_old & F.col("interval_start").isNotNull())
            .orderBy("seq")
            .collect()
        )
        landing_date, condition = F.col("landing_date"), F.lit(False)
        for row in rows:
            start, end = F.lit(row["interval_start"]), F.lit(row["interval_end"])
            condition = condition | ((landing_date >= start) & (landing_date < end))
        begin = min((row["interval_start"] for row in rows), default=None)
        old = rows[0]["old_end"] if rows else None
        return PublishedDates(condition, begin is not None and (old is None or old <= begin))

    def append(self, publication: Publication) -> bool:
        """Insert a publication. Return whether it was inserted: not if another run took its number first."""
        columns = [name for name in PUBLICATIONS.columns if name != "published_at"]
        schema = StructType([PUBLICATIONS.schema[name] for name in columns])
        values = vars(publication) | {"open_dates": list(publication.open_dates)}
        row = self._spark.createDataFrame([values], schema)
        listed = ", ".join(columns)
        inserted = ", ".join(f"next.{name}" for name in columns)
        try:
            result = query(
                self._spark,
                f"MERGE INTO {self._name} AS published USING {{row}} AS next"  # noqa: S608 - a checked name
                " ON published.layer = next.layer AND published.seq = next.seq"
                f" WHEN NOT MATCHED THEN INSERT ({listed}, published_at) VALUES ({inserted}, current_timestamp())",
                row=row,
            ).collect()
        except PySparkException as error:
            if is_concurrency_conflict(error):
                return False
            if not self._add_missing_columns():
                raise
            return self.append(publication)
        return bool(result[0]["num_inserted_rows"])

    def _add_missing_columns(self) -> bool:
        """Add the columns that a table of an earlier version lacks. Return whether there were any."""
        found = self._table().columns
        missing = [field for field in PUBLICATIONS.schema.fields if field.name not in found]
        if missing:
            self._spark.sql(f"ALTER TABLE {self._name} ADD COLUMNS ({ddl(StructType(missing))})").collect()
        return bool(missing)

    def in_use(self, layer: str) -> list[Publication]:
        """Return the newest publication of a layer, and those from which the newest of the layers above were built."""
        found = [self.newest(layer)]
        found += [self.inputs(above).previous_upstream for above, below in UPSTREAM_LAYER.items() if below == layer]
        silver_of_gold = self.inputs("gold").previous_upstream
        if layer == "bronze" and silver_of_gold and silver_of_gold.upstream_seq:
            found.append(self.get("bronze", silver_of_gold.upstream_seq))
        return [publication for publication in found if publication]

    def remove(self, before: datetime) -> None:
        """Remove the rows inserted before a moment that no build will read.

        Of these, bronze keeps the one whose interval ends last: `dates_since` needs nothing else of the past.
        """
        for layer in LAYERS:
            if not (used := self.in_use(layer)):
                continue
            old = (F.col("published_at") < F.lit(before)) & (F.col("seq") < min(one.seq for one in used))
            last = self._of(layer).where(old).orderBy(F.desc_nulls_last("interval_end"), "seq").limit(1).collect()
            if layer == "bronze" and last:
                old = old & (F.col("seq") != last[0]["seq"])
            seqs = [row["seq"] for row in self._of(layer).where(old).select("seq").collect()]
            if seqs:
                listed = ", ".join(map(str, seqs))
                self._spark.sql(f"DELETE FROM {self._name} WHERE layer = '{layer}' AND seq IN ({listed})").collect()  # noqa: S608

    def _missing(self, what: str) -> PublicationMissing:
        return PublicationMissing(
            f"{self._name} has no {what}, which another one names: were rows removed by hand? Restore that table to an"
            " earlier version, or drop the tables of all layers and of ops, and run all landing dates again"
        )

    def _table(self) -> DataFrame:
        return self._spark.table(self._name)

    def _of(self, *layers: str) -> DataFrame:
        return self._table().where(F.col("layer").isin(*layers))


@dataclass(frozen=True)
class PublishedDates:
    """Landing dates of bronze publications."""

    condition: Column
    """On the column `landing_date`."""
    are_latest: bool
    """Whether every date published before ends where the first of them begins, or earlier."""


def _all_rows() -> WindowSpec:
    return Window.partitionBy(F.lit(0))


def _built_from(layer: str) -> Column:
    """Return the upstream publication that the newest publication of a layer was built from; NULL without one."""
    own = F.when(F.col("layer") == layer, F.struct("seq", "upstream_seq"))
    return F.max(own).over(_all_rows())["upstream_seq"]


def _with_newest_seq(rows: DataFrame) -> DataFrame:
    return rows.withColumn("newest_seq", F.max("seq").over(Window.partitionBy("layer")))


def _publication(row: Row) -> Publication:
    values = row.asDict()
    values["open_dates"] = tuple(values.get("open_dates") or ())  # rows of earlier versions have none
    return Publication(**{field.name: values[field.name] for field in fields(Publication)})
