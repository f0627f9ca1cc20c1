"""What the pipeline defines on Databricks and in open Spark, and that valid lines are the same on both."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructField, StructType

from spark_jobs.layers.bronze.bronze_tables import LANDED_LINES
from spark_jobs.layers.bronze.landed_lines import EXACT_DUPLICATE
from spark_jobs.layers.bronze.row_rules import bronze_row_rules
from spark_jobs.layers.registry import TABLES
from spark_jobs.layers.silver import scd2
from spark_jobs.layers.silver.dimensions import CUSTOMERS, DIMENSIONS, dim_customers
from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.tasks.declarative import ANY_REASON
from tests.spark.declarative.definitions import Databricks, Flow, OpenSpark, define
from tests.spark.silver.frames import frame
from tests.unit.model import cases

REASONS = [rule.reason for rule in bronze_row_rules()]
OTHER_REASON = "wrong number of fields: found 3 instead of 53"
TABLE_NAMES = {spec.short_name for spec in TABLES.values()}
VIEWS = {f"current_{name}" for name in TABLE_NAMES | {"judged_lines", "landed_lines"}}


def test_open_spark_has_neither_expectations_nor_auto_cdc() -> None:
    from pyspark import pipelines

    assert {"expect_all_or_drop", "create_auto_cdc_flow"}.isdisjoint(dir(pipelines))


def test_open_spark_has_the_tables_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = OpenSpark()
    define(platform, tmp_path, monkeypatch)
    kinds = {name: defined.kind for name, defined in platform.defined.items()}
    assert kinds.pop("judged_lines") == "streaming table"
    views = dict.fromkeys(VIEWS, "temporary view")
    assert kinds == dict.fromkeys(TABLE_NAMES | {"landed_lines"}, "materialized view") | views
    assert not any(defined.expectations for defined in platform.defined.values())


def test_on_databricks_valid_lines_meet_an_expectation_for_each_row_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, open_spark = Databricks(), OpenSpark()
    define(platform, tmp_path, monkeypatch)
    define(open_spark, tmp_path, monkeypatch)
    assert set(platform.defined) == set(open_spark.defined) | {"valid_lines"}
    assert list(platform.defined["valid_lines"].expectations) == [*REASONS, ANY_REASON]
    assert [name for name, defined in platform.defined.items() if defined.expectations] == ["valid_lines"]
    assert platform.flows == {}, "dimensions come from the function of the jobs"


def test_auto_cdc_keeps_the_versions_of_the_dimensions_where_it_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, without = Databricks(), Databricks()
    define(platform, tmp_path, monkeypatch, auto_cdc="true")
    define(without, tmp_path, monkeypatch)
    added = {name: platform.defined[name].kind for name in platform.defined.keys() - without.defined.keys()}
    names = [dimension.spec.short_name for dimension in DIMENSIONS]
    assert added == {
        name: kind
        for dimension in names
        for name, kind in (
            (f"{dimension}_rows", "temporary view"),
            (f"{dimension}_versions", "streaming table"),
            (f"current_{dimension}_versions", "temporary view"),
        )
    }
    assert {platform.defined[name].kind for name in names} == {"materialized view"}, "as without it"
    for dimension in DIMENSIONS:
        flow = platform.flows.pop(f"{dimension.spec.short_name}_versions")
        assert flow.source == f"{dimension.spec.short_name}_rows"
        assert flow.keys == [dimension.natural_key]
        assert str(flow.sequence_by) == f"Column<'struct({', '.join(scd2.ORDER)})'>"
        assert flow.except_column_list == list(scd2.ORDER)
        assert flow.stored_as_scd_type == 2
        assert flow.track_history_column_list == list(dimension.tracked)
    assert platform.flows == {}


@pytest.mark.parametrize(
    ("auto_cdc", "reason"),
    [("true", "this Spark has no AUTO CDC: set it to false"), ("yes", "auto_cdc is 'yes': true or false")],
)
def test_auto_cdc_is_refused_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auto_cdc: str, reason: str
) -> None:
    with pytest.raises(ParameterRefused, match=reason):
        define(OpenSpark(), tmp_path, monkeypatch, auto_cdc=auto_cdc)


def test_expectations_keep_the_lines_that_the_filter_keeps(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for each rule, and lines with other reasons, with several and with none."""
    reasons = [[], *([reason] for reason in REASONS), REASONS, [OTHER_REASON], [REASONS[0], EXACT_DUPLICATE], []]
    empty = dict.fromkeys(LANDED_LINES.names)
    lines = [empty | {"order_item_id": item, "reasons": each} for item, each in enumerate(reasons)]
    landed = frame(spark, lines, LANDED_LINES)
    platform, open_spark = Databricks(), OpenSpark()
    on_databricks = define(platform, tmp_path, monkeypatch)
    in_open_spark = define(open_spark, tmp_path, monkeypatch)
    on_databricks["current_landed_lines"] = in_open_spark["current_landed_lines"] = landed
    valid = platform.defined["valid_lines"]
    on_databricks["valid_lines"] = valid.rows()

    def rows(defined: OpenSpark, name: str) -> list[Any]:
        return sorted(defined.defined[name].rows().collect())

    assert rows(platform, "order_items") == rows(open_spark, "order_items")
    assert [row["order_item_id"] for row in rows(platform, "order_items")] == [0, len(reasons) - 1]
    assert len(rows(platform, "quarantine")) == len(rows(open_spark, "quarantine")) == len(reasons) - 2
    missed = {name: landed.where(f"NOT ({sql})").count() for name, sql in valid.expectations.items()}
    assert missed == {name: sum(name in each for each in reasons) for name in REASONS} | {ANY_REASON: len(reasons) - 2}


