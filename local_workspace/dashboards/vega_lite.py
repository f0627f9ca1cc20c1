"""A chart of a dashboard file as a specification of Vega-Lite, whose rows come later, under the name `rows`."""

from collections.abc import Sequence
from typing import Any

from local_workspace.dashboards.definition import ComputedField, Json, Spec

DATES = "dates"
"""The selection by which a person picks a range of dates in a chart."""
_TYPES = {"temporal": "temporal", "quantitative": "quantitative", "categorical": "nominal", "ordinal": "ordinal"}
_TIME_UNITS = {"DAY": "utcyearmonthdate", "WEEK": "utcyearmonthdate", "MONTH": "utcyearmonth"} | {
    "QUARTER": "utcyearquarter",
    "YEAR": "utcyear",
}
_SORTS = {"x": "x", "y": "y", "x-reversed": "-x", "y-reversed": "-y", "natural-order": None}
# An area and a line have no row of their own; a person can point at a point, though it is not seen.
_POINTS: Json = {"size": 36, "tooltip": {"content": "data"}}
_MARKS: dict[str, Json] = {
    "area": {"type": "area", "line": True, "point": {"opacity": 0} | _POINTS, "fillOpacity": 0.35},
    "bar": {"type": "bar", "cornerRadiusEnd": 2},
    # A line through few points, or through one, is hardly seen.
    "line": {"type": "line", "point": {"opacity": {"expr": "length(data('rows')) > 60 ? 0 : 1"}} | _POINTS},
    "pie": {"type": "arc", "innerRadius": {"expr": "min(width, height) * 0.27"}, "padAngle": 0.012},
    "scatter": {"type": "point", "filled": True, "size": 64, "opacity": 0.8},
}


def specification(spec: Spec, fields: Sequence[ComputedField]) -> Json:
    """Return the specification of a chart that was parsed; `fields` are those of its query."""
    by_name = {field.name: field for field in fields}
    channels: Json = {
        channel: _channel(channel, spec.encodings[channel], by_name[spec.encodings[channel]["fieldName"]])
        for channel in ("x", "y", "color", "angle", "size")
        if channel in spec.encodings
    }
    base: Json = {"data": {"name": "rows"}, "width": "container", "height": "container"}
    if spec.widget_type == "heatmap":
        return base | _heatmap(channels, number_format(spec.encodings["color"].get("format")))
    if spec.widget_type == "pie":
        channels["theta"] = {**channels.pop("angle"), "stack": True}
        channels["order"] = {"field": channels["theta"]["field"], "type": "quantitative", "sort": "descending"}
        return base | {"mark": _MARKS["pie"], "encoding": channels}
    drawn: Json = base | {"mark": _MARKS[spec.widget_type], "encoding": channels}
    if channels["x"].get("type") == "temporal":
        drawn["params"] = [{"name": DATES, "select": {"type": "interval", "encodings": ["x"]}}]
    return drawn


def _channel(name: str, encoding: Json, field: ComputedField) -> Json:
    scale = encoding.get("scale") or {}
    kind = _TYPES.get(scale.get("type", ""), "temporal" if field.unit else "nominal")
    title = (encoding.get("axis") or {}).get("title") or encoding.get("displayName") or field.name
    channel: Json = {"field": _path(field.name), "type": kind, "title": title}
    if kind == "temporal":
        channel["scale"] = {"type": "utc"}
        if field.unit:
            channel["timeUnit"] = _TIME_UNITS[field.unit]
    elif kind == "quantitative" and name in ("x", "y"):
        channel["axis"] = {"format": number_format(encoding.get("format"), axis=True)}
    if sort := scale.get("sort"):
        channel["sort"] = sort.get("order") if sort.get("by") == "custom-order" else _SORTS.get(sort.get("by"))
    if (encoding.get("axis") or {}).get("hideTitle"):
        channel["title"] = None
    return channel


def _heatmap(channels: Json, shown: str) -> Json:
    """Return a heat map that shows its numbers; on dark cells they are light."""
    color = {**channels["color"], "legend": None}
    most = {"joinaggregate": [{"op": "max", "field": color["field"], "as": "most of all"}]}
    is_dark = f"datum[{_quoted(color['field'])}] > 0.55 * datum['most of all']"
    text: Json = {"field": color["field"], "type": "quantitative", "format": shown}
    inked = {"condition": {"test": is_dark, "value": "white"}, "value": "#1d2733"}
    places = {channel: channels[channel] for channel in ("x", "y")}
    return {
        "transform": [most],
        "layer": [
            {"mark": {"type": "rect", "cornerRadius": 2}, "encoding": {**places, "color": color}},
            {"mark": {"type": "text", "fontSize": 11}, "encoding": {**places, "text": text, "color": inked}},
        ],
    }


def number_format(given: Any, *, axis: bool = False) -> str:
    """Return d3's format for a number format of the file; on an axis, shortened to thousands and millions."""
    given = given if isinstance(given, dict) else {}
    kind, places = given.get("type", "number"), (given.get("decimalPlaces") or {}).get("places")
    if kind == "number-percent":
        return f".{1 if places is None else places}%"
    if kind == "number-plain":
        return "~f"
    sign = "$" if kind == "number-currency" else ""
    if axis:
        return f"{sign}~s"
    if places is None:
        return "$,.2f" if sign else ","
    return f"{sign},.{places}f"


def number_options(given: Any) -> Json:
    """Return the options of JavaScript's Intl.NumberFormat for the same, in counters and tables."""
    given = given if isinstance(given, dict) else {}
    kind, places = given.get("type", "number"), (given.get("decimalPlaces") or {}).get("places")
    if places is None:
        places = {"number-percent": 1, "number-currency": 2}.get(kind)
    digits: Json = {"maximumFractionDigits": 12}
    if places is not None and kind != "number-plain":
        digits = {"minimumFractionDigits": places, "maximumFractionDigits": places}
    style: dict[str, Json] = {
        "number-percent": {"style": "percent"},
        "number-currency": {"style": "currency", "currency": "USD"},
        "number-plain": {"useGrouping": False},
    }
    return digits | style.get(kind, {})


def _path(name: str) -> str:
    """Return a field's name as Vega takes it, which reads dots and brackets as a path."""
    return name.replace("\\", "\\\\").replace(".", "\\.").replace("[", "\\[").replace("]", "\\]")


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "\\'") + "'"
