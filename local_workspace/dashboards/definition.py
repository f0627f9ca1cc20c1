"""The content of an AI/BI dashboard file, checked: what this workspace cannot draw is refused with its place."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import sqlglot
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from sqlglot import exp

from local_workspace.api_errors import ApiError, from_validation, invalid, unsupported

CHARTS = ("area", "bar", "heatmap", "line", "pie", "scatter")
FILTERS = ("filter-date-range-picker", "filter-multi-select", "filter-single-select")
WIDGETS = (*CHARTS, *FILTERS, "counter", "table")
_CHANNELS = {"pie": ("angle", "color"), "heatmap": ("x", "y", "color"), "counter": ("value",)}
"""By widget: the encodings that it needs. Other charts need x and y, tables columns, filters fields."""
_NAME = r"`(?P<{0}>[^`]+)`"
_COLUMN = re.compile(_NAME.format("column"))
_TRUNCATED = re.compile(rf"DATE_TRUNC\(\s*['\"](?P<unit>\w+)['\"]\s*,\s*{_NAME.format('column')}\s*\)", re.IGNORECASE)
_AGGREGATE = re.compile(
    rf"(?P<function>SUM|AVG|MIN|MAX|COUNT)\(\s*(?P<distinct>DISTINCT\s+)?(?:{_NAME.format('column')}|\*)\s*\)",
    re.IGNORECASE,
)
_RATIO = re.compile(r"(?P<above>.+?)\s*/\s*NULLIF\((?P<below>.+),\s*0\s*\)", re.IGNORECASE)
_MEASURE = re.compile(rf"MEASURE\({_NAME.format('column')}\)", re.IGNORECASE)
_TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_UNITS = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
Json = dict[str, Any]


class _Part(BaseModel):
    # What else the format has, such as colours, changes no number: it is kept in the file and not looked at.
    model_config = ConfigDict(extra="ignore", strict=True, alias_generator=to_camel)


class Calculation(_Part):
    display_name: str
    expression: str


class Dataset(_Part):
    name: str
    display_name: str = ""
    query: str = ""
    query_lines: list[str] = []
    columns: list[Calculation] = []
    parameters: list[Any] = []
    catalog: str = ""
    schema_name: str = Field("", alias="schema")

    @property
    def sql(self) -> str:
        return (self.query or "".join(self.query_lines)).strip().rstrip(";")


class QueryField(_Part):
    name: str
    expression: str


class Query(_Part):
    dataset_name: str
    fields: list[QueryField]
    disaggregated: bool = False


class NamedQuery(_Part):
    name: str
    query: Query


class Spec(_Part):
    widget_type: str
    encodings: Json = {}
    frame: Json = {}


class Textbox(_Part):
    lines: list[str]


class Widget(_Part):
    name: str
    queries: list[NamedQuery] = []
    spec: Spec | None = None
    multiline_textbox_spec: Textbox | None = None
    textbox_spec: str = Field("", alias="textbox_spec")

    @property
    def text(self) -> str:
        """Markdown, of a widget that is only text."""
        return self.textbox_spec or "".join(self.multiline_textbox_spec.lines if self.multiline_textbox_spec else [])

    @property
    def title(self) -> str:
        return str(self.spec.frame.get("title") or self.name) if self.spec else self.name


class Position(_Part):
    x: int
    y: int
    width: int
    height: int


class Placed(_Part):
    widget: Widget
    position: Position


class Page(_Part):
    name: str
    display_name: str = ""
    page_type: str = "PAGE_TYPE_CANVAS"
    layout_version: str = ""
    layout: list[Placed] = []

    @property
    def columns(self) -> int:
        """The width of the grid."""
        return 12 if self.layout_version == "GRID_V1" else 6


@dataclass(frozen=True)
class ComputedField:
    """A field of a widget's query: what is computed of a dataset's columns, as the browser does it."""

    name: str
    operation: str
    """value, count, distinct, sum, avg, min, max, or ratio."""
    column: str = ""
    unit: str = ""
    """Of a value: the unit to which a date is cut."""
    parts: "tuple[ComputedField, ...]" = ()
    """Of a ratio: what is divided, and by what."""

    @property
    def is_measure(self) -> bool:
        return self.operation != "value"

    @property
    def columns(self) -> set[str]:
        own = {self.column} if self.column else set()
        return own.union(*(part.columns for part in self.parts))

    def as_json(self) -> Json:
        return {
            "name": self.name,
            "operation": self.operation,
            "column": self.column,
            "unit": self.unit,
            "parts": [part.as_json() for part in self.parts],
        }


class Dashboard(_Part):
    """A dashboard that can be drawn: `parse` has checked all of it."""

    datasets: list[Dataset] = []
    pages: list[Page] = []

    @classmethod
    def parse(cls, serialized: str) -> Self:
        """Read the content of a file. Raises ApiError with the place of the first fault."""
        try:
            content = json.loads(serialized)
        except (ValueError, RecursionError) as error:
            raise invalid(f"serialized_dashboard is not JSON: {error}.") from error
        try:
            dashboard = cls.model_validate(content)
        except ValidationError as error:
            raise from_validation(error, "field") from error
        for number, dataset in enumerate(dashboard.datasets):
            _check_dataset(dataset, f"datasets[{number}] ({dataset.name})")
        for place, widget in dashboard._placed():
            dashboard._check_widget(widget, place)
        return dashboard

    @property
    def canvas_pages(self) -> list[Page]:
        return [page for page in self.pages if page.page_type != "PAGE_TYPE_GLOBAL_FILTERS"]

    def filters_of(self, page: Page) -> list[Widget]:
        """Return the filters that hold on a page: its own, and those of all pages."""
        everywhere = [one for one in self.pages if one.page_type == "PAGE_TYPE_GLOBAL_FILTERS"]
        widgets = (placed.widget for source in (*everywhere, page) for placed in source.layout)
        return [widget for widget in widgets if widget.spec and widget.spec.widget_type in FILTERS]

    def dataset(self, name: str) -> Dataset | None:
        return next((dataset for dataset in self.datasets if dataset.name == name), None)

    def fields(self, query: Query) -> list[ComputedField]:
        """Return the fields of a query. Raises ApiError for an expression that this workspace cannot compute."""
        dataset = self.dataset(query.dataset_name)
        measures = {one.display_name: one.expression for one in dataset.columns} if dataset else {}
        return [_computed(field.name, field.expression, measures) for field in query.fields]

    def _placed(self) -> Iterator[tuple[str, Widget]]:
        for page_number, page in enumerate(self.pages):
            for number, placed in enumerate(page.layout):
                yield f"pages[{page_number}].layout[{number}].widget ({placed.widget.name})", placed.widget

    def _check_widget(self, widget: Widget, place: str) -> None:
        spec = widget.spec
        if spec is None:
            if not widget.text:
                raise invalid(f"{place} has neither a spec nor a text.")
            return
        if spec.widget_type not in WIDGETS:
            raise unsupported(f"widgets of the type {spec.widget_type!r}, at {place}: only {', '.join(WIDGETS)}")
        known: dict[str, set[str]] = {}
        for number, named in enumerate(widget.queries):
            known[named.name] = self._check_query(named.query, f"{place}.queries[{number}]")
        if not known:
            raise invalid(f"{place} has no queries.")
        if spec.widget_type not in FILTERS and len(known) > 1:
            raise unsupported(f"more than one query of a widget, at {place}")
        for channel, encoding in _encodings(spec, place):
            name, at = encoding.get("fieldName"), f"{place}.spec.encodings.{channel}"
            # Only filters have several queries, and name one.
            query = encoding.get("queryName", "") if spec.widget_type in FILTERS else widget.queries[0].name
            fields = known.get(query)
            if fields is None:
                raise invalid(f"{at}.queryName: the widget has no query {query!r}.")
            if name not in fields:
                raise invalid(f"{at}.fieldName: the query has no field {name!r}; it has {', '.join(sorted(fields))}.")

    def _check_query(self, query: Query, place: str) -> set[str]:
        dataset = self.dataset(query.dataset_name)
        if dataset is None:
            raise invalid(f"{place}.query.datasetName: there is no dataset {query.dataset_name!r}.")
        columns = output_columns(dataset.sql)
        try:
            fields = self.fields(query)
        except ApiError as error:
            raise invalid(f"{place}: {error.message}") from error
        for field in fields:
            if columns is not None and (missing := sorted(field.columns - columns)):
                raise invalid(
                    f"{place}, field {field.name!r}: the dataset {dataset.name} has no column {missing[0]!r}; "
                    f"it has {', '.join(sorted(columns))}."
                )
        return {field.name for field in fields}


@lru_cache(maxsize=256)  # takes milliseconds, and each widget asks for that of its dataset
def parsed_sql(sql: str) -> exp.Query:
    """Parse a query. Raises ApiError."""
    try:
        found = sqlglot.parse(sql, read="databricks")
    except sqlglot.errors.SqlglotError as error:
        message = _TERMINAL_COLOURS.sub("", str(error))
        raise invalid(f"this is no SQL: {message}") from error
    if len(found) != 1 or not isinstance(found[0], exp.Query):
        raise invalid("it must be one query that only reads.")
    return found[0]


def output_columns(sql: str) -> set[str] | None:
    """Return the names of a query's columns; None where it selects `*`."""
    parsed = parsed_sql(sql)
    names = parsed.named_selects if isinstance(parsed, exp.Query) else []
    return None if "*" in names else set(names)


