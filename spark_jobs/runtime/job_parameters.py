"""The parameters of the job tasks, parsed once into typed fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Self

from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.runtime.interval import Interval, utc_date
from spark_jobs.runtime.table_names import LAYERS, TableNames


@dataclass(frozen=True)
class TaskParameters:
    """Base: each field is one option `--field-name VALUE` of the task, required unless it has a default."""

    catalog: str
    schema_prefix: str
    ops_root: Path
    staging_root: Path
    job_run_id: str
    repair_count: int

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """Parse a command line. Raises ParameterRefused, which names what is missing, unknown, doubled or unusable."""
        known = {field.name for field in fields(cls)}
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
        if missing := sorted(field.name for field in fields(cls) if field.name not in given and _is_required(field)):
            raise ParameterRefused(f"parameters are missing: {', '.join(missing)}")
        return cls.from_texts(given)

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Self:
        """Parse what `as_texts` gives. Raises ParameterRefused and IntervalRefused."""
        given = [field for field in fields(cls) if field.name in texts or _is_required(field)]
        return cls(**{field.name: _PARSERS[str(field.type)](field.name, texts[field.name]) for field in given})

    def as_texts(self) -> dict[str, str]:
        """Return each field as the text that parses to it."""
        texts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in texts.items()}

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+", self.job_run_id):
            raise ParameterRefused(f"job_run_id is {self.job_run_id!r}, which is not a number")
        _ = self.names

    @property
    def names(self) -> TableNames:
        return TableNames(self.catalog, self.schema_prefix)


@dataclass(frozen=True)
class QuarantineLimits:
    """The share and the number of quarantined lines over which the gate rejects a landing date."""

    max_quarantined_percent: Decimal
    """0 to 100."""
    max_quarantined_lines: int
    """For landing dates with fewer than 100 lines."""


@dataclass(frozen=True)
class BuildParameters(QuarantineLimits, TaskParameters):
    """Parameters of the tasks `build` and `audit`: the same for all layers, so that publish can rebuild with them."""

    layer: str
    interval_start: date
    interval_end: date
    landing_root: Path
    source_encoding: str
    date_order: str
    max_order_age_days: int
    max_order_days_ahead: int
    null_words: str
    email_columns: str
    email_secret: str
    allow_missing_dates: bool
    fewer_lines_warning_percent: Decimal
    """0 to 100: a landing date that lands again with under this percentage of its published lines is a warning."""
    fewer_lines_critical_percent: Decimal
    """The same, and the gate fails."""
    dates: str = ""
    """Landing dates of the interval, separated by commas: bronze leaves the others as they are. Empty for
    all."""
    open_from: str = ""
    """The first open date, such as 2018-01-31: landing dates from it on are still being delivered, and rules about
    whole dates are not judged. Empty where all dates are judged."""
    critical_metrics: str = ""
    """Metrics, separated by commas, whose anomalies are critical."""
    incident_dates: str = ""
    """Landing dates, separated by commas, that enter no band of later dates."""
    called_by: str = ""
    """The run of another job that started this one: the gate of that job finds the verdict by it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_layer(self.layer)
        if not re.fullmatch(r"\d*", self.called_by):
            raise ParameterRefused(f"called_by is {self.called_by!r}, which is not a number")
        if strangers := sorted(set(self.landing_dates) - set(self.interval.dates())):
            raise ParameterRefused(f"dates has {strangers[0]}, which is not in the interval {self.interval}")
        _ = self.first_open_date

    @property
    def interval(self) -> Interval:
        return Interval(self.interval_start, self.interval_end)

    @property
    def landing_dates(self) -> list[date]:
        """The landing dates that bronze builds, in order."""
        return (
            sorted({utc_date("dates", text) for text in self.dates.split(",")}) if self.dates else self.interval.dates()
        )

    @property
    def first_open_date(self) -> date | None:
        return utc_date("open_from", self.open_from) if self.open_from else None

    @property
    def build_id(self) -> str:
        """Unique for every run and every repair of a run."""
        return f"{self.job_run_id}_{self.repair_count}"

    def data_parameters(self) -> dict[str, str]:
        """Return the parameters that decide about data and verdict, and so belong to the fingerprint."""
        run = {"ops_root", "staging_root", "job_run_id", "repair_count", "called_by"}
        return {
            name: text
            for name, text in self.as_texts().items()
            if name not in run | {"layer", "interval_start", "interval_end"}
        }


