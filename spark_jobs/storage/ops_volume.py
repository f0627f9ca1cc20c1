"""JSON files on the ops volume: records of builds, verdicts and publications, for other jobs and for Airflow."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spark_jobs.runtime.errors import ParameterRefused

RECORDS = ("builds", "verdicts", "publications", "data_docs")
"""The folders of the ops volume, each with one file, or folder, per build or job run."""


class OpsVolume:
    """Files below the root of the ops volume."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write_json(self, relative: str, content: dict[str, Any]) -> None:
        """Write a file whole or not at all: under a hidden name first, then renamed."""
        file = self._file(relative)
        file.parent.mkdir(parents=True, exist_ok=True)
        # Of each write a separate one: jobs that end at the same time write the same progress file.
        unfinished = file.with_name(f".{file.name}.{uuid.uuid4().hex}.unfinished")
        unfinished.write_text(json.dumps(content, indent=1, sort_keys=True, default=str), encoding="utf-8")
        unfinished.replace(file)

    def record_progress(self, layer: str, seq: int, upstream_seq: int | None) -> None:
        """Record how far a layer has come, for the live DAG, which looks without Spark.

        `seq` is its newest publication, and `upstream_seq` the upstream publication from which its last build that was
        published or rejected was made. A job that was killed, or ends at the same time as another one, may leave an
        earlier state: the truth is in ops.publications.
        """
        self.write_json(f"progress_{layer}.json", {"seq": seq, "upstream_seq": upstream_seq})

    def read_json(self, relative: str) -> dict[str, Any] | None:
        """Return the content of a file; None where there is no such file."""
        try:
            text = self._file(relative).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        content: dict[str, Any] = json.loads(text)
        return content

    def remove_records(self, before: datetime, kept: Collection[str]) -> int:
        """Remove the files of builds that were last written before a moment; return their number.

        `kept` are ids of builds and of job runs whose files stay.
        """
        removed = 0
        files = [path for kind in RECORDS for path in (self.root / kind).rglob("*") if path.is_file()]
        files += self.root.glob(".*.unfinished")  # of a job that was killed
        for file in sorted(files):
            written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            if written >= before or file.stem in kept or file.parent.name in kept:
                continue
            file.unlink()
            removed += 1
            is_of_one_build = len(file.relative_to(self.root).parts) > 3
            if is_of_one_build and not any(file.parent.iterdir()):
                file.parent.rmdir()
        return removed

    def _file(self, relative: str) -> Path:
        if not all(re.fullmatch(r"\w[\w.-]*", part) for part in relative.split("/")):
            raise ParameterRefused(f"{relative!r} is not a plain path below the ops volume")
        return self.root / relative


def build_file(layer: str, job_run_id: str) -> str:
    return f"builds/{layer}/{job_run_id}.json"


def verdict_file(layer: str, job_run_id: str) -> str:
    return f"verdicts/{layer}/{job_run_id}.json"


def publication_file(job_run_id: str) -> str:
    return f"publications/{job_run_id}.json"


def lost_file(layer: str) -> str:
    return f"lost/{layer}.json"
