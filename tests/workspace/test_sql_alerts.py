"""SQL alerts by the client that Databricks ships: the requests of its CLI, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from databricks.sdk.errors import BadRequest, NotFound
from databricks.sdk.service.sql import (
    Aggregation,
    AlertEvaluationState,
    AlertLifecycleState,
    AlertV2,
    AlertV2Evaluation,
    AlertV2Notification,
    AlertV2Operand,
    AlertV2OperandColumn,
    AlertV2OperandValue,
    AlertV2Subscription,
    ComparisonOperator,
    CronSchedule,
    SchedulePauseStatus,
)

from tests.workspace.conftest import Workspace

ALERT = AlertV2(
    display_name="Anomalies",
    query_text="SELECT count(*) AS anomalies FROM ops.anomalies",
    warehouse_id="local",
    custom_summary="There are anomalies",
    evaluation=AlertV2Evaluation(
        source=AlertV2OperandColumn(name="anomalies", aggregation=Aggregation.MAX, display="anomalies"),
        comparison_operator=ComparisonOperator.GREATER_THAN,
        threshold=AlertV2Operand(value=AlertV2OperandValue(double_value=0)),
        empty_result_state=AlertEvaluationState.OK,
        notification=AlertV2Notification(
            notify_on_ok=False, retrigger_seconds=1, subscriptions=[AlertV2Subscription(user_email="ops@example.com")]
        ),
    ),
    schedule=CronSchedule("0 0 * * * ?", "UTC", pause_status=SchedulePauseStatus.PAUSED),
)


def test_an_alert_is_made_read_changed_and_removed(workspace: Workspace) -> None:
    alerts = workspace.client().alerts_v2
    made = alerts.create_alert(ALERT)
    assert made.id
    assert made.lifecycle_state is AlertLifecycleState.ACTIVE
    read = alerts.get_alert(made.id)
    assert read.as_dict() == made.as_dict()
    given = ALERT.as_dict()
    assert {name: read.as_dict()[name] for name in given} == given
    changed = alerts.update_alert(made.id, replace(ALERT, display_name="Findings", custom_summary=None), "*")
    assert (changed.display_name, changed.custom_summary, changed.id) == ("Findings", None, made.id)
    # What was read may be sent back.
    assert alerts.update_alert(made.id, alerts.get_alert(made.id), "*").display_name == "Findings"
    assert {alert.id: alert.display_name for alert in alerts.list_alerts()}[made.id] == "Findings"
    alerts.trash_alert(made.id)
    assert alerts.get_alert(made.id).lifecycle_state is AlertLifecycleState.DELETED
    assert made.id not in {alert.id for alert in alerts.list_alerts()}
    with pytest.raises(NotFound, match="is in the trash"):
        alerts.update_alert(made.id, ALERT, "*")
    alerts.trash_alert(made.id, purge=True)
    for gone in (made.id, "no-such-alert", "..%2Fruns"):
        with pytest.raises(NotFound, match=r"does not exist|not supported"):
            alerts.get_alert(gone)


def test_alerts_survive_a_restart(own_workspace: Workspace) -> None:
    made = own_workspace.client().alerts_v2.create_alert(ALERT)
    assert made.id
    own_workspace.stop()
    own_workspace.start()
    assert own_workspace.client().alerts_v2.get_alert(made.id).query_text == ALERT.query_text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"display_name": ""}, "display_name"),
        ({"query_text": None}, "query_text"),
        ({"warehouse_id": None}, "warehouse_id"),
        ({"schedule": {"quartz_cron_schedule": "0 0 * * * ?"}}, "schedule.timezone_id"),
        ({"evaluation": {"source": {"name": "n"}, "comparison_operator": "MORE"}}, "evaluation.comparison_operator"),
        ({"evaluation": {"comparison_operator": "EQUAL"}}, "evaluation.source"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_no_alert_is_refused_by_name(workspace: Workspace, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        workspace.call("POST", "/api/2.0/alerts", {**ALERT.as_dict(), **change})
