"""What a job task is told, by name and never by position in a shell (design, section 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.runtime.interval import Interval
from spark_jobs.tables.names import LAYERS, Tables


@dataclass(frozen=True)
class TaskParameters:
    """Base: each field is one `--field-name VALUE` of the task; a field without a default is needed."""

    catalog: str
    schema_prefix: str
    ops_root: str
    job_run_id: str
    repair_count: str

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """Raises ParameterRefused, naming what is missing, unknown or doubled."""
        known = {f.name: f for f in fields(cls)}
        given: dict[str, str] = {}
        if len(arguments) % 2:
            raise ParameterRefused(f"parameters come in pairs (--name value), but {len(arguments)} were given")
        for option, value in zip(arguments[::2], arguments[1::2], strict=True):
            name = option.removeprefix("--").replace("-", "_")
            if not option.startswith("--") or name not in known:
                raise ParameterRefused(f"unknown parameter {option!r}; known: {', '.join(sorted(known))}")
            if name in given:
                raise ParameterRefused(f"parameter {option} is given twice")
            given[name] = value
        if missing := sorted(known.keys() - given.keys()):
            raise ParameterRefused(f"parameters are missing: {', '.join(missing)}")
        return cls(**given)

    def __post_init__(self) -> None:
        for name in ("job_run_id", "repair_count"):
            if not re.fullmatch(r"\d+", getattr(self, name)):
                raise ParameterRefused(f"{name} is {getattr(self, name)!r}, which is not a number")

    @property
    def tables(self) -> Tables:
        return Tables(self.catalog, self.schema_prefix)

    @property
    def fresh_build_id(self) -> str:
        """Of its own for every run and every repair of a run."""
        return f"{self.job_run_id}_{self.repair_count}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class QuarantineLimits:
    """Over which share, or number, of quarantined lines a landing date is rejected (design, section 5)."""

    max_quarantined_percent: str
    max_quarantined_lines: str

    @property
    def quarantined_percent(self) -> Decimal:
        try:
            percent = Decimal(self.max_quarantined_percent)
        except InvalidOperation:
            percent = Decimal(-1)
        if not (percent.is_finite() and 0 <= percent <= 100):
            raise ParameterRefused(f"max_quarantined_percent is {self.max_quarantined_percent!r}: 0 to 100")
        return percent

    @property
    def quarantined_lines(self) -> int:
        if not re.fullmatch(r"\d+", self.max_quarantined_lines):
            raise ParameterRefused(f"max_quarantined_lines is {self.max_quarantined_lines!r}: a number of lines")
        return int(self.max_quarantined_lines)


@dataclass(frozen=True)
class BuildParameters(QuarantineLimits, TaskParameters):
    """Of the tasks `build` and `audit`; equal for all layers, so that publish can build again with them."""

    layer: str
    interval_start: str
    interval_end: str
    landing_root: str
    source_encoding: str
    email_secret: str
    allow_missing_dates: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layer(self.layer)

    @property
    def interval(self) -> Interval:
        return Interval.parse(self.interval_start, self.interval_end)

    @property
    def missing_dates_allowed(self) -> bool:
        if self.allow_missing_dates not in ("true", "false"):
            raise ParameterRefused(f"allow_missing_dates is {self.allow_missing_dates!r}: true or false")
        return self.allow_missing_dates == "true"

    def data_parameters(self) -> dict[str, str]:
        """Those that decide about data and verdict, and so belong to the fingerprint."""
        return {
            name: getattr(self, name)
            for name in (
                "catalog",
                "schema_prefix",
                "landing_root",
                "source_encoding",
                "email_secret",
                "allow_missing_dates",
                "max_quarantined_percent",
                "max_quarantined_lines",
            )
        }


@dataclass(frozen=True)
class PublishParameters(TaskParameters):
    layer: str
    build_job_run_id: str
    build_id: str
    fingerprint: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layer(self.layer)
        if not re.fullmatch(r"\d+", self.build_job_run_id):
            raise ParameterRefused(f"build_job_run_id is {self.build_job_run_id!r}, which is not a number")


@dataclass(frozen=True)
class MaintenanceParameters(QuarantineLimits, TaskParameters):
    as_of: str


def check_layer(layer: str) -> None:
    if layer not in LAYERS:
        raise ParameterRefused(f"layer is {layer!r}: one of {', '.join(LAYERS)}")
