"""The record of a build, on the ops volume, for its audit and its publish."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from spark_jobs.runtime.errors import BuildMissing, BuildUnreadable
from spark_jobs.runtime.interval import Interval
from spark_jobs.runtime.job_parameters import BuildParameters
from spark_jobs.storage.ops_volume import OpsVolume, build_file
from spark_jobs.storage.staging import StagedTable

if TYPE_CHECKING:
    from spark_jobs.storage.publications import Publication


@dataclass(frozen=True)
class PinnedPublication:
    """A publication that a build reads: the Delta version and the number of rows of each table.

    Seq 0 without tables: nothing was published yet.
    """

    seq: int
    versions: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    @classmethod
    def pin(cls, publication: Publication | None) -> PinnedPublication:
        if publication is None:
            return cls(0)
        tables = publication.tables
        return cls(publication.seq, tables, {table: publication.row_counts[table] for table in tables})


@dataclass(frozen=True)
class Build:
    """One build of one layer.

    `previous` is the newest publication of the layer itself, and `upstream` that of the layer that it is built from.
    `previous_upstream` is the one that `previous` was built from. It is None where there is none that can be read; the
    build is a full refresh then.
    """

    layer: str
    build_id: str
    parameters: BuildParameters
    previous: PinnedPublication
    upstream: PinnedPublication | None
    previous_upstream: PinnedPublication | None
    full_refresh: bool
    staged: dict[str, StagedTable]
    rows: dict[str, Any]
    """For people: numbers of rows by table and kind."""
    notes: tuple[str, ...] = ()
    missing_dates: dict[str, str] = field(default_factory=dict)
    """Landing dates of the interval that have not landed, each with the reason: their published rows stay."""

    @property
    def is_empty(self) -> bool:
        """Whether it changes no table, since nothing upstream changed."""
        tables = [table for table in self.staged if not table.endswith(".changed_keys")]
        return not self.full_refresh and not tables

    @property
    def most_rows(self) -> int:
        """The rows of its largest staged table."""
        return max((table.rows for table in self.staged.values()), default=0)

    @property
    def job_run_id(self) -> str:
        return self.parameters.job_run_id

    @property
    def interval(self) -> Interval:
        return self.parameters.interval

    @property
    def built_dates(self) -> list[date]:
        """The landing dates that it replaces, if it is of bronze, in order."""
        return [day for day in self.parameters.landing_dates if str(day) not in self.missing_dates]

    @property
    def open_dates(self) -> list[date]:
        """Those of the built dates that are still being delivered."""
        first = self.parameters.first_open_date
        return [day for day in self.built_dates if first and day >= first]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"parameters": self.parameters.as_texts()}

    def save(self, ops: OpsVolume) -> None:
        ops.write_json(build_file(self.layer, self.job_run_id), self.as_dict())

    @classmethod
    def load(cls, ops: OpsVolume, layer: str, job_run_id: str) -> Build:
        """Read the newest build of a job run. Raises BuildMissing and BuildUnreadable."""
        record = ops.read_json(build_file(layer, job_run_id))
        if record is None:
            raise BuildMissing(
                f"no build of {layer} by job run {job_run_id} is recorded on the ops volume ({ops.root}):"
                f" run the job {layer}_build"
            )

        def pinned(name: str) -> PinnedPublication | None:
            return PinnedPublication(**record[name]) if record[name] else None

        try:
            return cls(
                **{
                    **record,
                    "parameters": BuildParameters.from_texts(record["parameters"]),
                    "previous": pinned("previous"),
                    "upstream": pinned("upstream"),
                    "previous_upstream": pinned("previous_upstream"),
                    "staged": {table: StagedTable(**staged) for table, staged in record["staged"].items()},
                    "notes": tuple(record["notes"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise BuildUnreadable(
                f"another version of the code recorded the build of {layer} by job run {job_run_id}, and this one"
                f" cannot read it ({error!r}): run the job {layer}_build again"
            ) from error
