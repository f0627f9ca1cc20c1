"""A bundle for one of its targets: the YAML files merged, and the variables resolved."""

import glob
import os
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from local_workspace.users import USER_NAME
from machine.command_line import UserError

_JOB_ID = re.compile(r"\$\{resources\.jobs\.([\w-]+)\.id\}")
"""How a job names one that it runs."""
_VARIABLE = re.compile(r"\$\{([^${}]+)\}")


class BundleError(UserError):
    """The bundle cannot be deployed. The message says where and why."""


class Bundle:
    """What `databricks bundle validate -t target` shows, for the features of bundles that this project uses.

    The effects of a target's `mode` and `run_as` on resources are left out.
    """

    def __init__(self, path: Path, target: str | None, overrides: list[str]) -> None:
        self.root = path.resolve().parent
        whole = _read(path)
        files = {path.resolve(): whole}
        for pattern in whole.get("include", []):
            for name in sorted(glob.glob(str(self.root / pattern))):  # noqa: PTH207
                files.setdefault(Path(name), _read(Path(name)))
        targets: dict[str, Any] = {}
        for content in files.values():
            targets = _merged(targets, content.get("targets") or {})
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
        self._resources = _merged(self._resources, settings.get("resources") or {})
        self._values = self._variables(whole, settings, overrides)
        self.lookups = {
            name: variable["lookup"]
            for name, variable in (whole.get("variables") or {}).items()
            if "lookup" in (variable or {}) and f"var.{name}" not in self._values
        }
        """Variable without a value -> the kind and the name of the resource whose id it takes."""

    def _add(self, file: Path, resources: dict[str, Any]) -> None:
        for kind, named in resources.items():
            for key, resource in (named or {}).items():
                if (kind, key) in self._origin:
                    raise BundleError(
                        f"{file}: {kind}.{key} is defined in {self._origin[kind, key]} too: remove one of them."
                    )
                self._origin[kind, key] = file
                self._resources.setdefault(kind, {})[key] = resource

    def _variables(self, whole: dict[str, Any], settings: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
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
        for item in overrides:
            name, equals, value = item.partition("=")
            if not equals or name not in declared:
                raise BundleError(f"--var {item}: write NAME=VALUE, with a variable that the bundle declares.")
            values[name] = _typed(value, declared[name])
        known: dict[str, Any] = {"bundle.name": self.name, "bundle.target": self.target}
        known |= {
            "workspace.current_user.userName": USER_NAME,
            "workspace.current_user.short_name": USER_NAME.split("@")[0],
        }
        known["workspace.root_path"] = f"/Workspace/Users/{USER_NAME}/.bundle/{self.name}/{self.target}"
        known["workspace.resource_path"] = "${workspace.root_path}/resources"
        for field, value in {**(whole.get("workspace") or {}), **(settings.get("workspace") or {})}.items():
            known[f"workspace.{field}"] = value
        known |= {f"var.{name}": value for name, value in values.items()}
        return known

    @property
    def remote_root(self) -> str:
        """The folder of the deployment in the workspace."""
        return str(self._resolved(self._values["workspace.root_path"], "workspace.root_path", ()))

    @property
    def kinds(self) -> list[str]:
        """The kinds of resources that the bundle has, such as jobs."""
        return sorted(kind for kind, named in self._resources.items() if named)

    def set_variable(self, name: str, value: str) -> None:
        """Set the value of a variable that was looked up."""
        self._values[f"var.{name}"] = value

    def set_id(self, kind: str, key: str, identifier: int | str) -> None:
        """Tell the id of a deployed job or pipeline to the jobs that run it."""
        self._values[f"resources.{kind}.{key}.id"] = identifier

    def resources(self, kind: str) -> Iterator[tuple[str, dict[str, Any], Path]]:
        """Yield the key and the settings of each resource, and the folder of the file that defines it.

        A job comes after those that it runs. Their ids must be set before it is reached; without, they stay references.
        """
        for key in self._in_order(self._resources.get(kind) or {}):
            settings = self._resolved(self._resources[kind][key], f"{kind}.{key}", ())
            yield key, _without_empty(settings), self._origin.get((kind, key), self.root / "databricks.yml").parent

    @staticmethod
    def _in_order(named: dict[str, Any]) -> list[str]:
        runs = {key: sorted({*_JOB_ID.findall(str(named[key]))} & named.keys()) for key in sorted(named)}
        try:
            return list(TopologicalSorter(runs).static_order())
        except CycleError as error:
            raise BundleError(f"These jobs run each other in a circle: {', '.join(error.args[1])}.") from error

    def _resolved(self, value: Any, where: str, inside: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {key: self._resolved(item, f"{where}.{key}", inside) for key, item in value.items()}
        if isinstance(value, list):
            return [self._resolved(item, f"{where}[{position}]", inside) for position, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        whole = _VARIABLE.fullmatch(value)
        if whole:  # the whole value: it keeps its type, such as a number
            return self._value(whole.group(1), where, inside)
        return _VARIABLE.sub(lambda match: str(self._value(match.group(1), where, inside)), value)

    def _value(self, name: str, where: str, inside: tuple[str, ...]) -> Any:
        if name in inside:
            raise BundleError(f"{where}: ${{{name}}} refers to itself.")
        if name in self._values:
            return self._resolved(self._values[name], where, (*inside, name))
        if name.startswith("resources.") or name.removeprefix("var.") in self.lookups:
            return f"${{{name}}}"
        parent, _, field = name.rpartition(".")
        if parent.startswith("var."):  # a field of a complex variable
            value = self._value(parent, where, inside)
            if isinstance(value, dict) and field in value:
                return value[field]
        hint = " (give it a default, or --var)" if name.startswith("var.") else ""
        raise BundleError(f"{where}: ${{{name}}} has no value{hint}.")


def _without_empty(value: Any) -> Any:
    """Leave out fields that are an empty string or list, as the CLI does: variables may resolve to them."""
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: item for name, item in value.items() if name == "default" or (item != "" and item != [])}
    return {name: _without_empty(item) for name, item in kept.items()}


def _typed(text: str, variable: dict[str, Any] | None) -> Any:
    """Return a value from the command line or environment, with the type of the variable's default: number, bool or
    string."""
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


def _merged(base: Any, change: Any) -> Any:
    """Return the base with a target's changes: mappings are merged, everything else is replaced."""
    if isinstance(base, dict) and isinstance(change, dict):
        return base | {key: _merged(base.get(key), value) for key, value in change.items()}
    return change
