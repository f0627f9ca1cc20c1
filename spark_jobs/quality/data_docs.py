"""Data Docs: an audit as one page for people, which loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path

from spark_jobs.quality.checkpoint import AuditResult
from spark_jobs.storage.verdicts import QuarantineReason

DECISION = "<!-- decision -->"
"""The place in the page where a person's decision is written."""


def render_data_docs(audit: AuditResult, folder: Path, title: str, quarantine: Sequence[QuarantineReason] = ()) -> Path:
    """Write `index.html` into `folder`, which is made, and return its path. `title` heads the page."""
    from jinja2 import Environment, StrictUndefined

    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        files("spark_jobs.quality").joinpath("data_docs.html").read_text(encoding="utf-8")
    )
    outcomes = sorted(audit.outcomes, key=lambda one: one.file.table)
    by_table = [list(some) for _, some in groupby(outcomes, key=lambda one: one.file.table)]
    tables = [(some[0].file, some) for some in by_table]
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    _write(page, template.render(audit=audit, title=title, tables=tables, quarantine=quarantine))
    return page


def add_decision(page: Path, text: str, fingerprint: str) -> None:
    """Write what a person decided at the head of a page, once. A page that maintenance has removed stays away."""
    from markupsafe import escape

    if not page.is_file():
        return
    holds = f"It holds for fingerprint <code>{escape(fingerprint)}</code> only."
    shown = f"<h2>Decision</h2>\n<p>{escape(text)}</p>\n<p>{holds}</p>"
    _write(page, page.read_text(encoding="utf-8").replace(DECISION, shown, 1))


def _write(page: Path, text: str) -> None:
    """Write a page whole or not at all."""
    unfinished = page.with_name(f".{page.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(page)