def _check_dataset(dataset: Dataset, place: str) -> None:
    if dataset.parameters:
        raise unsupported(f"parameters of datasets, at {place}.parameters")
    try:
        parsed_sql(dataset.sql)
    except ApiError as error:
        raise invalid(f"{place}.query: {error.message}") from error


def _encodings(spec: Spec, place: str) -> Iterator[tuple[str, Json]]:
    """Yield each encoding that names a field, with its place."""
    lists = {"table": "columns"} | dict.fromkeys(FILTERS, "fields")
    if listed := lists.get(spec.widget_type):
        found = spec.encodings.get(listed)
        if not isinstance(found, list) or not found:
            raise invalid(f"{place}.spec.encodings.{listed} is missing.")
        for number, encoding in enumerate(found):
            yield f"{listed}[{number}]", _object(encoding, f"{place}.spec.encodings.{listed}[{number}]")
        return
    for channel in _CHANNELS.get(spec.widget_type, ("x", "y")):
        if channel not in spec.encodings:
            raise invalid(f"{place}.spec.encodings.{channel} is missing.")
    for channel in ("x", "y", "color", "angle", "size", "value"):
        if channel in spec.encodings:
            encoding = _object(spec.encodings[channel], f"{place}.spec.encodings.{channel}")
            if "fields" in encoding:
                raise unsupported(f"several fields in one encoding, at {place}.spec.encodings.{channel}")
            yield channel, encoding
    for number, encoding in enumerate(spec.encodings.get("extra", [])):  # what only tooltips show
        yield f"extra[{number}]", _object(encoding, f"{place}.spec.encodings.extra[{number}]")


