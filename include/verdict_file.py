"""Read an audit's verdict file strictly, because the gate fails closed, and say what people need of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from include.failures import VerdictUnusable
from include.intervals import date_ranges, days
from include.settings import Settings
from include.workspace import Workspace

MOST_SHOWN = 20
VERDICT_KEY = "verdict"
"""XCom key of the summary of the verdict that a gate has read."""
VERDICTS_KEY = "verdicts"
"""XCom key of the summaries of the verdicts of a task's job run, and the key in the task's state store."""


@dataclass(frozen=True)
class Verdict:
    """The fields of a verdict that the gate needs."""

    layer: str
    build_id: str
    job_run_id: str
    interval_start: date
    interval_end: date
    fingerprint: str
    success: bool
    statistics: dict[str, int]
    failures: list[dict[str, Any]]
    warnings: list[dict[str, Any]]
    notes: list[str]
    rows: dict[str, Any]
    data_docs: str | None
    explanation: list[str]
    """What people read of a rejection, as the audit words it."""
    may_be_overruled: bool = False
    """Whether a person may decide to publish all the same."""
    decision: dict[str, str] | None = None
    """What a person has decided: `decision`, which is publish or reject, and `text`, a sentence."""

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """Return the warnings that are sent to people."""
        return [finding for finding in self.warnings if finding.get("alert") is True]

    @property
    def is_overruled(self) -> bool:
        return bool(self.decision and self.decision["decision"] == "publish" and self.may_be_overruled)

    @property
    def contradictions(self) -> list[str]:
        """Return why a verdict that allows publication contradicts itself; empty if it does not."""
        if not self.success:
            return []
        found = []
        if not self.statistics["evaluated"]:
            found.append("no rule was evaluated")
        if self.statistics["failed"] or self.failures:
            number = self.statistics["failed"] or len(self.failures)
            found.append(f"{number} {'rule' if number == 1 else 'rules'} failed")
        if self.statistics["successful"] + self.statistics["warnings"] < self.statistics["evaluated"]:
            found.append("not every evaluated rule is accounted for")
        return found


def read(raw: Any, *, path: str, expected: Mapping[str, str]) -> Verdict:
    """Return the verdict if it has the expected values in its fields; raise `VerdictUnusable` if not."""

    def field(name: str, kind: type | tuple[type, ...]) -> Any:
        value = raw.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise VerdictUnusable(f"The verdict {path} has no usable field {name!r}: {value!r:.100}")
        return value

    if not isinstance(raw, dict):
        raise VerdictUnusable(f"The verdict {path} is not an object but {raw!r:.100}")
    for name, value in expected.items():
        found = str(field(name, (str, int)))
        if found != value:
            raise VerdictUnusable(f"The verdict {path} has another {name.replace('_', ' ')}: {found}, not {value}.")
    try:
        start, end = (date.fromisoformat(field(name, str)) for name in ("interval_start", "interval_end"))
    except ValueError as error:
        raise VerdictUnusable(f"The verdict {path} has no usable interval: {error}") from error
    fingerprint = field("fingerprint", str)
    if not re.fullmatch(r"[0-9a-f]{64}", fingerprint) or not field("build_id", str):
        raise VerdictUnusable(f"The verdict {path} names no build that could be published.")
    statistics = field("statistics", dict)
    counts = {name: statistics.get(name) for name in ("evaluated", "successful", "failed", "warnings")}
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts.values()):
        raise VerdictUnusable(f"The verdict {path} has no usable statistics: {statistics!r:.200}")
    failures, warnings = field("failures", list), field("warnings", list)
    if not all(isinstance(finding, dict) for finding in failures + warnings):
        raise VerdictUnusable(f"The verdict {path} lists failures or warnings of an unknown shape.")
    return Verdict(
        layer=field("layer", str),
        build_id=raw["build_id"],
        job_run_id=str(field("job_run_id", (str, int))),
        interval_start=start,
        interval_end=end,
        fingerprint=fingerprint,
        success=field("success", bool),
        statistics=counts,
        failures=failures,
        warnings=warnings,
        notes=[str(note) for note in raw.get("notes") or []],
        rows=raw.get("rows") or {},
        data_docs=_inside_the_volume(raw.get("data_docs")),
        explanation=[str(line) for line in raw.get("explanation") or lines(failures)],
        may_be_overruled=raw.get("may_be_overruled") is True,
        decision=_decision(raw.get("decision"), fingerprint),
    )


def _decision(content: Any, fingerprint: str) -> dict[str, str] | None:
    """Return a decision about exactly this fingerprint; None for any other."""
    if not isinstance(content, dict) or content.get("fingerprint") != fingerprint:
        return None
    decision, text = content.get("decision"), content.get("text")
    return {"decision": decision, "text": text} if isinstance(decision, str) and isinstance(text, str) else None


def pages_of(verdict: Verdict, path: str, settings: Settings, workspace: Workspace) -> dict[str, str]:
    """Return the addresses of what people read about a verdict, by name."""
    found = {"Verdict": workspace.page_url(path)}
    if verdict.data_docs:
        found["Data Docs"] = workspace.page_url(f"{settings.ops_volume}/{verdict.data_docs}")
    return found


def summary(verdict: Verdict, pages: Mapping[str, str]) -> dict[str, Any]:
    """Return what XCom keeps of a verdict."""
    return {
        "layer": verdict.layer,
        "build_id": verdict.build_id,
        "job_run_id": verdict.job_run_id,
        "landing_dates": date_ranges(days(verdict.interval_start, verdict.interval_end)),
        "success": verdict.success,
        "statistics": verdict.statistics,
        "rows": verdict.rows,
        "notes": verdict.notes,
        "failures": verdict.explanation,
        "warnings": lines(verdict.warnings),
        "alerts": lines(verdict.alerts),
        "decision": verdict.decision and verdict.decision["text"],
        "pages": dict(pages),
    }


def lines(findings: list[dict[str, Any]]) -> list[str]:
    """Describe the findings, one line each: landing date, rule, and the message, which names table and samples."""
    shown = [
        f"{finding.get('landing_date') or 'all dates'}: {finding.get('rule')}: {finding.get('message')}"
        for finding in findings[:MOST_SHOWN]
    ]
    if len(findings) > MOST_SHOWN:
        shown.append(f"and {len(findings) - MOST_SHOWN} more: see Data Docs")
    return shown


def _inside_the_volume(path: Any) -> str | None:
    """Return a relative path that stays inside the ops volume, else None; the path becomes a link."""
    if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/") or ":" in path:
        return None
    return path
