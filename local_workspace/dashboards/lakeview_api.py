"""The routes of the Lakeview API 2.0, and those of the only SQL warehouse, each with its arguments."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from local_workspace.api_errors import ApiError
from local_workspace.arguments import Arguments, Flag, Number, page_of
from local_workspace.dashboards.lakeview import WAREHOUSE, Lakeview
from local_workspace.views import Json


class Draft(Arguments):
    """What clients send back of what they have read is accepted, and has no effect."""

    display_name: str = ""
    parent_path: str = ""
    serialized_dashboard: str = ""
    warehouse_id: str = ""
    dataset_catalog: str = ""
    dataset_schema: str = ""
    etag: str = ""
    dashboard_id: Any = None
    path: Any = None
    create_time: Any = None
    update_time: Any = None
    lifecycle_state: Any = None

    def settings(self) -> Json:
        return self.model_dump(exclude={"dataset_catalog", "dataset_schema"})


class Publish(Arguments):
    embed_credentials: Flag = False
    warehouse_id: str = ""


class ListDashboards(Arguments):
    page_size: Annotated[Number, Field(ge=1, le=1000)] = 100
    page_token: str = ""
    show_trashed: Any = None  # the trash is not listed
    view: Any = None


def lakeview_router(lakeview: Lakeview) -> APIRouter:
    router = APIRouter(prefix="/2.0")

    @router.post("/lakeview/dashboards")
    async def create(request: Request) -> Json:
        draft = await Draft.read(request)
        # In a thread, as Spark looks at the queries.
        return await run_in_threadpool(lakeview.create, draft.settings(), draft.dataset_catalog, draft.dataset_schema)

    @router.get("/lakeview/dashboards")
    async def list_dashboards(request: Request) -> Json:
        arguments = await ListDashboards.read(request)
        page, token = page_of(lakeview.views(), arguments.page_size, arguments.page_token)
        return {"dashboards": page} | ({"next_page_token": token} if token else {})

    @router.get("/lakeview/dashboards/{dashboard_id}")
    async def get(dashboard_id: str) -> Json:
        return lakeview.get(dashboard_id)

    @router.patch("/lakeview/dashboards/{dashboard_id}")
    async def update(dashboard_id: str, request: Request) -> Json:
        draft = await Draft.read(request)
        place = (draft.dataset_catalog, draft.dataset_schema)
        return await run_in_threadpool(lakeview.update, dashboard_id, draft.settings(), *place)

    @router.delete("/lakeview/dashboards/{dashboard_id}")
    async def trash(dashboard_id: str) -> Json:
        lakeview.trash(dashboard_id)
        return {}

    @router.post("/lakeview/dashboards/{dashboard_id}/published")
    async def publish(dashboard_id: str, request: Request) -> Json:
        arguments = await Publish.read(request)
        return lakeview.publish(dashboard_id, arguments.embed_credentials, arguments.warehouse_id)

    @router.get("/lakeview/dashboards/{dashboard_id}/published")
    async def published(dashboard_id: str) -> Json:
        found = lakeview.published(dashboard_id)
        return {name: value for name, value in found.items() if name != "serialized_dashboard"}

    @router.delete("/lakeview/dashboards/{dashboard_id}/published")
    async def unpublish(dashboard_id: str) -> Json:
        lakeview.unpublish(dashboard_id)
        return {}

    @router.get("/sql/warehouses")
    async def warehouses() -> Json:
        return {"warehouses": [WAREHOUSE]}

    @router.get("/sql/warehouses/{warehouse_id}")
    async def warehouse(warehouse_id: str) -> Json:
        if warehouse_id != WAREHOUSE["id"]:
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"SQL warehouse {warehouse_id} does not exist.")
        return WAREHOUSE

    return router
