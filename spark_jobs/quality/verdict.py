"""The verdict on a build: what the gate reads and publish checks (design, section 2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from spark_jobs.quality.suites import suites_hash

__all__ = ["Finding", "Statistics", "Verdict", "suites_hash"]


@dataclass(frozen=True)
class Finding:
    """One expectation that was not met, on one landing date where there is one."""

    asset: str
    expectation: str
    column: str | None
    severity: str
    message: str
    landing_date: str | None = None
    unexpected_count: int | None = None
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Statistics:
    """Numbers of expectations. `failed` counts those that block, `warnings` those that are only shown."""

    evaluated: int
    successful: int
    failed: int
    warnings: int


@dataclass(frozen=True)
class Verdict:
    """A verdict in the shape of its JSON file; the rows of `ops.verdicts` are made from it too."""

    layer: str
    build_id: str
    job_run_id: str
    success: bool
    interval_start: str
    interval_end: str
    fingerprint: str
    statistics: Statistics
    suites: str
    code_version: str
    data_docs: str
    failures: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    rows: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        content = asdict(self)
        for name in ("failures", "warnings"):
            content[name] = [{**finding, "samples": list(finding["samples"])} for finding in content[name]]
        content["notes"] = list(self.notes)
        return content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Verdict:
        """Raises KeyError or TypeError for what is no verdict: whoever reads it must not take it for a pass."""
        fields = dict(content)
        for name in ("failures", "warnings"):
            fields[name] = tuple(Finding(**{**f, "samples": tuple(f["samples"])}) for f in content[name])
        fields["notes"] = tuple(content["notes"])
        fields["statistics"] = Statistics(**content["statistics"])
        if not isinstance(fields["success"], bool):
            raise TypeError("a verdict's success is true or false")
        return cls(**fields)

    def lines(self) -> list[str]:
        """For people: one line, and one for each finding."""
        counts = self.statistics
        word = "passed" if self.success else "REJECTED"
        return [
            f"{self.layer} {word}: {counts.successful} of {counts.evaluated} expectations met,"
            f" {counts.failed} failed, {counts.warnings} warnings",
            *(f"failed: {finding.message}" for finding in self.failures),
            *(f"warning: {finding.message}" for finding in self.warnings),
            *(f"note: {note}" for note in self.notes),
        ]
