"""Published tables as a build reads them: pinned to a publication, never a table's head (design, section 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_jobs.builds.record import Base
from spark_jobs.errors import BaseMissing
from spark_jobs.published_schemas import SCHEMAS
from spark_jobs.publishing import delta
from spark_jobs.publishing.publications import Publication, Publications
from spark_jobs.tables import LAYER_BELOW, Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def as_base(publication: Publication | None) -> Base:
    return Base(publication.seq, publication.tables) if publication else Base(0)


def published(spark: SparkSession, tables: Tables, base: Base, table: str) -> DataFrame:
    """A table at the version of a publication; empty where nothing was published yet."""
    if base.seq == 0:
        return spark.createDataFrame([], SCHEMAS[table])
    return delta.at_version(spark, tables.name(table), base.tables[table])


def newest_below(publications: Publications, layer: str) -> Publication:
    """Raises BaseMissing."""
    below = LAYER_BELOW[layer]
    publication = publications.newest(below)
    if publication is None:
        raise BaseMissing(f"{layer} cannot be built: {below} has no publication yet; run {below} first")
    return publication


def readable(spark: SparkSession, tables: Tables, base: Base) -> bool:
    """Whether all of a publication's versions are still to be had."""
    return all(delta.can_read(spark, tables.name(table), version) for table, version in base.tables.items())
