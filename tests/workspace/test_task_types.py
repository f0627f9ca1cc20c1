"""Tasks that run another job, tasks that compare, and the values that tasks hand to later ones."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.errors import DatabricksError

from tests.workspace.conftest import Workspace, is_alive, make_wheel, task, wait_until

SETS = """
import json, os, pathlib, sys, time

def sets():
    values = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    pathlib.Path(os.environ["LAKEHOUSE_TASK_VALUES"]).write_text(json.dumps(values))

def prints():
    print("arguments", sys.argv[1:])

def fails(): raise ValueError("no orders")

def sleeps():
    pathlib.Path("started").write_text(str(os.getpid()))
    print("sleeping", flush=True)
    time.sleep(600)
"""
WHEEL = "/Workspace/Shared/setting-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def wheel(shared_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> str:
    return shared_workspace.upload(make_wheel(tmp_path_factory.mktemp("dist"), SETS, "setting"), WHEEL)


def of_wheel(entry_point: str, *parameters: str, key: str, after: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    made = task(entry_point, *parameters, key=key, after=after, **more)
    made["python_wheel_task"]["package_name"] = "setting"
    return made


def condition(key: str, left: str, right: str, *after: str, op: str = "EQUAL_TO") -> dict[str, Any]:
    compared = {"op": op, "left": left, "right": right}
    return {"task_key": key, "condition_task": compared, "depends_on": [{"task_key": other} for other in after]}


def run_job(key: str, job_id: int, *after: dict[str, str], **parameters: str) -> dict[str, Any]:
    started = {"job_id": job_id, "job_parameters": parameters}
    return {"task_key": key, "run_job_task": started, "depends_on": list(after)}


def results(run: dict[str, Any]) -> dict[str, str]:
    return {found["task_key"]: found["state"]["result_state"] for found in run["tasks"]}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("yes", {"first": "SUCCESS", "asked": "SUCCESS", "other": "SUCCESS", "last": "SUCCESS"}),
        ("no", {"first": "SUCCESS", "asked": "SUCCESS", "other": "EXCLUDED", "last": "SUCCESS"}),
    ],
)
def test_a_condition_on_a_value_decides_what_runs(
    workspace: Workspace, wheel: str, asked: str, expected: dict[str, str]
) -> None:
    child = workspace.create(
        of_wheel("prints", "{{job.parameters.day}}", key="main"),
        name="child",
        wheel=wheel,
        parameters=[{"name": "day", "default": "none"}],
    )
    job = workspace.create(
        of_wheel("sets", "answer", "{{job.parameters.asked}}", "day", "2018-01-02", key="first"),
        condition("asked", "{{tasks.first.values.answer}}", "yes", "first"),
        run_job("other", child, {"task_key": "asked", "outcome": "true"}, day="{{tasks.first.values.day}}"),
        of_wheel("prints", key="last", after=("asked", "other"), run_if="NONE_FAILED"),
        wheel=wheel,
        parameters=[{"name": "asked", "default": ""}],
    )
    run = workspace.wait(workspace.run(job, job_parameters={"asked": asked}))
    assert run["state"]["result_state"] == "SUCCESS"
    assert results(run) == expected
    compared = next(found for found in run["tasks"] if found["task_key"] == "asked")["condition_task"]
    assert compared == {
        "op": "EQUAL_TO",
        "left": asked,
        "right": "yes",
        "outcome": "true" if asked == "yes" else "false",
    }
    if asked == "yes":
        other = next(found for found in run["tasks"] if found["task_key"] == "other")
        started = workspace.output(other)["run_job_output"]["run_id"]
        assert other["run_job_task"]["run_id"] == started
        child_run = workspace.get(started)
        assert child_run["job_parameters"] == [{"name": "day", "default": "none", "value": "2018-01-02"}]
        assert workspace.output(child_run["tasks"][0])["logs"] == "arguments ['2018-01-02']\n"


@pytest.mark.parametrize(
    ("changed", "behind", "expected"),
    [
        ("true", "true", {"bronze", "silver", "report"}),
        ("false", "true", {"silver"}),
        ("false", "false", set()),
    ],
)
def test_a_condition_starts_in_the_middle(
    workspace: Workspace, wheel: str, changed: str, behind: str, expected: set[str]
) -> None:
    """As in the job ecommerce_medallion, where bronze has nothing to do."""
    given = ("changed", "{{job.parameters.changed}}", "behind", "{{job.parameters.behind}}")
    if_changed, if_behind = ({"task_key": key, "outcome": "true"} for key in ("changed", "behind"))
    after_bronze, after_silver = ({"task_key": key} for key in ("bronze", "silver"))
    job = workspace.create(
        of_wheel("sets", *given, key="dates"),
        condition("changed", "{{tasks.dates.values.changed}}", "true", "dates"),
        condition("behind", "{{tasks.dates.values.behind}}", "true", "dates"),
        of_wheel("prints", key="bronze") | {"depends_on": [if_changed]},
        of_wheel("prints", key="silver", run_if="NONE_FAILED") | {"depends_on": [if_behind, after_bronze]},
        of_wheel("prints", key="report") | {"depends_on": [if_changed, after_bronze, after_silver]},
        wheel=wheel,
        parameters=[{"name": name, "default": ""} for name in ("changed", "behind")],
    )
    run = workspace.wait(workspace.run(job, job_parameters={"changed": changed, "behind": behind}))
    assert run["state"]["result_state"] == "SUCCESS"
    found = results(run)
    assert {key for key in ("bronze", "silver", "report") if found[key] == "SUCCESS"} == expected
    assert set(found.values()) <= {"SUCCESS", "EXCLUDED"}


def test_a_failed_child_fails_its_task_and_names_the_reason(workspace: Workspace, wheel: str) -> None:
    child = workspace.create(of_wheel("fails", key="main"), name="child", wheel=wheel)
    job = workspace.create(
        run_job("other", child),
        of_wheel("prints", key="last", after=("other",), run_if="NONE_FAILED"),
        wheel=wheel,
    )
    run = workspace.wait(workspace.run(job))
    assert run["state"]["result_state"] == "FAILED"
    assert results(run) == {"other": "FAILED", "last": "UPSTREAM_FAILED"}
    assert "of job child ended as FAILED" in run["tasks"][0]["state"]["state_message"]

    healed = workspace.create(of_wheel("prints", key="main"), name="healed", wheel=wheel)
    workspace.call(
        "POST", "/api/2.2/jobs/update", {"job_id": job, "new_settings": {"tasks": [run_job("other", healed)]}}
    )
    workspace.call("POST", "/api/2.2/jobs/runs/repair", {"run_id": run["run_id"], "rerun_all_failed_tasks": True})
    repaired = workspace.wait(run["run_id"])
    assert results(repaired) == {"other": "SUCCESS", "last": "SUCCESS"}


def test_a_value_that_nobody_set_fails_the_task(workspace: Workspace, wheel: str) -> None:
    job = workspace.create(
        of_wheel("prints", key="first"), condition("asked", "{{tasks.first.values.answer}}", "", "first"), wheel=wheel
    )
    run = workspace.wait(workspace.run(job))
    assert results(run) == {"first": "SUCCESS", "asked": "FAILED"}
    assert "Task first has set no value named answer" in run["state"]["state_message"]


def test_a_cancelled_run_cancels_the_run_that_it_has_started(workspace: Workspace, wheel: str) -> None:
    child = workspace.create(of_wheel("sleeps", key="main"), name="child", wheel=wheel)
    run_id = workspace.run(workspace.create(run_job("other", child), wheel=wheel))
    started = wait_until(lambda: workspace.get(run_id)["tasks"][0]["run_job_task"].get("run_id"))
    workspace.wait_for_log(started, "sleeping")
    pid = int((workspace.task_folder(started) / "started").read_text())
    workspace.call("POST", "/api/2.2/jobs/runs/cancel", {"run_id": run_id})
    assert results(workspace.wait(run_id)) == {"other": "CANCELED"}
    assert workspace.get(started)["state"]["result_state"] == "CANCELED"
    assert not is_alive(pid)


def test_a_run_goes_on_where_the_workspace_was_killed(own_workspace: Workspace, tmp_path: Path) -> None:
    workspace = own_workspace
    release = tmp_path / "release"
    child = workspace.create(task("waits", str(release)), name="child")
    job = workspace.create(run_job("other", child), task("ok", key="last", after=("other",)))
    run_id = workspace.run(job)
    started = wait_until(lambda: workspace.get(run_id)["tasks"][0]["run_job_task"].get("run_id"))
    # The state of the task, not of the run: a task whose process has not started yet is started again.
    wait_until(lambda: workspace.get(started)["tasks"][0]["state"]["life_cycle_state"] == "RUNNING")
    workspace.stop(signal.SIGKILL)
    workspace.start()
    # The child's own process was ended with the workspace: its failure is the failure of the task.
    assert results(workspace.wait(run_id)) == {"other": "FAILED", "last": "UPSTREAM_FAILED"}
    release.write_text("")
    workspace.call("POST", "/api/2.2/jobs/runs/repair", {"run_id": run_id, "rerun_all_failed_tasks": True})
    assert results(workspace.wait(run_id))["last"] == "SUCCESS"


PAUSED = {"quartz_cron_expression": "0 0 1 * * ?", "timezone_id": "UTC", "pause_status": "PAUSED"}


@pytest.mark.parametrize(
    ("tasks", "more", "reason"),
    [
        ([{"task_key": "empty"}], {}, "needs one of python_wheel_task"),
        ([task("ok") | condition("main", "a", "b")], {}, "needs one of"),
        (
            [condition("asked", "{{tasks.main.values.x}}", "y"), task("ok")],
            {},
            "does not depend on task 'main'",
        ),
        (
            [task("ok"), task("ok", key="last") | {"depends_on": [{"task_key": "main", "outcome": "true"}]}],
            {},
            "'main' has no outcome",
        ),
        ([task("ok", run_if="AT_LEAST_ONE_FAILED")], {}, "run_if"),
        ([task("ok")], {"schedule": PAUSED | {"pause_status": "UNPAUSED"}}, "pause_status: PAUSED"),
        ([task("ok")], {"trigger": {"file_arrival": {"url": "/Volumes/x"}}}, "pause_status: PAUSED"),
    ],
)
def test_what_cannot_run_is_refused(
    workspace: Workspace, tasks: list[dict[str, Any]], more: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DatabricksError, match=reason):
        workspace.create(*tasks, **more)


def test_a_paused_schedule_is_kept(workspace: Workspace) -> None:
    job = workspace.create(task("ok"), schedule=PAUSED)
    settings = workspace.call("GET", "/api/2.2/jobs/get", query={"job_id": job})["settings"]
    assert settings["schedule"] == PAUSED
