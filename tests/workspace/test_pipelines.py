"""Pipelines by the SDK: their settings, their updates, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from databricks.sdk.errors import BadRequest, NotFound, ResourceConflict
from databricks.sdk.service.pipelines import UpdateInfoState

from tests.workspace.conftest import Workspace, make_wheel, task, wait_until

ROOT = "/Workspace/Shared/pipelines"
DEFINITIONS = """
from pyspark import pipelines as dp
from pyspark.sql import SparkSession

spark = SparkSession.active()

@dp.materialized_view
def numbers():
    return spark.range(int(spark.conf.get("shop.rows")))
"""
SETTINGS: dict[str, Any] = {
    "name": "numbers",
    "catalog": "spark_catalog",
    "schema": "shop_numbers",
    "root_path": ROOT,
    "libraries": [{"glob": {"include": f"{ROOT}/**"}}],
    "configuration": {"shop.rows": "3"},
    "serverless": True,
    "channel": "CURRENT",
}
SLOW_UPDATE = """
import pathlib, time
def main():
    print("2018-01-02 03:04:05: Flow a.b is RUNNING.", flush=True)
    time.sleep(600)
"""


def upload_definitions(workspace: Workspace, text: str = DEFINITIONS) -> None:
    client = workspace.client()
    client.workspace.mkdirs(ROOT)
    path = f"/api/2.0/workspace-files/import-file{ROOT}/numbers.py"
    client.api_client.do("POST", path, query={"overwrite": "true"}, data=text.encode())


def create(workspace: Workspace, **changes: Any) -> str:
    upload_definitions(workspace)
    return str(workspace.call("POST", "/api/2.0/pipelines", SETTINGS | changes)["pipeline_id"])


def ended(workspace: Workspace, pipeline_id: str, update_id: str, timeout: float = 20) -> UpdateInfoState:
    def over() -> UpdateInfoState | None:
        update = workspace.client().pipelines.get_update(pipeline_id, update_id).update
        state = update.state if update else None
        over = (UpdateInfoState.COMPLETED, UpdateInfoState.FAILED, UpdateInfoState.CANCELED)
        return state if state in over else None

    found: UpdateInfoState = wait_until(over, timeout)
    return found


def test_settings_are_kept_replaced_and_deleted(workspace: Workspace) -> None:
    client = workspace.client()
    pipeline_id = create(workspace)
    found = client.pipelines.get(pipeline_id)
    assert (found.name, found.spec and found.spec.schema) == ("numbers", "shop_numbers")
    assert pipeline_id in [each.pipeline_id for each in client.pipelines.list_pipelines()]
    assert list(client.jobs.list()) == [], "a pipeline is no job"
    workspace.call("PUT", f"/api/2.0/pipelines/{pipeline_id}", SETTINGS | {"name": "renamed"})
    assert client.pipelines.get(pipeline_id).name == "renamed"
    client.pipelines.delete(pipeline_id)
    with pytest.raises(NotFound):
        client.pipelines.get(pipeline_id)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"continuous": True}, "continuous"),
        ({"clusters": [{"num_workers": 1}]}, "clusters"),
        ({"root_path": "/Workspace/Shared/no", "libraries": [{"file": {"path": "/Workspace/Shared/no/a.py"}}]},
         "does not exist"),
        ({"libraries": [{"glob": {"include": "/Workspace/Shared/elsewhere/**"}}]}, "is not below root_path"),
        ({"libraries": []}, "libraries"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused(workspace: Workspace, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        create(workspace, **changes)


@pytest.fixture
def slow(workspace: Workspace, tmp_path: Any) -> str:
    """A pipeline whose wheel brings another program for updates, which takes its time and needs no Spark."""
    wheel = workspace.upload(
        make_wheel(tmp_path, SLOW_UPDATE, "pipeline_update"), "/Workspace/Shared/pipeline_update-1.0-py3-none-any.whl"
    )
    return create(workspace, environment={"dependencies": [wheel]})


def test_one_update_at_a_time_reports_what_it_does_and_can_be_stopped(workspace: Workspace, slow: str) -> None:
    client = workspace.client()
    update_id = str(client.pipelines.start_update(slow).update_id)
    wait_until(lambda: list(client.pipelines.list_pipeline_events(slow)))
    with pytest.raises(ResourceConflict):
        client.pipelines.start_update(slow)
    (event,) = client.pipelines.list_pipeline_events(slow, filter=f"update_id = '{update_id}'")
    assert (event.event_type, event.message) == ("flow_progress", "Flow a.b is RUNNING.")
    assert event.timestamp == "2018-01-02T03:04:05.000Z"
    client.pipelines.stop(slow)
    assert ended(workspace, slow, update_id) == UpdateInfoState.CANCELED
    updates = client.pipelines.list_updates(slow).updates or []
    assert [update.update_id for update in updates] == [update_id]


def test_a_job_waits_for_the_update_that_it_starts(workspace: Workspace, slow: str) -> None:
    client = workspace.client()
    job = workspace.create(
        {"task_key": "refresh", "pipeline_task": {"pipeline_id": slow}},
        task("ok", key="last", after=("refresh",)),
    )
    run_id = workspace.run(job)
    wait_until(lambda: list(client.pipelines.list_pipeline_events(slow)))
    client.pipelines.stop(slow)
    run = workspace.wait(run_id)
    assert [found["state"]["result_state"] for found in run["tasks"]] == ["CANCELED", "UPSTREAM_CANCELED"]


def test_an_update_that_fails_says_why(workspace: Workspace) -> None:
    """There is no Spark in this workspace."""
    pipeline_id = create(workspace)
    update_id = workspace.call("POST", f"/api/2.0/pipelines/{pipeline_id}/updates", {})["update_id"]
    assert ended(workspace, pipeline_id, update_id, 60) == UpdateInfoState.FAILED
    newest = next(iter(workspace.client().pipelines.list_pipeline_events(pipeline_id)))
    assert newest.level is not None
    assert newest.level.value == "ERROR"
    assert newest.message
