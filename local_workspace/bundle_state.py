"""The deployment state of a bundle, in the place and format of the Databricks CLI.

So the deployer and the CLI can each update what the other has deployed. The format is version 2 of the CLI's direct
deployment engine (`bundle/direct/dstate` in its sources).
"""

import json
import uuid
from pathlib import Path
from typing import Any

_VERSION = 2


class BundleState:
    """`resources.json`: a lineage, a serial number that grows with every deployment, and each resource's id."""

    def __init__(self, remote: bytes | None, local: Path) -> None:
        """Continue the newer state. `remote` is the content of the file in the workspace, `local` the path of the CLI's
        copy, if it has one.

        The CLI keeps its copy when it destroys a deployment, and refuses another lineage, so a new state continues it.
        """
        local_state = json.loads(local.read_bytes()) if local.is_file() else {}
        remote_state = json.loads(remote) if remote else {}
        latest = max(local_state, remote_state, key=lambda state: state.get("serial", 0))
        self._lineage = latest.get("lineage") or str(uuid.uuid4())
        self._serial = latest.get("serial", 0)
        self._resources: dict[str, Any] = dict(remote_state.get("state") or {})

    def set(self, kind: str, key: str, identifier: int | str, settings: dict[str, Any]) -> None:
        """Record a resource, such as a job. What the bundle no longer has stays, so that the CLI can delete it."""
        self._resources[f"resources.{kind}.{key}"] = {"__id__": str(identifier), "state": settings}

    def content(self) -> bytes:
        """Return the next version of the file."""
        header = {"state_version": _VERSION, "cli_version": "", "lineage": self._lineage, "serial": self._serial + 1}
        return json.dumps({**header, "state": self._resources}, indent=1).encode()
