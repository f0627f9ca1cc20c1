"""The routes of the Alerts API 2.0, each with its arguments."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from local_workspace.arguments import Arguments, Flag, Number, page_of
from local_workspace.sql_alerts import Alerts
from local_workspace.views import Json

Text = Annotated[str, Field(min_length=1)]


class Column(Arguments):
    name: Text
    aggregation: Literal["AVG", "COUNT", "COUNT_DISTINCT", "MAX", "MEDIAN", "MIN", "STDDEV", "SUM"] | None = None
    display: str | None = None


class Value(Arguments):
    bool_value: bool | None = None
    double_value: int | float | None = None
    string_value: str | None = None


class Operand(Arguments):
    column: Column | None = None
    value: Value | None = None


class Subscription(Arguments):
    destination_id: str | None = None
    user_email: str | None = None


class Notification(Arguments):
    notify_on_ok: bool | None = None
    retrigger_seconds: Number | None = None
    subscriptions: list[Subscription] | None = None


class Evaluation(Arguments):
    source: Column
    comparison_operator: Literal[
        "EQUAL",
        "GREATER_THAN",
        "GREATER_THAN_OR_EQUAL",
        "IS_NOT_NULL",
        "IS_NULL",
        "LESS_THAN",
        "LESS_THAN_OR_EQUAL",
        "NOT_EQUAL",
    ]
    threshold: Operand | None = None
    empty_result_state: Literal["ERROR", "OK", "TRIGGERED", "UNKNOWN"] | None = None
    notification: Notification | None = None
    last_evaluated_at: Any = None  # of the server
    state: Any = None


class Schedule(Arguments):
    quartz_cron_schedule: Text
    timezone_id: Text
    pause_status: Literal["PAUSED", "UNPAUSED"] | None = None
    effective_pause_status: Any = None


class Alert(Arguments):
    """What clients send back of what they have read is accepted, and has no effect."""

    display_name: Text
    query_text: Text
    warehouse_id: Text
    evaluation: Evaluation
    schedule: Schedule
    custom_summary: str | None = None
    custom_description: str | None = None
    custom_template_format: Literal["HTML", "MARKDOWN"] | None = None
    parameters: list[Json] | None = None
    parent_path: str | None = None
    run_as: Json | None = None
    run_as_user_name: str | None = None
    id: Any = None
    create_time: Any = None
    update_time: Any = None
    lifecycle_state: Any = None
    owner_user_name: Any = None
    effective_run_as: Any = None

    def settings(self) -> Json:
        """Return what was given, without what the server sets."""
        of_the_server = {"id", "create_time", "update_time", "lifecycle_state", "owner_user_name", "effective_run_as"}
        return self.model_dump(exclude_none=True, exclude=of_the_server | {"update_mask"})


class ChangedAlert(Alert):
    update_mask: Literal["*"]


class ListAlerts(Arguments):
    page_size: Annotated[Number, Field(ge=1, le=100)] = 100
    page_token: str = ""


class TrashAlert(Arguments):
    purge: Flag = False


def alerts_router(alerts: Alerts) -> APIRouter:
    router = APIRouter(prefix="/2.0")

    @router.post("/alerts")
    async def create(request: Request) -> Json:
        return alerts.create((await Alert.read(request)).settings())

    @router.get("/alerts")
    async def list_alerts(request: Request) -> Json:
        arguments = await ListAlerts.read(request)
        page, token = page_of(alerts.views(), arguments.page_size, arguments.page_token)
        return {"alerts": page} | ({"next_page_token": token} if token else {})

    @router.get("/alerts/{alert_id}")
    async def get(alert_id: str) -> Json:
        return alerts.get(alert_id)

    @router.patch("/alerts/{alert_id}")
    async def update(alert_id: str, request: Request) -> Json:
        return alerts.update(alert_id, (await ChangedAlert.read(request)).settings())

    @router.delete("/alerts/{alert_id}")
    async def trash(alert_id: str, request: Request) -> Json:
        alerts.trash(alert_id, purge=(await TrashAlert.read(request)).purge)
        return {}

    return router
