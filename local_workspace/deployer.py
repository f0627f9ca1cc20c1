"""Deploy a bundle's jobs: read the YAML, fill in variables, upload the wheels, create or reset each job.

It does through the API what `databricks bundle deploy` does, for the part of a bundle that this project uses.
"""

import glob
import hashlib
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$\{([^${}]+)\}")
# Fields of a job that say who may do what, and where: without meaning for the one user of one machine.
_NOT_LOCAL = (
    "permissions",
    "run_as",
    "schedule",
    "trigger",
    "continuous",
    "email_notifications",
    "webhook_notifications",
    "notification_settings",
)


class BundleError(RuntimeError):
    """The bundle cannot be deployed. The message says where and why."""


class Bundle:
    """A bundle as one target sees it."""

    def __init__(self, path: Path, target: str | None, given: list[str]) -> None:
        self.root = path.resolve().parent
        whole = _read(path)
        self.name = str(whole.get("bundle", {}).get("name", "bundle"))
        targets = whole.get("targets") or {}
        self.target = target or next((name for name, t in targets.items() if (t or {}).get("default")), "default")
        if targets and self.target not in targets:
            raise BundleError(f"{path}: there is no target {self.target!r}; it has {', '.join(sorted(targets))}.")
        settings = targets.get(self.target) or {}
        files = [path]
        for pattern in whole.get("include", []):
            files += [Path(name) for name in sorted(glob.glob(str(self.root / pattern)))]  # noqa: PTH207
        self._origin: dict[str, Path] = {}
        self._jobs: dict[str, dict[str, Any]] = {}
        for file in files:
            content = whole if file == path else _read(file)
            for key, job in (content.get("resources", {}).get("jobs") or {}).items():
                if key in self._jobs:
                    raise BundleError(f"{file}: job {key!r} is defined in {self._origin[key]} too.")
                self._jobs[key], self._origin[key] = job, file.resolve().parent
        for key, change in ((settings.get("resources") or {}).get("jobs") or {}).items():
            self._jobs[key] = _overlaid(self._jobs.get(key, {}), change)
            self._origin.setdefault(key, self.root)
        self._values = self._variables(whole, settings, given)

    def _variables(self, whole: dict[str, Any], settings: dict[str, Any], given: list[str]) -> dict[str, Any]:
        declared = whole.get("variables") or {}
        values: dict[str, Any] = {}
        for name, variable in declared.items():
            if "default" in (variable or {}):
                values[name] = variable["default"]
        for name, value in (settings.get("variables") or {}).items():
            values[name] = value.get("default") if isinstance(value, dict) else value
        for name in declared:
            if f"BUNDLE_VAR_{name}" in os.environ:
                values[name] = _typed(os.environ[f"BUNDLE_VAR_{name}"], declared[name])
        for item in given:
            name, equals, value = item.partition("=")
            if not equals or name not in declared:
                raise BundleError(f"--var {item}: write NAME=VALUE, with a variable that the bundle declares.")
            values[name] = _typed(value, declared[name])
        known: dict[str, Any] = {"bundle.name": self.name, "bundle.target": self.target}
        known |= {"workspace.current_user.userName": "local@localhost", "workspace.root_path": self.remote_root}
        for field, value in {**(whole.get("workspace") or {}), **(settings.get("workspace") or {})}.items():
            known[f"workspace.{field}"] = value
        known |= {f"var.{name}": value for name, value in values.items()}
        return known

    @property
    def remote_root(self) -> str:
        return f"/Workspace/Shared/.bundle/{self.name}/{self.target}"

    def jobs(self) -> Iterator[tuple[str, dict[str, Any], Path]]:
        """Each job's settings, variables filled in, and the folder of the file that defines it."""
        for key in sorted(self._jobs):
            settings = self._filled(self._jobs[key], f"jobs.{key}", ())
            yield key, {name: v for name, v in settings.items() if name not in _NOT_LOCAL}, self._origin[key]

    def _filled(self, value: Any, where: str, inside: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(item, f"{where}.{key}", inside) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item, f"{where}[{place}]", inside) for place, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        whole = _VARIABLE.fullmatch(value)
        if whole:  # alone it keeps its type: a number stays a number
            return self._value(whole.group(1), where, inside)
        return _VARIABLE.sub(lambda found: str(self._value(found.group(1), where, inside)), value)

    def _value(self, name: str, where: str, inside: tuple[str, ...]) -> Any:
        if name in inside:
            raise BundleError(f"{where}: ${{{name}}} refers to itself.")
        if name not in self._values:
            hint = " (give it a default, or --var)" if name.startswith("var.") else ""
            raise BundleError(f"{where}: ${{{name}}} has no value{hint}.")
        return self._filled(self._values[name], where, (*inside, name))


