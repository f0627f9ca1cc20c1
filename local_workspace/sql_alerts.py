"""SQL alerts as in the Alerts API. This workspace does not evaluate them."""

import uuid

from local_workspace.object_files import ACTIVE, ObjectFiles, now
from local_workspace.users import USER_NAME
from local_workspace.views import Json
from machine.state_folder import StateFolder


class Alerts:
    """Each method either does the whole thing or raises ApiError."""

    def __init__(self, state: StateFolder) -> None:
        self._files = ObjectFiles(state.workspace / "alerts", "alert", "id")

    def create(self, settings: Json) -> Json:
        """Make an alert, and return it."""
        given: Json = {"parent_path": f"/Users/{USER_NAME}"} | settings
        fixed = {"id": str(uuid.uuid4()), "lifecycle_state": ACTIVE, "owner_user_name": USER_NAME}
        return self._write(given | fixed | {"effective_run_as": {"user_name": USER_NAME}, "create_time": now()})

    def update(self, alert_id: str, settings: Json) -> Json:
        """Replace an alert's settings, and return it. Its folder stays."""
        alert = self._files.active(alert_id)
        fixed = ("id", "lifecycle_state", "owner_user_name", "create_time", "parent_path", "effective_run_as")
        return self._write(settings | {name: alert[name] for name in fixed})

    def get(self, alert_id: str) -> Json:
        """Return an alert, with its lifecycle state, also one in the trash."""
        return self._files.get(alert_id)

    def views(self) -> list[Json]:
        """Return the alerts that are not in the trash, sorted by name."""
        return self._files.all_active()

    def trash(self, alert_id: str, *, purge: bool) -> None:
        """Move an alert to the trash, or remove it for good."""
        if purge:
            self._files.remove(alert_id)
        else:
            self._write(self.get(alert_id) | {"lifecycle_state": "DELETED"})

    def _write(self, alert: Json) -> Json:
        alert = alert | {"update_time": now()}
        self._files.put(alert)
        return alert
