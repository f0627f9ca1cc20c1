"""A bundle as one of its targets sees it: the YAML files put together, variables filled in."""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$\{([^${}]+)\}")
_USER = "local@localhost"


class BundleError(RuntimeError):
    """The bundle cannot be deployed. The message says where and why."""


class Bundle:
    """What `databricks bundle validate -t target` shows, for the part of a bundle that this project uses.

    Without what a target's `mode` or `run_as` does to resources.
    """

    def __init__(self, path: Path, target: str | None, given: list[str]) -> None:
        self.root = path.resolve().parent
        whole = _read(path)
        files = {path.resolve(): whole}
        for pattern in whole.get("include", []):
            for name in sorted(glob.glob(str(self.root / pattern))):  # noqa: PTH207
                files.setdefault(Path(name), _read(Path(name)))
        targets: dict[str, Any] = {}
        for content in files.values():
            targets = _overlaid(targets, content.get("targets") or {})
        self.name = str(whole.get("bundle", {}).get("name", "bundle"))
        self.target = target or next((name for name, t in targets.items() if (t or {}).get("default")), "default")
        if targets and self.target not in targets:
            raise BundleError(f"{path}: there is no target {self.target!r}; it has {', '.join(sorted(targets))}.")
        settings = targets.get(self.target) or {}
        self.mode: str | None = settings.get("mode")
        self._origin: dict[tuple[str, str], Path] = {}
        self._resources: dict[str, dict[str, Any]] = {}
        for file, content in files.items():
            self._add(file, content.get("resources") or {})
        self._resources = _overlaid(self._resources, settings.get("resources") or {})
        self._values = self._variables(whole, settings, given)

    def _add(self, file: Path, resources: dict[str, Any]) -> None:
        for kind, named in resources.items():
            for key, resource in (named or {}).items():
                if (kind, key) in self._origin:
                    raise BundleError(
                        f"{file}: {kind}.{key} is defined in {self._origin[kind, key]} too: one of them must go."
                    )
                self._origin[kind, key] = file
                self._resources.setdefault(kind, {})[key] = resource

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
        known |= {"workspace.current_user.userName": _USER, "workspace.current_user.short_name": _USER.split("@")[0]}
        known["workspace.root_path"] = f"/Workspace/Users/{_USER}/.bundle/{self.name}/{self.target}"
        for field, value in {**(whole.get("workspace") or {}), **(settings.get("workspace") or {})}.items():
            known[f"workspace.{field}"] = value
        known |= {f"var.{name}": value for name, value in values.items()}
        return known

    @property
    def remote_root(self) -> str:
        """The deployment's folder in the workspace."""
        return str(self._filled(self._values["workspace.root_path"], "workspace.root_path", ()))

    @property
    def kinds(self) -> list[str]:
        """The kinds of resources that there are, such as jobs."""
        return sorted(kind for kind, named in self._resources.items() if named)

    def resources(self, kind: str) -> Iterator[tuple[str, dict[str, Any], Path]]:
        """Each resource's key, its settings, and the folder of the file that defines it."""
        for key in sorted(self._resources.get(kind) or {}):
            filled = self._filled(self._resources[kind][key], f"{kind}.{key}", ())
            yield key, _without_empty(filled), self._origin.get((kind, key), self.root / "databricks.yml").parent

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
        if name in self._values:
            return self._filled(self._values[name], where, (*inside, name))
        parent, _, field = name.rpartition(".")
        if parent.startswith("var."):  # a part of a variable of type complex
            found = self._value(parent, where, inside)
            if isinstance(found, dict) and field in found:
                return found[field]
        hint = " (give it a default, or --var)" if name.startswith("var.") else ""
        raise BundleError(f"{where}: ${{{name}}} has no value{hint}.")


def _without_empty(value: Any) -> Any:
    """Without fields that are an empty text or list, as the CLI leaves them out: a variable may have made them so."""
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: item for name, item in value.items() if name == "default" or (item != "" and item != [])}
    return {name: _without_empty(item) for name, item in kept.items()}


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