def kept_by_auto_cdc(rows: DataFrame, flow: Flow) -> DataFrame:
    """What AUTO CDC keeps, as Databricks describes it, in one go.

    A version begins at the row from which a tracked column differs; the other columns are those of its last row.
    """
    sequenced = rows.withColumn("_sequence", flow.sequence_by)
    columns = [name for name in rows.columns if name not in flow.except_column_list]
    (key,) = flow.keys
    distinct = {(row[key], row["_sequence"]): row for row in sequenced.collect()}
    kept: list[tuple[Any, ...]] = []
    for _, of_key in groupby(sorted(distinct), lambda found: found[0]):
        in_order = [distinct[found] for found in of_key]
        runs = groupby(in_order, lambda row: [row[name] for name in flow.track_history_column_list])
        versions = [list(run) for _, run in runs]
        ends = [*(version[0]["_sequence"] for version in versions[1:]), None]
        kept += [
            (*(version[-1][name] for name in columns), version[0]["_sequence"], end)
            for version, end in zip(versions, ends, strict=True)
        ]
    sequence = sequenced.schema["_sequence"].dataType
    bounds = [StructField(name, sequence) for name in ("__START_AT", "__END_AT")]
    return rows.sparkSession.createDataFrame(kept, StructType([*(rows.schema[name] for name in columns), *bounds]))


def test_auto_cdc_differs_from_the_function_of_the_jobs_as_the_documentation_says(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hand-written histories: one customer each."""
    platform = Databricks()
    frames = define(platform, tmp_path, monkeypatch, auto_cdc="true")
    rows, _ = cases.histories_in_one()
    items = frame(spark, rows)
    frames["current_order_items"], frames["judged_lines"] = items, items.select("source_file", "order_item_id")
    (flow,) = (flow for flow in platform.flows.values() if flow.keys == [CUSTOMERS.natural_key])
    frames["current_dim_customers_versions"] = kept_by_auto_cdc(platform.defined[flow.source].rows(), flow)

    def by_history(dimension: DataFrame) -> dict[str, list[Any]]:
        found = sorted(dimension.collect(), key=lambda row: (row["customer_id"], row["valid_from"]))
        return {
            cases.HISTORIES[customer - 1].name: [tuple(row) for row in versions]
            for customer, versions in groupby(found, lambda row: row["customer_id"])
        }

    expected, actual = by_history(dim_customers(items)), by_history(platform.defined["dim_customers"].rows())
    assert expected.keys() == actual.keys()
    assert {name for name in expected if expected[name] != actual[name]} == {
        # The first version begins when its first row takes effect, not at the earliest order.
        "a late row counts for the start of its landing date, between two others",
        "only a late row: valid from its order",
        "of rows clamped to one instant the later order counts",
        "of one item clamped to one instant the later file counts, then the greater hash",
        # Versions around one of no length are not joined.
        "a row that is silent makes no version",
    }
