"""What a build says of itself, for its audit and its publish."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from spark_jobs.quality.verdict import suites_hash
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.concurrency import each_at_once
from spark_jobs.runtime.errors import BuildMissing
from spark_jobs.runtime.interval import Interval
from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.storage import delta
from spark_jobs.storage.delta import Head
from spark_jobs.storage.ops_volume import OpsVolume, build_file
from spark_jobs.storage.staging import StagedTable
from spark_jobs.tables.names import LAYER_TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Base:
    """A publication that a build stands on: the version of each table, and its rows.

    Seq 0 without tables: nothing was published yet.
    """

    seq: int
    tables: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Build:
    """One build of one layer.

    `base` is the layer's own publication, `below` the one of the layer below that it read, `below_before` the one
    that `base` was built from. `whole` says that it derived everything and not only what changed.
    """

    layer: str
    build_id: str
    job_run_id: str
    parameters: BuildParameters
    base: Base
    below: Base | None
    below_before: Base | None
    whole: bool
    staged: dict[str, StagedTable]
    rows: dict[str, Any]
    notes: tuple[str, ...] = ()
    missing_dates: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it changes no table, since nothing below did."""
        return not self.whole and not any(table in self.staged for table in LAYER_TABLES[self.layer])

    @property
    def interval(self) -> Interval:
        return self.parameters.interval

    def save(self, ops: OpsVolume) -> None:
        ops.write_json(build_file(self.layer, self.job_run_id), asdict(self))

    @classmethod
    def load(cls, ops: OpsVolume, layer: str, job_run_id: str) -> Build:
        """Raises BuildMissing."""
        record = ops.read_json(build_file(layer, job_run_id))
        if record is None:
            raise BuildMissing(
                f"no build of {layer} by job run {job_run_id} is recorded on the ops volume ({ops.root}):"
                f" run the job {layer}_build"
            )
        return cls(
            **{
                **record,
                "parameters": BuildParameters(**record["parameters"]),
                "base": Base(**record["base"]),
                "below": record["below"] and Base(**record["below"]),
                "below_before": record["below_before"] and Base(**record["below_before"]),
                "staged": {t: StagedTable.from_dict(s) for t, s in record["staged"].items()},
                "notes": tuple(record["notes"]),
                "missing_dates": tuple(record["missing_dates"]),
            }
        )


def fingerprint_as_built(build: Build) -> str:
    """sha256 (hex) of what a verdict is about: the staging as the build wrote it, and the running code.

    Another record of the build, other suites, other parameters and other code give another one (design, section 2).
    """
    return _fingerprint(build, {table: Head(staged.table_id, staged.version) for table, staged in build.staged.items()})


def fingerprint(spark: SparkSession, build: Build) -> str:
    """The same of the staging tables as they are now: it differs where one was written to, or made anew, since.

    Raises BuildMissing.
    """
    heads: dict[str, Head] = {}
    found = each_at_once(lambda staged: delta.head(spark, staged.name, staged.version), build.staged.values())
    for (table, staged), head in zip(build.staged.items(), found, strict=True):
        if head is None:
            raise BuildMissing(f"the staging table {staged.name} is gone: run the build again")
        heads[table] = head
    return _fingerprint(build, heads)


def _fingerprint(build: Build, heads: Mapping[str, Head]) -> str:
    content = {
        "layer": build.layer,
        "build_id": build.build_id,
        "staged": {
            table: [heads[table].table_id, heads[table].version, asdict(staged)]
            for table, staged in build.staged.items()
        },
        "base": asdict(build.base),
        "below": build.below and asdict(build.below),
        "below_before": build.below_before and asdict(build.below_before),
        "whole": build.whole,
        "interval": [str(build.interval.start), str(build.interval.end)],
        "missing_dates": list(build.missing_dates),
        "parameters": build.parameters.data_parameters(),
        "suites": suites_hash(build.layer),
        "code_version": code_version(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
