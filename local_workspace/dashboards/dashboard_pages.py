"""The pages of dashboards: what the browser draws, the rows of each dataset, and the news of publications."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from local_workspace.dashboards.definition import FILTERS, Dashboard, Json, Page, Placed, Widget
from local_workspace.dashboards.lakeview import Lakeview
from local_workspace.dashboards.published import LAYERS, NotPublished, Schemas
from local_workspace.dashboards.results import QueryFailed, Results
from local_workspace.dashboards.vega_lite import number_options, specification
from local_workspace.paths import written
from machine.state_folder import StateFolder, private_folder

log = logging.getLogger(__name__)
NEWS_SECONDS = 1.0
"""Between two checks whether something was published; each costs two calls of the file system."""
HEARTBEAT = 15
_VEGA = "window.vegaEmbed = vegaEmbed;"
Handler = Callable[..., Awaitable[Response]]
parsed = lru_cache(maxsize=16)(Dashboard.parse)


def vega_script(state: StateFolder) -> Path:
    """Return the file with Vega, Vega-Lite and Vega-Embed; made once for each version, which takes seconds."""
    import vl_convert  # a whole JavaScript engine: not for those who only run jobs

    folder = private_folder(state.workspace / "assets")
    version = f"{vl_convert.get_vega_version()}-{vl_convert.get_vegalite_versions()[-1]}"
    file = folder / f"vega-{version}.js"
    if not file.exists():
        with written(file) as draft:
            draft.write(vl_convert.javascript_bundle(_VEGA).encode())
    return file


def dashboard_routes(
    state: StateFolder, lakeview: Lakeview, results: Results, page: Callable[..., Response]
) -> list[tuple[str, Handler]]:
    """Return the paths with their handlers. `page` renders a template."""

    async def listed(_: Request) -> Response:
        found = [(view["display_name"], _address(view["dashboard_id"])) for view in lakeview.views(published=True)]
        if len(found) == 1:
            return RedirectResponse(found[0][1], 303)
        return page("dashboards.html", dashboards=found)

    async def shown(request: Request, dashboard_id: str) -> Response:
        found = lakeview.published(dashboard_id)
        dashboard = parsed(found["serialized_dashboard"])
        name = request.query_params.get("page", "")
        pages = dashboard.canvas_pages
        if not pages:
            raise ValueError(f"The dashboard {found['display_name']} has no page.")
        current = next((one for one in pages if one.name == name), pages[0])
        stamp = [results.stamp(one) for one in schemas_of(dashboard)]
        model = _model(dashboard, current) | {"address": f"/dashboardsv3/{dashboard_id}", "stamp": stamp}
        return page(
            "dashboard.html",
            name=found["display_name"],
            pages=pages,
            current=current,
            placed=sorted(current.layout, key=lambda one: (one.position.y, one.position.x)),
            text=_rendered,
            kind=_kind,
            # In a script element only "<" could end it.
            model=Markup(json.dumps(model).replace("<", "\\u003c")),  # noqa: S704
        )

    async def rows(_: Request, dashboard_id: str, dataset: str) -> Response:
        found = parsed(lakeview.published(dashboard_id)["serialized_dashboard"]).dataset(dataset)
        if found is None:
            raise ValueError(f"The dashboard {dashboard_id} has no dataset {dataset}.")
        try:
            body = await run_in_threadpool(results.rows, found)
        except (NotPublished, QueryFailed) as error:
            body = json.dumps({"error": str(error)}).encode()
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def news(request: Request, dashboard_id: str) -> Response:
        dashboard = parsed(lakeview.published(dashboard_id)["serialized_dashboard"])
        events = _news(request, results, schemas_of(dashboard))
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def vega(_: Request) -> Response:
        file = await run_in_threadpool(vega_script, state)
        return FileResponse(file, headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "max-age=86400"})

    base = "/dashboardsv3/{dashboard_id}"
    return [
        ("/dashboards", listed),
        ("/dashboards/vega.js", vega),
        (f"{base}/published", shown),
        (f"{base}/rows/{{dataset}}", rows),
        (f"{base}/news", news),
    ]


async def _news(request: Request, results: Results, schemas: list[Schemas]) -> AsyncIterator[str]:
    """Yield a server-sent event with what is published now, and another one whenever that changes."""
    before, quiet = None, 0
    while not await request.is_disconnected():
        stamp = [results.stamp(one) for one in schemas]
        if stamp != before:
            before, quiet = stamp, 0
            try:
                found = [await run_in_threadpool(_layers, results, one) for one in schemas]
                event: Json = {"stamp": stamp, "layers": [layer for layers in found for layer in layers]}
            except QueryFailed as error:
                event = {"stamp": stamp, "error": str(error)}
            yield f"data: {json.dumps(event)}\n\n"
        elif quiet >= HEARTBEAT:
            quiet = 0
            yield ": still here\n\n"
        quiet += 1
        await asyncio.sleep(NEWS_SECONDS)


def schemas_of(dashboard: Dashboard) -> list[Schemas]:
    """Return the schemas that the datasets read."""
    return sorted({Schemas.of(one.catalog, one.schema_name) for one in dashboard.datasets}, key=str)


def _layers(results: Results, schemas: Schemas) -> list[Json]:
    newest = results.published(schemas).newest
    return [
        {"layer": layer, "seq": one.seq, "landedUntil": one.landed_until, "publishedAt": one.published_at}
        for layer in LAYERS
        if (one := newest.get(layer))
    ]


def _model(dashboard: Dashboard, page: Page) -> Json:
    """Return all that the browser needs to draw a page, but the rows."""
    widgets = [placed.widget for placed in page.layout]
    return {
        "widgets": [_widget(dashboard, one) for one in widgets if one.spec and one.spec.widget_type not in FILTERS],
        "filters": [_filter(dashboard, widget) for widget in dashboard.filters_of(page)],
    }


def _widget(dashboard: Dashboard, widget: Widget) -> Json:
    spec, query = widget.spec, widget.queries[0].query
    if spec is None:
        raise ValueError(f"{widget.name} has no spec")
    fields = dashboard.fields(query)
    common: Json = {"name": widget.name, "title": widget.title, "type": spec.widget_type}
    common |= {"dataset": query.dataset_name, "disaggregated": query.disaggregated}
    common["fields"] = [field.as_json() for field in fields]
    if spec.widget_type in ("table", "counter"):
        encodings = spec.encodings.get("columns") or [spec.encodings["value"]]
        return common | {"columns": [_column(encoding) for encoding in encodings]}
    encoded = [*spec.encodings.values(), *spec.encodings.get("extra", [])]
    labels = {one["fieldName"]: _column(one) for one in encoded if isinstance(one, dict) and "fieldName" in one}
    columns = [labels.get(field.name) or _column({"fieldName": field.name}) for field in fields]
    return common | {"columns": columns, "spec": specification(spec, fields)}


def _column(encoding: Json) -> Json:
    title = encoding.get("displayName") or encoding.get("title") or encoding["fieldName"]
    return {"field": encoding["fieldName"], "title": title, "format": number_options(encoding.get("format"))}


def _filter(dashboard: Dashboard, widget: Widget) -> Json:
    queries = {named.name: named.query for named in widget.queries}
    spec = widget.spec
    if spec is None:
        raise ValueError(f"{widget.name} has no spec")
    columns = {}
    for encoding in spec.encodings["fields"]:
        query = queries[encoding["queryName"]]
        field = next(field for field in dashboard.fields(query) if field.name == encoding["fieldName"])
        columns[query.dataset_name] = field.column
    return {"name": widget.name, "title": widget.title, "type": spec.widget_type, "columns": columns}


def _rendered(widget: Widget) -> Markup:
    """Render a text's Markdown; HTML in it is shown as text."""
    return Markup(MarkdownIt("js-default").render(widget.text))  # noqa: S704 - the renderer escapes


def _kind(placed: Placed) -> str:
    """Return what is drawn for a widget: text, filter, counter, table or chart."""
    if placed.widget.spec is None:
        return "text"
    kind = placed.widget.spec.widget_type
    return "filter" if kind in FILTERS else kind if kind in ("counter", "table") else "chart"


def _address(dashboard_id: str) -> str:
    return f"/dashboardsv3/{dashboard_id}/published"
