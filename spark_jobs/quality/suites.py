"""The suites and checkpoints of `gx/`, as they are written (design, sections 1 and 2)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

PARAMETER = "$PARAMETER"
SEVERITIES = ("critical", "warning")


class SuiteRefused(Exception):
    """A suite or a checkpoint that cannot be judged by: the gate fails closed."""


@dataclass(frozen=True)
class SuiteFile:
    """A suite as its file says it, before Great Expectations has read it."""

    name: str
    expectations: tuple[dict[str, Any], ...]

    def types(self) -> list[str]:
        return sorted(expectation["type"] for expectation in self.expectations)

    def parameters(self) -> set[str]:
        """Names of the suite parameters that it needs."""
        return set(_parameters([expectation["kwargs"] for expectation in self.expectations]))


@dataclass(frozen=True)
class CheckpointFile:
    """Which suites judge which asset, and what the suite parameters are unless a run says otherwise."""

    layer: str
    suites: dict[str, tuple[str, ...]]
    parameters: dict[str, Any]


def read_checkpoint(layer: str, empty_change: bool = False) -> CheckpointFile:
    """Raises SuiteRefused for a file that is missing, unreadable, or without a validation.

    An empty change leaves tables as they were audited; the checkpoint names the assets that are judged even so.
    """
    content = _json(f"checkpoints/{layer}.json")
    try:
        suites = {v["asset"]: tuple(v["suites"]) for v in content["validations"]}
        parameters = dict(content.get("parameters", {}))
        judged = content["validated_of_an_empty_change"] if empty_change else list(suites)
        suites_judged = {asset: suites[asset] for asset in judged}
    except (KeyError, TypeError) as error:
        raise SuiteRefused(f"gx/checkpoints/{layer}.json is not a checkpoint: {error!r}") from None
    if len(suites) != len(content["validations"]):
        raise SuiteRefused(f"gx/checkpoints/{layer}.json names an asset twice")
    if not suites_judged:
        raise SuiteRefused(f"gx/checkpoints/{layer}.json has no validations")
    return CheckpointFile(layer, suites_judged, parameters)


def read_suite(name: str) -> SuiteFile:
    """Raises SuiteRefused for a file that is missing, unreadable, empty, or silent about a severity."""
    content = _json(f"suites/{name}.json")
    try:
        suite = SuiteFile(content["name"], tuple(content["expectations"]))
        untold = [e["type"] for e in suite.expectations if e.get("severity") not in SEVERITIES]
        suite.types()
        suite.parameters()
    except (KeyError, TypeError, AttributeError) as error:
        raise SuiteRefused(f"gx/suites/{name}.json is not a suite: {error!r}") from None
    if suite.name != name:
        raise SuiteRefused(f"gx/suites/{name}.json calls itself {suite.name!r}")
    if not suite.expectations:
        raise SuiteRefused(f"gx/suites/{name}.json holds no expectation, and would pass whatever the data")
    if untold:
        raise SuiteRefused(f"gx/suites/{name}.json: {untold[0]} has no severity (critical or warning)")
    return suite


def suites_hash(layer: str) -> str:
    """sha256 over the layer's checkpoint and the suites that it names, as bytes; what is missing counts as such."""
    names = [f"checkpoints/{layer}.json"]
    try:
        named = {suite for suites in read_checkpoint(layer).suites.values() for suite in suites}
        names += sorted(f"suites/{name}.json" for name in named)
    except SuiteRefused:
        pass  # The audit refuses it by name; here it only has to differ from a good one.
    digest = hashlib.sha256()
    for name in names:
        content = _bytes(name)
        digest.update(f"{name}\n{-1 if content is None else len(content)}\n".encode())
        digest.update(content or b"")
    return digest.hexdigest()


def _bytes(name: str) -> bytes | None:
    file = files("gx").joinpath(*name.split("/"))
    return file.read_bytes() if file.is_file() else None


def _json(name: str) -> Any:
    content = _bytes(name)
    if content is None:
        raise SuiteRefused(f"gx/{name} is missing")
    try:
        return json.loads(content)
    except ValueError as error:
        raise SuiteRefused(f"gx/{name} is not JSON: {error}") from None


def _parameters(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if PARAMETER in value:
            yield str(value[PARAMETER])
        for inner in value.values():
            yield from _parameters(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parameters(inner)
