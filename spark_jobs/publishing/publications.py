"""ops.publications: a layer's only truth about what is published (design, section 9)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from spark_jobs.interval import Interval
from spark_jobs.publishing.delta import create_table, is_concurrency_conflict
from spark_jobs.tables import LAYER_BELOW, Tables

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

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
        create_table(self._spark, self._name, COLUMNS, "What is published, of which the newest of a layer counts")

    def newest(self, layer: str) -> Publication | None:
        rows = self._select("layer = :layer ORDER BY seq DESC LIMIT 1", layer=layer)
        return rows[0] if rows else None

    def get(self, layer: str, seq: int) -> Publication:
        rows = self._select("layer = :layer AND seq = :seq", layer=layer, seq=seq)
        if not rows:
            raise LookupError(f"{self._name} has no publication {seq} of {layer}")
        return rows[0]

    def since(self, layer: str, seq: int) -> list[Publication]:
        """Those of the layer after `seq`, oldest first."""
        return self._select("layer = :layer AND seq > :seq ORDER BY seq", layer=layer, seq=seq)

    def with_fingerprint(self, layer: str, fingerprint: str) -> Publication | None:
        """The publication of the build with that fingerprint, or of what was built again in its place."""
        rows = self._select(
            "layer = :layer AND gate_fingerprint = :fingerprint ORDER BY seq LIMIT 1",
            layer=layer,
            fingerprint=fingerprint,
        )
        return rows[0] if rows else None

    def append(self, publication: Publication) -> bool:
        """Whether it was inserted; not if another run took its number first."""
        merge = f"""
            MERGE INTO {self._name} AS published
            USING (SELECT :layer AS layer, :seq AS seq) AS next
            ON published.layer = next.layer AND published.seq = next.seq
            WHEN NOT MATCHED THEN INSERT (layer, seq, base_seq, below_seq, interval_start, interval_end,
                tables, row_counts, fingerprint, gate_fingerprint, build_id, job_run_id, code_version, published_at)
            VALUES (:layer, :seq, :base_seq, :below_seq, CAST(:interval_start AS DATE),
                CAST(:interval_end AS DATE), from_json(:tables, 'MAP<STRING, BIGINT>'),
                from_json(:row_counts, 'MAP<STRING, BIGINT>'), :fingerprint, :gate_fingerprint, :build_id, :job_run_id,
                :code_version, current_timestamp())
        """  # noqa: S608 - the name is made of checked identifiers, values are bound
        try:
            result = self._spark.sql(merge, args=_arguments(publication)).collect()
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

    def _select(self, condition: str, **values: Any) -> list[Publication]:
        query = f"SELECT * FROM {self._name} WHERE {condition}"  # noqa: S608 - as above
        return [_publication(row) for row in self._spark.sql(query, args=values).collect()]


def _publication(row: Row) -> Publication:
    fields = row.asDict()
    del fields["published_at"]
    return Publication(**fields)


def _arguments(publication: Publication) -> dict[str, Any]:
    fields = dict(vars(publication))
    for name in ("tables", "row_counts"):
        fields[name] = json.dumps(fields[name], sort_keys=True)
    for name in ("interval_start", "interval_end"):
        fields[name] = fields[name] and str(fields[name])
    return fields
