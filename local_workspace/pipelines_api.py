"""The routes of the Pipelines API 2.0, each with its arguments."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from local_workspace.api_errors import unsupported
from local_workspace.arguments import Arguments, Flag, Number, page_of, read_values
from local_workspace.pipelines import Pipelines
from local_workspace.views import Json


class Page(Arguments):
    max_results: Annotated[Number, Field(ge=1, le=250)] = 25
    page_token: str = ""


class ListPipelines(Page):
    filter: str = ""
    order_by: Any = None  # the newest first


class ListUpdates(Page):
    until_update_id: Any = None  # the newest first


class ListEvents(Page):
    filter: str = ""
    order_by: Any = None


class StartUpdate(Arguments):
    full_refresh: Flag = False
    validate_only: Flag = False
    cause: Any = None
    refresh_selection: list[str] = Field(default_factory=list)
    full_refresh_selection: list[str] = Field(default_factory=list)


def pipelines_router(pipelines: Pipelines) -> APIRouter:
    router = APIRouter(prefix="/2.0")

    @router.post("/pipelines")
    async def create(request: Request) -> Json:
        return {"pipeline_id": pipelines.create(await read_values(request))}

    @router.get("/pipelines")
    async def list_pipelines(request: Request) -> Json:
        arguments = await ListPipelines.read(request)
        if arguments.filter:
            raise unsupported("filters of pipelines")
        return _page_view("statuses", pipelines.views(), arguments)

    @router.get("/pipelines/{pipeline_id}")
    async def get(pipeline_id: str) -> Json:
        return pipelines.view(pipeline_id)

    @router.put("/pipelines/{pipeline_id}")
    async def edit(pipeline_id: str, request: Request) -> Json:
        pipelines.edit(pipeline_id, await read_values(request))
        return {}

    @router.delete("/pipelines/{pipeline_id}")
    async def delete(pipeline_id: str) -> Json:
        pipelines.delete(pipeline_id)
        return {}

    @router.post("/pipelines/{pipeline_id}/updates")
    async def start_update(pipeline_id: str, request: Request) -> Json:
        arguments = await StartUpdate.read(request)
        if arguments.refresh_selection or arguments.full_refresh_selection:
            raise unsupported("updates of some tables: an update takes all")
        update_id = pipelines.start_update(
            pipeline_id, full_refresh=arguments.full_refresh, validate_only=arguments.validate_only
        )
        return {"update_id": update_id}

    @router.get("/pipelines/{pipeline_id}/updates")
    async def list_updates(pipeline_id: str, request: Request) -> Json:
        return _page_view("updates", pipelines.update_views(pipeline_id), await ListUpdates.read(request))

    @router.get("/pipelines/{pipeline_id}/updates/{update_id}")
    async def get_update(pipeline_id: str, update_id: str) -> Json:
        return {"update": pipelines.update_view(pipeline_id, update_id)}

    @router.get("/pipelines/{pipeline_id}/events")
    async def list_events(pipeline_id: str, request: Request) -> Json:
        arguments = await ListEvents.read(request)
        found = pipelines.events(pipeline_id, arguments.filter)
        return _page_view("events", found[::-1] if arguments.order_by == ["timestamp asc"] else found, arguments)

    @router.post("/pipelines/{pipeline_id}/stop")
    async def stop(pipeline_id: str) -> Json:
        pipelines.stop(pipeline_id)
        return {}

    return router


def _page_view(name: str, views: list[Json], arguments: Page) -> Json:
    page, token = page_of(views, arguments.max_results, arguments.page_token)
    return {name: page} | ({"next_page_token": token} if token else {})
