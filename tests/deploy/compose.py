"""A compose file as docker compose sees it: variables filled in. Just what this project's files use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPO = Path(__file__).resolve().parents[2]
COMPOSE = REPO / "docker-compose.yaml"
OVERRIDE = REPO / "docker-compose.override.yml"
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?P<operator>:?[-?])?(?P<word>[^}]*)\}")


class MissingVariable(Exception):
    """A variable that the file demands is not set."""


def filled(value: Any, variables: Mapping[str, str]) -> Any:
    """A part of a compose file with its `${NAME}`, `${NAME-word}`, `${NAME:-word}` and `${NAME:?word}` filled in."""

    def one(found: re.Match[str]) -> str:
        name, operator = found["name"], found["operator"] or ""
        text = variables.get(name)
        if text or (text is not None and ":" not in operator):
            return text
        if operator.endswith("?"):
            raise MissingVariable(name)
        return found["word"] if operator.endswith("-") else ""

    if isinstance(value, dict):
        return {key: filled(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, variables) for item in value]
    return VARIABLE.sub(one, value) if isinstance(value, str) else value


def services(variables: Mapping[str, str], file: Path = COMPOSE) -> dict[str, dict[str, Any]]:
    """The services of a compose file; in their environments, names without a value are taken from the variables."""
    found: dict[str, dict[str, Any]] = filled(yaml.safe_load(file.read_text(encoding="utf-8"))["services"], variables)
    for service in found.values():
        environment = service.get("environment") or {}
        passed = {name: variables.get(name) if value is None else value for name, value in environment.items()}
        service["environment"] = {name: value for name, value in passed.items() if value is not None}
    return found


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """A Dockerfile's instructions in their order, as (name, rest), lines joined and comments left out."""
    lines = [line for line in dockerfile.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    parts = (line.split(None, 1) for line in text.splitlines() if line.strip())
    return [(name.upper(), rest[0] if rest else "") for name, *rest in parts]


def entrypoint(dockerfile: Path) -> list[str]:
    """The ENTRYPOINT of a Dockerfile, in its exec form."""
    return list(json.loads(dict(instructions(dockerfile))["ENTRYPOINT"]))
