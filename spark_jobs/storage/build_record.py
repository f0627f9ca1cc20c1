"""What a build says of itself, for its audit and its publish."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from spark_jobs.runtime.errors import BuildMissing
from spark_jobs.runtime.interval import Interval
from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.storage.ops_volume import OpsVolume, build_file
from spark_jobs.storage.staging import StagedTable
from spark_jobs.tables.names import LAYER_TABLES


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
