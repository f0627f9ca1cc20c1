"""The definitions of the pipeline, as a stand-in for a platform's module pyspark.pipelines records them."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyspark
import pytest
from pyspark.sql import Column, DataFrame, SparkSession

from tests.spark.declarative.pipeline import configuration
from tests.spark.publishing.lakehouse import REPO

Query = Callable[[], DataFrame]


@dataclass(frozen=True)
class Expecting:
    """A query whose rows are dropped unless they meet all expectations (name -> SQL)."""

    query: Query
    expectations: Mapping[str, str]


@dataclass(frozen=True)
class Defined:
    kind: str
    query: Query | None = None
    expectations: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> DataFrame:
        """What its query gives, without the rows that miss an expectation."""
        assert self.query, "a flow fills it"
        found = self.query()
        for expectation in self.expectations.values():
            found = found.where(expectation)
        return found


@dataclass(frozen=True)
class Flow:
    """The arguments of create_auto_cdc_flow that the definitions give."""

    source: str
    keys: list[str]
    sequence_by: Column
    except_column_list: list[str]
    stored_as_scd_type: int
    track_history_column_list: list[str]


class OpenSpark(ModuleType):
    """What Spark 4.1 has, as far as the definitions use it."""

    def __init__(self) -> None:
        super().__init__("pyspark.pipelines")
        self.defined: dict[str, Defined] = {}

    def table(self, *, name: str, comment: str) -> Callable[[Query | Expecting], None]:
        return self._definition("streaming table", name)

    def materialized_view(self, *, name: str, comment: str) -> Callable[[Query | Expecting], None]:
        return self._definition("materialized view", name)

    def temporary_view(self, *, name: str) -> Callable[[Query | Expecting], None]:
        return self._definition("temporary view", name)

    def create_streaming_table(self, name: str, *, comment: str) -> None:
        self._define(name, Defined("streaming table"))

    def _definition(self, kind: str, name: str) -> Callable[[Query | Expecting], None]:
        def define(query: Query | Expecting) -> None:
            expecting = query if isinstance(query, Expecting) else Expecting(query, {})
            self._define(name, Defined(kind, expecting.query, expecting.expectations))

        return define

    def _define(self, name: str, defined: Defined) -> None:
        assert name not in self.defined
        self.defined[name] = defined


class Databricks(OpenSpark):
    """And what Databricks has besides."""

    def __init__(self) -> None:
        super().__init__()
        self.flows: dict[str, Flow] = {}

    def expect_all_or_drop(self, expectations: Mapping[str, str]) -> Callable[[Query], Expecting]:
        return lambda query: Expecting(query, expectations)

    def create_auto_cdc_flow(self, *, target: str, **arguments: Any) -> None:
        assert self.defined[target] == Defined("streaming table"), "the target comes before its flow"
        self.flows[target] = Flow(**arguments)


def define(
    platform: OpenSpark, landing: Path, monkeypatch: pytest.MonkeyPatch, *, auto_cdc: str = "false"
) -> dict[str, DataFrame]:
    """Run the definitions on a platform. Their queries read the frames of the result, by name, streams too."""
    frames: dict[str, DataFrame] = {}
    session = SimpleNamespace(
        conf=configuration(landing, auto_cdc),
        table=frames.__getitem__,
        readStream=SimpleNamespace(table=frames.__getitem__),
    )
    monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")  # so that a column needs no Spark
    monkeypatch.setattr(SparkSession, "active", lambda: session)
    monkeypatch.setitem(sys.modules, "pyspark.pipelines", platform)
    monkeypatch.setattr(pyspark, "pipelines", platform, raising=False)
    runpy.run_path(str(REPO / "pipelines" / "medallion.py"))
    return frames
