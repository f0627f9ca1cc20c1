"""Deploy the pipelines, jobs, dashboards and SQL alerts of a bundle: upload files, create or replace each.

This is what `databricks bundle deploy` does, for the features of bundles that this project uses.
"""

import base64
import glob
import hashlib
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from local_workspace.bundle import Bundle, BundleError
from local_workspace.bundle_state import BundleState
from machine.http_client import HttpClient, HttpError

# Fields that mean nothing to the only user of one machine.
_NOT_LOCAL = (
    "permissions",
    "run_as",
    "schedule",
    "trigger",
    "continuous",
    "email_notifications",
    "webhook_notifications",
    "notification_settings",
    "notifications",
)


def deploy(path: Path, target: str | None, variables: list[str], host: str, token: str) -> Iterator[str]:
    """Create or replace each pipeline, job, dashboard and alert of the bundle, and yield a line for each. Others stay.

    `variables` are overrides, each as `NAME=VALUE`. Raises BundleError.
    """
    if not path.is_file():
        raise BundleError(f"There is no bundle at {path}.")
    bundle = Bundle(path, target, variables)
    others = [kind for kind in bundle.kinds if kind not in ("jobs", "pipelines", "dashboards", "alerts")]
    if bundle.mode or others:
        feature = f"mode {bundle.mode}" if bundle.mode else ", ".join(others)
        raise BundleError(
            f"Target {bundle.target} has {feature}, which only the Databricks CLI deploys: "
            f"`databricks bundle deploy -t {bundle.target}`."
        )
    client = _Client(host, token)
    uploaded: dict[Path, str] = {}
    state_file = f"{bundle.remote_root}/state/resources.json"
    local_copy = bundle.root / ".databricks" / "bundle" / bundle.target / "resources.json"
    state = BundleState(client.download(state_file), local_copy)
    known = client.listed("/api/2.0/pipelines", "statuses")
    for key, resource, folder in bundle.resources("pipelines"):
        settings = {name: value for name, value in resource.items() if name not in _NOT_LOCAL}
        if environment := settings.get("environment"):
            environment["dependencies"] = _uploaded_wheels(bundle, environment, folder, client, uploaded)
        _upload_definitions(bundle, settings, folder, client)
        name = settings["name"]
        settings["deployment"] = {"kind": "BUNDLE", "metadata_file_path": f"{bundle.remote_root}/state/metadata.json"}
        same_name = [found["pipeline_id"] for found in known if found["name"] == name]
        if len(same_name) > 1:
            raise BundleError(f"The workspace has more than one pipeline named {name}: delete all but one.")
        if same_name:
            pipeline_id = same_name[0]
            client.call("PUT", f"/api/2.0/pipelines/{pipeline_id}", settings)
            yield f"replaced {name} ({pipeline_id})"
        else:
            pipeline_id = client.call("POST", "/api/2.0/pipelines", settings)["pipeline_id"]
            yield f"created  {name} ({pipeline_id})"
        bundle.set_id("pipelines", key, pipeline_id)
        state.set("pipelines", key, pipeline_id, settings)
    for key, resource, folder in bundle.resources("jobs"):
        settings = {name: value for name, value in resource.items() if name not in _NOT_LOCAL}
        for environment in settings.get("environments", []):
            spec = environment.get("spec") or {}
            spec["dependencies"] = _uploaded_wheels(bundle, spec, folder, client, uploaded)
        name = settings["name"]
        settings["deployment"] = {"kind": "BUNDLE", "metadata_file_path": f"{bundle.remote_root}/state/metadata.json"}
        query = urllib.parse.urlencode({"name": name, "limit": 2})
        listed = client.call("GET", f"/api/2.2/jobs/list?{query}").get("jobs", [])
        existing = [job for job in listed if job["settings"]["name"] == name]
        if len(existing) > 1:
            raise BundleError(f"The workspace has more than one job named {name}: delete all but one.")
        if existing and existing[0]["settings"].get("deployment", {}).get("kind") != "BUNDLE":
            raise BundleError(
                f"Job {name} was not created by a bundle ({existing[0]['job_id']}): delete or rename it first."
            )
        if existing:
            job_id = existing[0]["job_id"]
            client.call("POST", "/api/2.2/jobs/reset", {"job_id": job_id, "new_settings": settings})
            yield f"reset    {name} ({job_id})"
        else:
            job_id = client.call("POST", "/api/2.2/jobs/create", settings)["job_id"]
            yield f"created  {name} ({job_id})"
        bundle.set_id("jobs", key, job_id)
        state.set("jobs", key, job_id, settings)
    yield from _deploy_dashboards(bundle, client, state)
    yield from _deploy_alerts(bundle, client, state)
    client.upload(state_file, state.content())
    _remove_other_wheels(bundle, client, uploaded.values())


