"""Published tables as a build reads them: pinned to a publication, never a table's head (design, section 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_jobs.layers.registry import SCHEMAS
from spark_jobs.runtime.concurrency import each_at_once
from spark_jobs.runtime.errors import BaseMissing
from spark_jobs.storage import delta
from spark_jobs.storage.build_record import Base, Build
from spark_jobs.storage.local_relation import are_few, at_hand
from spark_jobs.storage.publications import Publication, Publications
from spark_jobs.tables.names import LAYER_BELOW, LAYER_TABLES, Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class LayerInputs:
    """What a build of silver or gold stands on.

    `base` is the layer's own newest publication, `below` the newest of the layer below, `below_before` the one that
    `base` was built from: None where there is none that can still be read, and so everything is derived anew.
    """

    base: Base
    below: Base
    below_before: Base | None


def layer_inputs(spark: SparkSession, tables: Tables, layer: str) -> LayerInputs:
    """Raises BaseMissing."""
    publications = Publications(spark, tables)
    newest = publications.newest_by_layer()
    own, below = newest.get(layer), newest.get(LAYER_BELOW[layer])
    if below is None:
        raise BaseMissing(
            f"{layer} cannot be built: {LAYER_BELOW[layer]} has no publication yet; run {LAYER_BELOW[layer]} first"
        )
    before: Publication | None = None
    if own is not None and own.below_seq is not None:
        before = below if own.below_seq == below.seq else publications.get(LAYER_BELOW[layer], own.below_seq)
    # A layer that has got a table since its newest publication is built anew.
    complete = own is not None and set(own.tables) == set(LAYER_TABLES[layer])
    readable = complete and before is not None and _can_read(spark, tables, as_base(before))
    return LayerInputs(as_base(own), as_base(below), as_base(before) if readable else None)


def as_base(publication: Publication | None) -> Base:
    if publication is None:
        return Base(0)
    return Base(publication.seq, publication.tables, {t: publication.row_counts[t] for t in publication.tables})


def published(spark: SparkSession, tables: Tables, base: Base, table: str) -> DataFrame:
    """A table at the version of a publication, at hand where it is small; empty where nothing was published yet."""
    if table not in base.tables:
        return spark.createDataFrame([], SCHEMAS[table])
    frame = delta.at_version(spark, tables.name(table), base.tables[table])
    rows = base.rows.get(table)
    is_small = rows is not None and are_few(rows, len(SCHEMAS[table]))
    return at_hand(frame, rows) if is_small else frame


def published_tables(spark: SparkSession, tables: Tables, base: Base, names: Sequence[str]) -> dict[str, DataFrame]:
    """`published` of each of these tables."""
    frames = each_at_once(lambda table: published(spark, tables, base, table), names)
    return dict(zip(names, frames, strict=True))


def rows_gained(inputs: LayerInputs, table: str) -> int:
    """How many rows the layer below has more, or fewer, than when `base` was built: no more than have changed."""
    before = inputs.below_before.rows.get(table, 0) if inputs.below_before else 0
    return abs(inputs.below.rows.get(table, 0) - before)


def changed_below(spark: SparkSession, tables: Tables, build: LayerInputs | Build, table: str, key: str) -> DataFrame:
    """The `key`s of rows that the layer below has written or removed since `below_before`. Raises ValueError."""
    if build.below is None or build.below_before is None:
        raise ValueError(f"there is no earlier {table} to compare with: everything is built anew")
    before, now = build.below_before.tables[table], build.below.tables[table]
    return delta.changed_keys(spark, tables.name(table), before, now, key)


def _can_read(spark: SparkSession, tables: Tables, base: Base) -> bool:
    """Whether all of a publication's versions are still to be had."""
    return all(each_at_once(lambda table: delta.can_read(spark, tables.name(table), base.tables[table]), base.tables))
