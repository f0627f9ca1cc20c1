"""Objects of the workspace that are kept as one JSON file each, such as dashboards."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from local_workspace.api_errors import ApiError
from local_workspace.paths import written
from local_workspace.views import Json
from machine.state_folder import private_folder

ACTIVE = "ACTIVE"
"""The lifecycle state of an object that is not in the trash."""


class ObjectFiles:
    """Objects of one kind, each with an id, a name to show and a lifecycle state."""

    def __init__(self, folder: Path, kind: str, key: str) -> None:
        """`kind` is their name in messages, `key` the field that holds the id."""
        self._folder = folder
        self._kind = kind
        self._key = key

    def get(self, identifier: str) -> Json:
        """Return an object, also one in the trash. Raises ApiError where there is none."""
        file = self._file(identifier)
        if not file.is_file():
            raise self._refused(identifier, "does not exist")
        found: Json = json.loads(file.read_text(encoding="utf-8"))
        return found

    def active(self, identifier: str) -> Json:
        """Return an object. Raises ApiError where there is none, or where it is in the trash."""
        found = self.get(identifier)
        if found["lifecycle_state"] != ACTIVE:
            raise self._refused(identifier, "is in the trash")
        return found

    def all_active(self) -> list[Json]:
        """Return the objects that are not in the trash, sorted by name."""
        found = (self.get(path.stem) for path in self._folder.glob("*.json"))
        active = (one for one in found if one["lifecycle_state"] == ACTIVE)
        return sorted(active, key=lambda one: (one["display_name"], one[self._key]))

    def put(self, content: Json) -> None:
        """Write an object, or replace it."""
        private_folder(self._folder)
        with written(self._file(content[self._key])) as file:
            file.write(json.dumps(content).encode())

    def remove(self, identifier: str) -> None:
        """Remove an object for good. Raises ApiError where there is none."""
        self.get(identifier)
        self._file(identifier).unlink()

    def _file(self, identifier: str) -> Path:
        if not re.fullmatch("[0-9a-f-]{32,36}", identifier):
            raise self._refused(identifier, "does not exist")
        return self._folder / f"{identifier}.json"

    def _refused(self, identifier: str, reason: str) -> ApiError:
        return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"The {self._kind} {identifier} {reason}.")


def now() -> str:
    """Return the time as the API writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