@dataclass(frozen=True)
class PublishParameters(TaskParameters):
    """Parameters of the task `publish`: which audited build to publish."""

    layer: str
    build_job_run_id: str
    build_id: str
    fingerprint: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_layer(self.layer)
        if not re.fullmatch(r"\d+", self.build_job_run_id):
            raise ParameterRefused(f"build_job_run_id is {self.build_job_run_id!r}, which is not a number")


@dataclass(frozen=True)
class GateParameters(TaskParameters):
    """Parameters of the task `gate`: it judges the verdict on the build that its own job run has started."""

    layer: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_layer(self.layer)


@dataclass(frozen=True)
class DecideParameters(TaskParameters):
    """Parameters of the task `decide`: what a person decided about a build that its gate rejected."""

    layer: str
    build_id: str
    fingerprint: str
    decision: str
    """publish (anyway) or reject."""
    reason: str
    decided_by: str
    deciders: str
    """The people who may decide, separated by commas. The bundle sets it; it is no parameter of the job."""
    confirmed_incident: bool
    """Whether something was wrong indeed on the landing dates that failed."""
    decided_at: str
    """When the person decided; empty for now. UTC where the text names no zone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_layer(self.layer)
        if self.decision not in ("publish", "reject"):
            raise ParameterRefused(f"decision is {self.decision!r}: publish or reject")


@dataclass(frozen=True)
class DatesParameters(TaskParameters):
    """Parameters of the task `dates`: the landing dates of a run, or nothing for those that have changed."""

    landing_root: Path
    interval_start: str
    interval_end: str
    allow_missing_dates: bool
    open_from: str
    """The first landing date that is still being delivered; empty for the day on which the run starts."""
    run_date: date
    """The day on which the run starts."""

    @property
    def first_open_date(self) -> date:
        return utc_date("open_from", self.open_from) if self.open_from else self.run_date


@dataclass(frozen=True)
class ReportParameters(TaskParameters):
    """Parameters of the task `report`: the builds that the run has published, and when it started."""

    build_job_run_id: str
    """The job run that built bronze."""
    fingerprints: str
    """Fingerprints of the builds of bronze, silver and gold, separated by commas."""
    started_at_ms: int
    """When the run started, in milliseconds since 1970."""


@dataclass(frozen=True)
class MaintenanceParameters(QuarantineLimits, TaskParameters):
    """Parameters of the task `maintenance`."""

    as_of: datetime
    """Stands for now. UTC where the text names no zone."""
    table_retention_days: int
    """How long the files and logs of earlier versions of tables are kept."""
    staging_retention_days: int
    """How long staging is kept of builds that were never published."""
    record_retention_days: int
    """How long build records, verdicts, reports of publications and Data Docs are kept, and the rows of ops tables."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("table_retention_days", "staging_retention_days", "record_retention_days"):
            if getattr(self, name) < 1:
                raise ParameterRefused(f"{name} is {getattr(self, name)}: at least 1")


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING


def _check_layer(layer: str) -> None:
    if layer not in LAYERS:
        raise ParameterRefused(f"layer is {layer!r}: one of {', '.join(LAYERS)}")


def _path(name: str, text: str) -> Path:
    if not text:
        raise ParameterRefused(f"{name} is empty: it must be the path of a volume")
    return Path(text)


def _whole_number(name: str, text: str) -> int:
    if not re.fullmatch(r"\d+", text):
        raise ParameterRefused(f"{name} is {text!r}: it must be a whole number")
    return int(text)


def flag(name: str, text: str) -> bool:
    """Read a flag. Raises ParameterRefused."""
    if text not in ("true", "false"):
        raise ParameterRefused(f"{name} is {text!r}: true or false")
    return text == "true"


def _percent(name: str, text: str) -> Decimal:
    try:
        percent = Decimal(text)
    except InvalidOperation:
        percent = Decimal(-1)
    if not (percent.is_finite() and 0 <= percent <= 100):
        raise ParameterRefused(f"{name} is {text!r}: 0 to 100")
    return percent


def _instant(name: str, text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ParameterRefused(f"{name} is {text!r}, which is not a date-time") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


_PARSERS: dict[str, Callable[[str, str], Any]] = {
    "str": lambda _, text: text,
    "Path": _path,
    "int": _whole_number,
    "bool": flag,
    "Decimal": _percent,
    "date": utc_date,
    "datetime": _instant,
}
"""By the annotation of a field."""
