"""What a build of the layers that are merged by key stages: the rows to upsert, and those to delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.layers.registry import KEYS, SCHEMAS
from spark_jobs.runtime.concurrency import each_at_once
from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.changes import DELETED, changed_rows
from spark_jobs.storage.inputs import LayerInputs
from spark_jobs.storage.local_relation import are_few
from spark_jobs.storage.staging import Staging, stage
from spark_jobs.tables.names import LAYER_TABLES, Tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_MOST_KEYS = 3
"""Columns of the keys that a build derives anew."""


def stage_touched(
    spark: SparkSession, tables: Tables, layer: str, build_id: str, touched: DataFrame, expected_rows: int
) -> Staging:
    """Stages the keys that a build derives anew, so that they are found once: its audit judges the same keys."""
    few = are_few(expected_rows, _MOST_KEYS)
    return stage(spark, tables, touched_table(layer), build_id, touched, few=few)


def touched_table(layer: str) -> str:
    return f"{layer}.touched"


def stage_changes(
    spark: SparkSession,
    tables: Tables,
    build_id: str,
    derived: Mapping[str, tuple[DataFrame, DataFrame | None]],
    expected_rows: int,
) -> dict[str, Staging]:
    """Stages what turns the published rows of each table into its new ones: `derived` is table -> (new, published).

    None where nothing was published yet. About `expected_rows` are staged for each, or fewer.
    """

    def staged(table: str) -> Staging:
        new, published = derived[table]
        if published is None:
            return stage_whole(spark, tables, build_id, table, new, expected_rows)
        changes = changed_rows(new, published, KEYS[table], SCHEMAS[table].names)
        return _stage_rows(spark, tables, build_id, table, changes, expected_rows)

    return dict(zip(derived, each_at_once(staged, derived), strict=True))


def stage_whole(
    spark: SparkSession, tables: Tables, build_id: str, table: str, rows: DataFrame, expected_rows: int
) -> Staging:
    """Stages all rows of a table, to take the place of those published.

    For tables of which a day changes most rows: to find out which costs more than to write the others too.
    """
    whole = rows.select(*SCHEMAS[table].names, F.lit(False).alias(DELETED))
    return _stage_rows(spark, tables, build_id, table, whole, expected_rows, replaces=True)


def _stage_rows(
    spark: SparkSession,
    tables: Tables,
    build_id: str,
    table: str,
    rows: DataFrame,
    expected_rows: int,
    *,
    replaces: bool = False,
) -> Staging:
    few = are_few(expected_rows, len(SCHEMAS[table]))
    return stage(spark, tables, table, build_id, rows, {"deletes": F.col(DELETED)}, few=few, replaces=replaces)


def changes_build(
    layer: str, build_id: str, parameters: BuildParameters, inputs: LayerInputs, staged: Mapping[str, Staging]
) -> Build:
    """The record of a build that has staged that."""
    tables = {name: one.table for name, one in sorted(staged.items())}
    changes = {name: table for name, table in tables.items() if name in LAYER_TABLES[layer]}
    return Build(
        layer=layer,
        build_id=build_id,
        job_run_id=parameters.job_run_id,
        parameters=parameters,
        base=inputs.base,
        below=inputs.below,
        below_before=inputs.below_before,
        whole=inputs.below_before is None,
        staged=tables,
        rows={
            name.partition(".")[2]: {"upserts": table.rows - table.counts["deletes"], **table.counts}
            for name, table in changes.items()
        },
    )
