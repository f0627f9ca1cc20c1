"""What a build of the layers that are merged by key stages: the rows to upsert, and those to delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.builds.inputs import LayerInputs
from spark_jobs.builds.record import Build
from spark_jobs.concurrency import each_at_once
from spark_jobs.parameters import BuildParameters
from spark_jobs.published_schemas import KEYS, SCHEMAS
from spark_jobs.publishing.staging import StagedTable, stage
from spark_jobs.silver.changes import DELETED, changed_rows
from spark_jobs.tables import LAYER_TABLES, Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TOUCHED = "touched"


def stage_touched(
    spark: SparkSession, tables: Tables, layer: str, build_id: str, touched: DataFrame
) -> dict[str, StagedTable]:
    """Stages the keys that a build derives anew, so that they are found once: its audit judges the same keys."""
    name = f"{layer}.{TOUCHED}"
    return {name: stage(spark, tables, name, build_id, touched)}


def stage_changes(
    spark: SparkSession, tables: Tables, build_id: str, derived: Mapping[str, tuple[DataFrame, DataFrame | None]]
) -> dict[str, StagedTable]:
    """Stages what turns the published rows of each table into its new ones: `derived` is table -> (new, published).

    None where nothing was published yet.
    """

    def staged(table: str) -> StagedTable:
        new, published = derived[table]
        if published is None:
            return stage_whole(spark, tables, build_id, table, new)
        changes = changed_rows(new, published, KEYS[table], SCHEMAS[table].names)
        return stage(spark, tables, table, build_id, changes, {"deletes": F.col(DELETED)})

    return dict(zip(derived, each_at_once(staged, derived), strict=True))


def stage_whole(spark: SparkSession, tables: Tables, build_id: str, table: str, rows: DataFrame) -> StagedTable:
    """Stages all rows of a table, to take the place of those published.

    For tables of which a day changes most rows: to find out which costs more than to write the others too.
    """
    whole = rows.select(*SCHEMAS[table].names, F.lit(False).alias(DELETED))
    return stage(spark, tables, table, build_id, whole, {"deletes": F.col(DELETED)}, replaces=True)


def changes_build(
    layer: str, build_id: str, parameters: BuildParameters, inputs: LayerInputs, staged: dict[str, StagedTable]
) -> Build:
    """The record of a build that has staged that."""
    changes = {name: table for name, table in staged.items() if name in LAYER_TABLES[layer]}
    return Build(
        layer=layer,
        build_id=build_id,
        job_run_id=parameters.job_run_id,
        parameters=parameters,
        base=inputs.base,
        below=inputs.below,
        below_before=inputs.below_before,
        whole=inputs.below_before is None,
        staged=dict(sorted(staged.items())),
        rows={
            name.partition(".")[2]: {"upserts": table.rows - table.counts["deletes"], **table.counts}
            for name, table in sorted(changes.items())
        },
    )