def deploy(path: Path, target: str | None, given: list[str], host: str, token: str) -> Iterator[str]:
    """Create or reset each job of the bundle; yields a line for each. Jobs of others stay as they are."""
    if not path.is_file():
        raise BundleError(f"There is no bundle at {path}.")
    bundle = Bundle(path, target, given)
    client = _Client(host, token)
    uploaded: dict[Path, str] = {}
    for _, settings, folder in bundle.jobs():
        for environment in settings.get("environments", []):
            spec = environment.get("spec") or {}
            spec["dependencies"] = [
                remote
                for pattern in spec.get("dependencies", [])
                for remote in _wheel(bundle, pattern, folder, client, uploaded)
            ]
        name = settings["name"]
        settings["deployment"] = {"kind": "BUNDLE", "metadata_file_path": f"{bundle.remote_root}/state/metadata.json"}
        query = urllib.parse.urlencode({"name": name, "limit": 2})
        same = client.call("GET", f"/api/2.2/jobs/list?{query}").get("jobs", [])
        same = [job for job in same if job["settings"]["name"] == name]
        if len(same) > 1:
            raise BundleError(f"The workspace has more than one job named {name}: delete all but one.")
        if same and same[0]["settings"].get("deployment", {}).get("kind") != "BUNDLE":
            raise BundleError(f"Job {name} was made by hand ({same[0]['job_id']}): delete or rename it first.")
        if same:
            job_id = same[0]["job_id"]
            client.call("POST", "/api/2.2/jobs/reset", {"job_id": job_id, "new_settings": settings})
            yield f"reset    {name} ({job_id})"
        else:
            job_id = client.call("POST", "/api/2.2/jobs/create", settings)["job_id"]
            yield f"created  {name} ({job_id})"


def _wheel(bundle: Bundle, pattern: str, folder: Path, client: "_Client", uploaded: dict[Path, str]) -> Iterator[str]:
    if pattern.startswith(("/Workspace/", "/Volumes/")):
        yield pattern
        return
    found = sorted(glob.glob(str(folder / pattern))) or sorted(glob.glob(str(bundle.root / pattern)))  # noqa: PTH207
    if len(found) != 1:
        what = "no file fits it: build the wheel first" if not found else f"{len(found)} files fit it: keep one"
        raise BundleError(f"The dependency {pattern} (in {folder}): {what}.")
    file = Path(found[0]).resolve()
    if file not in uploaded:
        content = file.read_bytes()
        remote_folder = f"{bundle.remote_root}/artifacts/{hashlib.sha256(content).hexdigest()[:16]}"
        client.call("POST", "/api/2.0/workspace/mkdirs", {"path": remote_folder})
        remote = f"{remote_folder}/{file.name}"
        address = urllib.parse.quote(remote)
        client.call("POST", f"/api/2.0/workspace-files/import-file{address}?overwrite=true", content)
        uploaded[file] = remote
    yield uploaded[file]


class _Client:
    def __init__(self, host: str, token: str) -> None:
        self._host = host.rstrip("/")
        self._token = token
        if not self._host.startswith(("http://", "https://")):
            raise BundleError(f"--host {host}: it must begin with http:// or https://.")

    def call(self, method: str, path: str, body: dict[str, Any] | bytes | None = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self._host + path, data=data, method=method)  # noqa: S310 - checked above
        request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                result: dict[str, Any] = json.loads(answer.read() or b"{}")
                return result
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            try:
                text = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                text = text[:500]
            raise BundleError(f"The workspace refused {method} {path.partition('?')[0]}: {text}") from error
        except urllib.error.URLError as error:
            raise BundleError(
                f"There is no workspace at {self._host} ({error.reason}): start it with `make up`."
            ) from error


def _typed(text: str, variable: dict[str, Any] | None) -> Any:
    """A value from the command line, as a number or truth value where the variable's default is one."""
    default = (variable or {}).get("default")
    return yaml.safe_load(text) if isinstance(default, bool | int | float) else text


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BundleError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path} is not a bundle: it must be a mapping.")
    return content


def _overlaid(base: Any, change: Any) -> Any:
    """A target's changes over the bundle's own values: mappings merge, everything else replaces."""
    if isinstance(base, dict) and isinstance(change, dict):
        return base | {key: _overlaid(base.get(key), value) for key, value in change.items()}
    return change
