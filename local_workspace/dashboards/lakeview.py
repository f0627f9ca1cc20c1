"""Dashboards as in the Lakeview API: drafts, what is published of them, and the trash."""

import json
import uuid
from collections.abc import Callable

from local_workspace.api_errors import ApiError, invalid
from local_workspace.dashboards.definition import Dashboard, Json
from local_workspace.dashboards.published import Schemas
from local_workspace.object_files import ACTIVE, ObjectFiles, now
from local_workspace.paths import path_in_files
from local_workspace.users import USER_NAME
from machine.state_folder import StateFolder

WAREHOUSE = {
    "id": "local",
    "name": "Serverless Starter Warehouse",
    "state": "RUNNING",
    "cluster_size": "2X-Small",
    "creator_name": USER_NAME,
    "warehouse_type": "PRO",
    "enable_serverless_compute": True,
}
"""The only SQL warehouse: this machine's Spark, under the name that each new workspace gives its own."""
_KEPT = ("display_name", "warehouse_id", "serialized_dashboard")


class Lakeview:
    """Each method either does the whole thing or raises ApiError."""

    def __init__(self, state: StateFolder, check: Callable[[Dashboard], None]) -> None:
        """`check` raises ApiError where the queries of a dashboard cannot run on the tables that there are."""
        self._state = state
        self._check = check
        self._files = ObjectFiles(state.workspace / "dashboards", "dashboard", "dashboard_id")

    def create(self, settings: Json, catalog: str, schema: str) -> Json:
        """Make a draft, and return it."""
        if not settings.get("display_name"):
            raise invalid("display_name is missing.")
        parent = settings.get("parent_path") or f"/Users/{USER_NAME}"
        if not path_in_files(self._state, parent).is_dir():
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({parent}) doesn't exist.")
        parent = parent.removeprefix("/Workspace") or "/"
        dashboard: Json = {"dashboard_id": uuid.uuid4().hex, "parent_path": parent, "lifecycle_state": ACTIVE}
        dashboard |= {"create_time": now(), "etag": "0", "published": None, "serialized_dashboard": "{}\n"}
        return self._save(dashboard, settings, catalog, schema)

    def update(self, dashboard_id: str, changes: Json, catalog: str, schema: str) -> Json:
        """Change the draft, and return it. Nothing is published by that."""
        dashboard = self._files.active(dashboard_id)
        if changes.get("etag") and changes["etag"] != dashboard["etag"]:
            raise ApiError(
                409, "RESOURCE_CONFLICT", f"The dashboard {dashboard_id} was changed meanwhile: read it again."
            )
        return self._save(dashboard, changes, catalog, schema)

    def get(self, dashboard_id: str) -> Json:
        """Return the draft, with its lifecycle state, also of a dashboard in the trash."""
        return _view(self._files.get(dashboard_id))

    def views(self, *, published: bool = False) -> list[Json]:
        """Return the dashboards that are not in the trash, or only the published ones, sorted by name."""
        return [_view(one) for one in self._files.all_active() if one["published"] or not published]

    def publish(self, dashboard_id: str, embed_credentials: bool, warehouse_id: str) -> Json:
        """Publish the draft, which people then see."""
        dashboard = self._files.active(dashboard_id)
        revision = {
            "display_name": dashboard["display_name"],
            "warehouse_id": warehouse_id or dashboard["warehouse_id"],
            "embed_credentials": embed_credentials,
            "revision_create_time": now(),
        }
        content = {"serialized_dashboard": dashboard["serialized_dashboard"]}
        self._files.put(dashboard | {"published": revision | content})
        return revision

    def published(self, dashboard_id: str) -> Json:
        """Return what was published last, its content included."""
        found: Json | None = self._files.get(dashboard_id)["published"]
        if found is None:
            raise ApiError(
                404, "RESOURCE_DOES_NOT_EXIST", f"Unable to find published dashboard [dashboardId={dashboard_id}]"
            )
        return found

    def unpublish(self, dashboard_id: str) -> None:
        self.published(dashboard_id)
        self._files.put(self._files.active(dashboard_id) | {"published": None})

    def trash(self, dashboard_id: str) -> None:
        """Move the dashboard to the trash, and remove what was published of it."""
        gone = {"lifecycle_state": "TRASHED", "parent_path": f"/Users/{USER_NAME}/Trash", "published": None}
        self._files.put(self._files.active(dashboard_id) | gone)

    def _save(self, dashboard: Json, given: Json, catalog: str, schema: str) -> Json:
        changed = dashboard | {name: given[name] for name in _KEPT if given.get(name)}
        changed.setdefault("warehouse_id", WAREHOUSE["id"])
        if given.get("serialized_dashboard"):
            changed["serialized_dashboard"] = _completed(given["serialized_dashboard"], catalog, schema)
            if changed["serialized_dashboard"] != dashboard["serialized_dashboard"]:
                self._check(Dashboard.parse(changed["serialized_dashboard"]))
        changed["path"] = f"{changed['parent_path'].rstrip('/')}/{changed['display_name']}.lvdash.json"
        changed |= {"update_time": now(), "etag": str(int(dashboard["etag"]) + 1)}
        self._files.put(changed)
        return _view(changed)


def _view(dashboard: Json) -> Json:
    return {name: value for name, value in dashboard.items() if name != "published"}


def _completed(serialized: str, catalog: str, schema: str) -> str:
    """Return the content with what the real API adds: types of pages, and catalog and schema of the datasets."""
    try:
        content = json.loads(serialized)
    except (ValueError, RecursionError) as error:
        raise invalid(f"serialized_dashboard is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise invalid("serialized_dashboard must be a JSON object.")
    for page in _objects(content, "pages"):
        page.setdefault("pageType", "PAGE_TYPE_CANVAS")
    for dataset in _objects(content, "datasets"):
        dataset |= {name: value for name, value in (("catalog", catalog), ("schema", schema)) if value}
        Schemas.of(str(dataset.get("catalog", "")), str(dataset.get("schema", "")))
    return json.dumps(content, ensure_ascii=False) + "\n"


def _objects(content: Json, name: str) -> list[Json]:
    found = content.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
