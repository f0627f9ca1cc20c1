"""The registry: every published table, in the order in which a layer builds and commits them.

A table is registered by its specification alone: each TableSpec in a module of `spark_jobs.layers` is found.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from graphlib import TopologicalSorter

from spark_jobs import layers
from spark_jobs.runtime.table_names import LAYERS
from spark_jobs.tables.spec import TableSpec


def _specifications() -> Iterator[TableSpec]:
    for module in pkgutil.walk_packages(layers.__path__, f"{layers.__name__}."):
        if module.name != __name__:
            content = vars(importlib.import_module(module.name))
            yield from (value for value in content.values() if isinstance(value, TableSpec))


def _in_order(specs: Iterator[TableSpec]) -> dict[str, TableSpec]:
    """Sort by layer; in a layer a table comes after those that it is derived from, and otherwise by name."""
    by_name = {spec.name: spec for spec in specs}
    sorter = TopologicalSorter({name: spec.staged_from for name, spec in by_name.items()})
    sorter.prepare()
    names: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        sorter.done(*ready)
        names += ready
    return {name: by_name[name] for name in sorted(names, key=lambda name: LAYERS.index(by_name[name].layer))}


TABLES: dict[str, TableSpec] = _in_order(_specifications())


def tables_of(layer: str) -> tuple[TableSpec, ...]:
    """Return the tables of a layer; a table comes after those that it is derived from."""
    return tuple(spec for spec in TABLES.values() if spec.layer == layer)