def _deploy_dashboards(bundle: Bundle, client: "_Client", state: BundleState) -> Iterator[str]:
    """Create or replace each dashboard, and publish it."""
    for variable, lookup in bundle.lookups.items():
        bundle.set_variable(variable, _warehouse(variable, lookup, client))
    known = client.listed("/api/2.0/lakeview/dashboards", "dashboards")
    for key, resource, folder in bundle.resources("dashboards"):
        settings = {name: value for name, value in resource.items() if name not in _NOT_LOCAL}
        file = folder / settings.pop("file_path")
        if not file.is_file():
            raise BundleError(f"The dashboard {key} has no file at {file}.")
        settings["serialized_dashboard"] = file.read_text(encoding="utf-8")
        settings.setdefault("parent_path", f"{bundle.remote_root}/resources")
        client.call("POST", "/api/2.0/workspace/mkdirs", {"path": settings["parent_path"]})
        query = urllib.parse.urlencode({name: settings[name] for name in ("dataset_catalog", "dataset_schema")})
        names = ("display_name", "parent_path", "serialized_dashboard", "warehouse_id")
        body, title = {name: settings[name] for name in names}, settings["display_name"]
        place = f"{settings['parent_path'].removeprefix('/Workspace')}/{title}.lvdash.json"
        existing = [one["dashboard_id"] for one in known if one["path"] == place]
        try:
            if existing:
                made = client.call("PATCH", f"/api/2.0/lakeview/dashboards/{existing[0]}?{query}", body)
            else:
                made = client.call("POST", f"/api/2.0/lakeview/dashboards?{query}", body)
        except HttpError as error:
            raise BundleError(f"{file}: {error}") from error
        dashboard_id = made["dashboard_id"]
        client.call("POST", f"/api/2.0/lakeview/dashboards/{dashboard_id}/published", {"embed_credentials": False})
        yield f"{'replaced' if existing else 'created '} {title} ({dashboard_id})"
        added = {"embed_credentials": False, "etag": made["etag"], "published": True}
        state.set("dashboards", key, dashboard_id, settings | added)


def _deploy_alerts(bundle: Bundle, client: "_Client", state: BundleState) -> Iterator[str]:
    """Create or replace each SQL alert. Variables that name a warehouse by lookup must be set before."""
    known = client.listed("/api/2.0/alerts", "alerts")
    for key, resource, _ in bundle.resources("alerts"):
        settings = {name: value for name, value in resource.items() if name not in ("permissions", "run_as")}
        settings.setdefault("parent_path", f"{bundle.remote_root}/resources")
        place = (settings["parent_path"], settings["display_name"])
        existing = [one["id"] for one in known if (one["parent_path"], one["display_name"]) == place]
        if existing:
            alert_id = client.call("PATCH", f"/api/2.0/alerts/{existing[0]}?update_mask=*", settings)["id"]
        else:
            alert_id = client.call("POST", "/api/2.0/alerts", settings)["id"]
        yield f"{'replaced' if existing else 'created '} {settings['display_name']} ({alert_id})"
        state.set("alerts", key, alert_id, settings)


def _warehouse(variable: str, lookup: dict[str, str], client: "_Client") -> str:
    """Return the id of the SQL warehouse that a variable names."""
    if set(lookup) != {"warehouse"}:
        raise BundleError(f"variables.{variable}.lookup: only a warehouse can be looked up, not {', '.join(lookup)}.")
    found = client.call("GET", "/api/2.0/sql/warehouses").get("warehouses", [])
    ids = [one["id"] for one in found if one["name"] == lookup["warehouse"]]
    if not ids:
        raise BundleError(f"variables.{variable}: there is no SQL warehouse named {lookup['warehouse']!r}.")
    return str(ids[0])


