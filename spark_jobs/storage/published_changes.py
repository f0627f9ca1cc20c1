"""The changes of a published table, by publication: for readers who keep a copy of it, or follow it as a stream."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructType

from spark_jobs.runtime.errors import PublicationMissing
from spark_jobs.storage import delta
from spark_jobs.storage.changes import differences
from spark_jobs.storage.local_relation import local_relation
from spark_jobs.storage.publications import PUBLICATIONS
from spark_jobs.tables.spec import TableSpec, Write, column

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_jobs.runtime.table_names import TableNames

CHANGE_COLUMNS = (
    column("_change_type", StringType(), "insert, update or delete"),
    column("_publication", LongType(), "Number of the layer's publication that made the change"),
)


class PublishedChanges:
    """The rows that publications inserted, updated and deleted in one table of silver or gold.

    They are found by comparing the versions that two successive publications name. So half a publication and what
    another writer did are never among them, and maintenance, which changes no row, adds none.
    """

    def __init__(self, spark: SparkSession, names: TableNames, spec: TableSpec) -> None:
        """`spec` is from the registry. Reading needs SELECT on the table and on ops.publications."""
        self._spark, self._names, self._spec = spark, names, spec
        self.schema = StructType([*spec.schema.fields, *CHANGE_COLUMNS])

    def newest(self) -> int:
        """Return the number (`seq`) of the layer's newest publication; 0 before the first one."""
        rows = self._of_layer(self._spark.table(self._names.table(PUBLICATIONS.name)))
        return int(rows.agg(F.coalesce(F.max("seq"), F.lit(0))).collect()[0][0])

    def publications(self, after: int = 0) -> DataFrame:
        """Stream the numbers (`seq`) of the layer's publications later than `after` as they come, those that exist
        first.

        One row per publication, in no order within a batch. Rows that maintenance removes are not seen again.
        """
        stream = self._spark.readStream.option("skipChangeCommits", "true")
        return self._of_layer(stream.table(self._names.table(PUBLICATIONS.name))).where(F.col("seq") > after)

    def _of_layer(self, publications: DataFrame) -> DataFrame:
        return publications.where(F.col("layer") == self._spec.layer).select("seq")

    def rows(self, seq: int) -> DataFrame:
        """Return the table as a publication has it, to begin a copy; no row for 0. Raises PublicationMissing."""
        (found,) = self._versions(seq, seq) if seq else (None,)
        return self._at(found)

    def between(self, after: int, until: int) -> DataFrame:
        """Return what the publications later than `after`, up to `until`, changed; after 0, all since the first.

        One row per key and publication in which it changed, with the columns of `schema`: an inserted or updated row as
        the publication has it, a deleted row as it was. Raises PublicationMissing.
        """
        first = max(after, 1)
        versions = self._versions(first, until)
        if after == 0:
            versions = [None, *versions]
        pairs = pairwise(versions)
        changes = [
            self._changes(before, now, seq) for seq, (before, now) in enumerate(pairs, after + 1) if before != now
        ]
        return reduce(DataFrame.union, changes) if changes else self._spark.createDataFrame([], self.schema)

    def _changes(self, before: int | None, now: int | None, seq: int) -> DataFrame:
        new, old, key = self._at(now), self._at(before), self._spec.key
        if (keys := self._changed_keys(before, now)) is not None:
            new, old = (rows.join(keys, key, "left_semi") for rows in (new, old))
        kind = F.when(F.col("_old").isNull(), "insert").when(F.col("_new").isNull(), "delete").otherwise("update")
        both = differences(new, old, key, self._spec.columns)
        return both.select(
            F.coalesce("_new", "_old").alias("_row"),
            kind.alias("_change_type"),
            F.lit(seq).cast("bigint").alias("_publication"),
        ).select("_row.*", "_change_type", "_publication")

    def _changed_keys(self, before: int | None, now: int | None) -> DataFrame | None:
        """Return the keys whose rows may differ; None where all may, as where others had switched the change data feed
        off."""
        if self._spec.write is not Write.MERGE or before is None or now is None:
            return None
        name, key = self._names.table(self._spec.name), self._spec.key
        try:
            return local_relation(delta.changed_keys(self._spark, name, before, now, key))
        except PySparkException as error:
            if not (delta.is_unreadable(error) or delta.hides_its_reason(error)):
                raise
            return None

    def _at(self, version: int | None) -> DataFrame:
        if version is None:
            return self._spark.createDataFrame([], self._spec.schema)
        rows = delta.at_version(self._spark, self._names.table(self._spec.name), version)
        return rows.select(*self._spec.columns)  # others may have added columns

    def _versions(self, first: int, last: int) -> list[int | None]:
        """Return the table's version in each of these publications, None where it has none.

        Raises PublicationMissing.
        """
        name, layer = self._names.table(PUBLICATIONS.name), self._spec.layer
        rows = (
            self._spark.table(name)
            .where((F.col("layer") == layer) & F.col("seq").between(first, last))
            .select("seq", F.col("tables")[self._spec.name].alias("version"))
            .orderBy("seq")
            .collect()
        )
        if [row["seq"] for row in rows] != list(range(first, last + 1)):
            raise PublicationMissing(
                f"{name} has not all publications of {layer} from {first} to {last}: old ones are removed after a time"
                " (record_retention_days). Copy the table as its newest publication has it, and continue from there"
            )
        versions = [row["version"] for row in rows]
        known = [version for version in versions if version is not None]
        if known != sorted(known):
            raise PublicationMissing(
                f"{self._names.table(self._spec.name)} was dropped and made again between the publications {first} and"
                f" {last} of {layer}, so its changes cannot be read. Copy the table as its newest publication has it,"
                " and continue from there"
            )
        return versions
