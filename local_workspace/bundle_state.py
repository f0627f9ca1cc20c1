"""The record of what a bundle's deployment made, where and as the Databricks CLI keeps it.

So either of the two can go on from what the other has deployed. The format is version 2 of the CLI's direct engine
(`bundle/direct/dstate` in its sources).
"""

import json
import uuid
from pathlib import Path
from typing import Any

_VERSION = 2


class BundleState:
    """`resources.json`: a lineage, a serial number that grows with every deployment, and each resource's id."""

    def __init__(self, remote: bytes | None, local: Path) -> None:
        """`remote` is the file in the workspace; `local` the CLI's copy, which may be there or not.

        The CLI keeps its copy when it destroys a deployment and demands one lineage, so a new record continues that.
        """
        here = json.loads(local.read_bytes()) if local.is_file() else {}
        there = json.loads(remote) if remote else {}
        newest = max(here, there, key=lambda record: record.get("serial", 0))
        self._lineage = newest.get("lineage") or str(uuid.uuid4())
        self._serial = newest.get("serial", 0)
        self._resources: dict[str, Any] = dict(there.get("state") or {})

    def set(self, key: str, job_id: int, settings: dict[str, Any]) -> None:
        """Record a job; resources that are not in the bundle any more stay, so that the CLI can delete them."""
        self._resources[f"resources.jobs.{key}"] = {"__id__": str(job_id), "state": settings}

    def content(self) -> bytes:
        """The next record."""
        record = {"state_version": _VERSION, "cli_version": "", "lineage": self._lineage, "serial": self._serial + 1}
        return json.dumps({**record, "state": self._resources}, indent=1).encode()
