"""SQL alerts as in the Alerts API, one file per alert. This workspace does not evaluate them."""

import json
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path

from local_workspace.api_errors import ApiError
from local_workspace.paths import written
from local_workspace.users import USER_NAME
from local_workspace.views import Json
from machine.state_folder import StateFolder, private_folder


class Alerts:
    """Each method either does the whole thing or raises ApiError."""

    def __init__(self, state: StateFolder) -> None:
        self._folder = state.workspace / "alerts"
        self._lock = threading.Lock()

    def create(self, settings: Json) -> Json:
        """Make an alert, and return it."""
        given: Json = {"parent_path": f"/Users/{USER_NAME}"} | settings
        fixed = {"id": str(uuid.uuid4()), "lifecycle_state": "ACTIVE", "owner_user_name": USER_NAME}
        return self._write(given | fixed | {"effective_run_as": {"user_name": USER_NAME}, "create_time": _now()})

    def update(self, alert_id: str, settings: Json) -> Json:
        """Replace an alert's settings, and return it. Its folder stays."""
        alert = self._active(alert_id)
        fixed = ("id", "lifecycle_state", "owner_user_name", "create_time", "parent_path", "effective_run_as")
        return self._write(settings | {name: alert[name] for name in fixed})

    def get(self, alert_id: str) -> Json:
        """Return an alert, with its lifecycle state, also one in the trash."""
        file = self._file(alert_id)
        if not file.is_file():
            raise _missing(alert_id)
        found: Json = json.loads(file.read_text(encoding="utf-8"))
        return found

    def views(self) -> list[Json]:
        """Return the alerts that are not in the trash, sorted by name."""
        found = (self.get(path.stem) for path in self._folder.glob("*.json"))
        active = (alert for alert in found if alert["lifecycle_state"] == "ACTIVE")
        return sorted(active, key=lambda alert: (alert["display_name"], alert["id"]))

    def trash(self, alert_id: str, *, purge: bool) -> None:
        """Move an alert to the trash, or remove it for good."""
        alert = self.get(alert_id)
        if purge:
            self._file(alert_id).unlink()
        else:
            self._write(alert | {"lifecycle_state": "DELETED"})

    def _active(self, alert_id: str) -> Json:
        alert = self.get(alert_id)
        if alert["lifecycle_state"] != "ACTIVE":
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Alert with ID '{alert_id}' is in the trash.")
        return alert

    def _write(self, alert: Json) -> Json:
        alert = alert | {"update_time": _now()}
        private_folder(self._folder)
        with self._lock, written(self._file(alert["id"])) as file:
            file.write(json.dumps(alert).encode())
        return alert

    def _file(self, alert_id: str) -> Path:
        try:
            return self._folder / f"{uuid.UUID(alert_id)}.json"
        except ValueError:
            raise _missing(alert_id) from None


def _missing(alert_id: str) -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Alert with ID '{alert_id}' does not exist.")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
