"""A query's tables, pinned to what is published: each view of the schema `published` becomes a subquery with a version.

On Databricks the job published_views makes these views. Here none is made: views would cost each run statements.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from local_workspace.api_errors import invalid
from local_workspace.dashboards.definition import parsed_sql

LAYERS = ("bronze", "silver", "gold")
_VIEW = re.compile(r"(?P<layer>bronze|silver|gold|ops)_(?P<table>\w+?)(?P<previous>_previous)?")
_SCHEMA = re.compile(r"(?P<prefix>\w*)published")


class NotPublished(Exception):
    """A query reads layers that have no publication yet."""


@dataclass(frozen=True)
class Schemas:
    """The catalog, and the prefix of the schemas, of the tables that the views of one schema `published` show."""

    catalog: str
    prefix: str

    @classmethod
    def of(cls, catalog: str, schema: str) -> "Schemas":
        """Return the schemas beside `published`, which has their prefix. Raises ApiError."""
        found = _SCHEMA.fullmatch(schema)
        if not re.fullmatch(r"\w+", catalog) or not found:
            raise invalid(
                f"dataset_catalog and dataset_schema must name the schema published, not {catalog!r} and {schema!r}."
            )
        return cls(catalog, found["prefix"])

    def table(self, layer: str, table: str) -> str:
        return f"{self.catalog}.{self.prefix}{layer}.{table}"


@dataclass(frozen=True)
class Publication:
    """The part of a row of ops.publications that decides what is shown."""

    layer: str
    seq: int
    versions: Mapping[str, int]
    """Delta version by table, such as gold.customers360."""
    landed_until: str
    """The first landing date after all that the layer has published."""
    published_at: str


@dataclass(frozen=True)
class Published:
    """The newest publication of each layer, and the one before."""

    newest: Mapping[str, Publication]
    previous: Mapping[str, Publication]


def views_of(sql: str) -> list[str]:
    """Return the views that a query reads. Raises ApiError."""
    parsed = parsed_sql(sql)
    inside = {cte.alias for cte in parsed.find_all(exp.CTE)}
    names = {table.name for table in parsed.find_all(exp.Table) if not table.db}
    return sorted(name for name in names - inside if _VIEW.fullmatch(name))


def pinned(sql: str, schemas: Schemas, published: Published) -> str:
    """Return the query with each view as a subquery at the version that is published. Raises NotPublished."""
    views = {view: _subquery(view, schemas, published) for view in views_of(sql)}
    if not views:
        return sql
    listed = ",\n".join(f"`{view}` AS ({subquery})" for view, subquery in views.items())
    return f"WITH {listed}\nSELECT * FROM (\n{sql}\n)"


def _subquery(view: str, schemas: Schemas, published: Published) -> str:
    found = _VIEW.fullmatch(view)
    if found is None:
        raise ValueError(f"{view} is no view of published tables")
    layer, table = found["layer"], found["table"]
    name = schemas.table(layer, table)
    every_row = f"SELECT * FROM {name}"  # noqa: S608 - names that were checked
    if layer == "ops":
        return every_row
    newest = _version(published.newest.get(layer), f"{layer}.{table}")
    if newest is None:
        raise NotPublished(f"{layer}.{table} is in no publication yet.")
    before = _version(published.previous.get(layer), f"{layer}.{table}")
    if not found["previous"]:
        return f"{every_row} VERSION AS OF {newest}"
    if before is None:  # nothing was there before the first publication
        return f"{every_row} VERSION AS OF {newest} WHERE false"
    return f"{every_row} VERSION AS OF {before}"


def _version(publication: Publication | None, table: str) -> int | None:
    return publication.versions.get(table) if publication else None
