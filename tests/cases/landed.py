"""What a bronze build makes of landed files: each line's value or its reasons."""

from __future__ import annotations

import re
from typing import Any

from spark_jobs.storage.build_record import Build
from spark_jobs.storage.staging import staged_rows
from tests.spark.publishing.lakehouse import Lakehouse


def rows_of(lakehouse: Lakehouse, build: Build) -> list[Any]:
    """Return the staged rows of both tables; landed = valid + quarantined holds in every file."""
    items, quarantine, files = (
        staged_rows(lakehouse.jobs, f"bronze.{table}", build.staged[f"bronze.{table}"]).collect()
        for table in ("order_items", "quarantine", "landed_files")
    )
    rows = [*items, *quarantine]
    for file in files:
        assert file.landed_lines == sum(row.source_file == file.source_file for row in rows), file.source_file
    return rows


def marked(row: Any) -> str:
    """Return the mark that a test gave the line as its order state, be it valid or in quarantine."""
    text: str = row.order_state if "order_state" in row else row.line
    numbered = re.search(r"#\d+(?=,|$)", text)  # a null word has a # too
    return numbered[0] if numbered else text[text.index("#") :].partition(",")[0]


def reasons(row: Any) -> tuple[str, ...] | None:
    """Return why a line is in quarantine; None for a valid one."""
    return tuple(row.reasons) if "reasons" in row else None