def _remove_other_wheels(bundle: Bundle, client: "_Client", uploaded: Iterable[str]) -> None:
    """Remove what earlier deployments have uploaded: the workspace has unpacked what its runs still need."""
    folder = f"{bundle.remote_root}/artifacts"
    kept = {path.rpartition("/")[0] for path in uploaded}
    if not kept:
        return
    listed = client.call("GET", f"/api/2.0/workspace/list?{urllib.parse.urlencode({'path': folder})}")
    for path in (found["path"] for found in listed.get("objects", [])):
        if path not in kept:
            client.call("POST", "/api/2.0/workspace/delete", {"path": path, "recursive": True})


def _upload_definitions(bundle: Bundle, settings: dict[str, Any], folder: Path, client: "_Client") -> None:
    """Upload the files below the pipeline's root folder, and name them by their new paths. The root must be given."""
    if "root_path" not in settings:
        raise BundleError(f"Pipeline {settings['name']} has no root_path: name the folder of its definitions.")
    root = (folder / settings["root_path"]).resolve()

    def remote(path: Path) -> str:
        return f"{bundle.remote_root}/files/{path.relative_to(bundle.root).as_posix()}"

    for file in sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        client.upload(remote(file), file.read_bytes())
    settings["root_path"] = remote(root)
    for library in settings["libraries"]:
        for named, field in ((library.get("glob"), "include"), (library.get("file"), "path")):
            if named:
                path, stars, _ = named[field].partition("/**")
                named[field] = remote((folder / path).resolve()) + stars


def _uploaded_wheels(
    bundle: Bundle, environment: dict[str, Any], folder: Path, client: "_Client", uploaded: dict[Path, str]
) -> list[str]:
    """Return the environment's dependencies by the paths of the workspace."""
    return [
        remote
        for pattern in environment.get("dependencies", [])
        for remote in _uploaded_wheel(bundle, pattern, folder, client, uploaded)
    ]


def _uploaded_wheel(
    bundle: Bundle, pattern: str, folder: Path, client: "_Client", uploaded: dict[Path, str]
) -> Iterator[str]:
    if pattern.startswith(("/Workspace/", "/Volumes/")):
        yield pattern
        return
    matches = sorted(glob.glob(str(folder / pattern))) or sorted(glob.glob(str(bundle.root / pattern)))  # noqa: PTH207
    if len(matches) != 1:
        fault = f"{len(matches)} files match: keep one" if matches else "no file matches: build the wheel first"
        raise BundleError(f"The dependency {pattern} (in {folder}): {fault}.")
    file = Path(matches[0]).resolve()
    if file not in uploaded:
        content = file.read_bytes()
        remote = f"{bundle.remote_root}/artifacts/{hashlib.sha256(content).hexdigest()[:16]}/{file.name}"
        client.upload(remote, content)
        uploaded[file] = remote
    yield uploaded[file]


class _Client(HttpClient):
    """The workspace's API. Every method raises HttpError."""

    def __init__(self, host: str, token: str) -> None:
        if not host.startswith(("http://", "https://")):
            raise BundleError(f"--host {host}: it must begin with http:// or https://.")
        super().__init__("The workspace", host, token)

    def listed(self, path: str, name: str) -> list[dict[str, Any]]:
        """Return everything that a list has under a name, from all of its pages."""
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self.call("GET", f"{path}?{urllib.parse.urlencode({'page_token': token})}")
            found += page.get(name, [])
            token = page.get("next_page_token")
            if not token:
                return found

    def upload(self, path: str, content: bytes) -> None:
        """Write a file of the workspace, and replace an existing one."""
        self.call("POST", "/api/2.0/workspace/mkdirs", {"path": path.rpartition("/")[0]})
        self.call("POST", f"/api/2.0/workspace-files/import-file{urllib.parse.quote(path)}?overwrite=true", content)

    def download(self, path: str) -> bytes | None:
        """Return the content of a file of the workspace; None if it does not exist."""
        try:
            exported = self.call("GET", f"/api/2.0/workspace/export?{urllib.parse.urlencode({'path': path})}")
        except HttpError as error:
            if error.status == 404:
                return None
            raise
        return base64.b64decode(exported["content"])