def _object(value: Any, place: str) -> Json:
    if not isinstance(value, dict):
        raise invalid(f"{place} must be an object.")
    return value


def _computed(name: str, expression: str, measures: dict[str, str], depth: Sequence[str] = ()) -> ComputedField:
    text = expression.strip()
    if found := _COLUMN.fullmatch(text):
        return ComputedField(name, "value", found["column"])
    if (found := _TRUNCATED.fullmatch(text)) and found["unit"].upper() in _UNITS:
        return ComputedField(name, "value", found["column"], found["unit"].upper())
    if found := _AGGREGATE.fullmatch(text):
        function, column = found["function"].lower(), found["column"]
        if function == "count" and column in (None, "*"):
            return ComputedField(name, "count")
        if column and (function == "count" or not found["distinct"]):
            return ComputedField(name, "distinct" if found["distinct"] else function, column)
    if (found := _MEASURE.fullmatch(text)) and found["column"] in measures and found["column"] not in depth:
        return _computed(name, measures[found["column"]], measures, (*depth, found["column"]))
    if found := _RATIO.fullmatch(text):
        parts = tuple(_computed(name, found[part], measures, depth) for part in ("above", "below"))
        if all(part.is_measure and part.operation != "ratio" for part in parts):
            return ComputedField(name, "ratio", parts=parts)
    raise unsupported(
        f"the expression {expression!r} of the field {name!r}: only `column`, DATE_TRUNC, SUM, AVG, MIN, MAX, COUNT, "
        "COUNT(DISTINCT), one of these divided by NULLIF of another, and MEASURE of a calculation of the dataset"
    )
