"""Runs: parameters, results, order, limits, cancel and repair."""

from __future__ import annotations

import concurrent.futures
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.errors import BadRequest, DatabricksError, InvalidParameterValue
from databricks.sdk.service import jobs as sdk

from tests.workspace.conftest import Workspace, is_alive, make_wheel, task, wait_until


def state_of(run: dict[str, Any], key: str | None = None) -> tuple[str, str | None]:
    found = run if key is None else [t for t in run["tasks"] if t["task_key"] == key][-1]
    return found["state"]["life_cycle_state"], found["state"].get("result_state")


def test_the_sdk_defines_and_runs_a_job(workspace: Workspace) -> None:
    client = workspace.client()
    environment = sdk.JobEnvironment.from_dict(
        {"environment_key": "default", "spec": {"dependencies": ["/Workspace/Shared/tiny-1.0-py3-none-any.whl"]}}
    )
    wheel_task = sdk.PythonWheelTask(
        package_name="tiny", entry_point="ok", parameters=["--day", "{{job.parameters.day}}", "{{job.run_id}}"]
    )
    created = client.jobs.create(
        name="by the sdk",
        tasks=[sdk.Task(task_key="main", environment_key="default", python_wheel_task=wheel_task)],
        environments=[environment],
        parameters=[sdk.JobParameterDefinition(name="day", default="never")],
        queue=sdk.QueueSettings(enabled=True),
    )
    assert created.job_id
    hostile = "2018-01-01; touch /tmp/x $(id) '\"{{job.id}}"
    waiter = client.jobs.run_now(job_id=created.job_id, job_parameters={"day": hostile, "openlineage": "x"})
    run_id = waiter.bind()["run_id"]
    assert state_of(workspace.wait(run_id)) == ("TERMINATED", "SUCCESS")
    run = client.jobs.get_run(run_id)
    assert run.job_id == created.job_id
    me = client.current_user.me()
    assert run.creator_user_name == client.jobs.get(created.job_id).creator_user_name == me.user_name
    assert run.tasks
    assert run.tasks[0].attempt_number == 0
    assert run.status
    assert run.status.state == sdk.RunLifecycleStateV2State.TERMINATED
    assert run.tasks[0].run_id
    output = client.jobs.get_run_output(run.tasks[0].run_id)
    assert output.logs == f"arguments {['--day', hostile, str(run_id)]!r}\n"
    assert output.error is None
    assert [job.job_id for job in client.jobs.list(name="BY THE SDK")] == [created.job_id]
    assert [found.run_id for found in client.jobs.list_runs(job_id=created.job_id)] == [run_id]


def test_run_now_and_get_agree_on_the_number_in_the_job(workspace: Workspace) -> None:
    job = workspace.create(task("ok"), max_concurrent_runs=2)
    for _ in range(2):
        answer = workspace.call("POST", "/api/2.2/jobs/run-now", {"job_id": job})
        assert answer["number_in_job"] == workspace.get(answer["run_id"])["number_in_job"] == answer["run_id"]


def test_a_task_starts_within_half_a_second(workspace: Workspace) -> None:
    run = workspace.wait(workspace.run(workspace.create(task("ok"))))
    first = run["tasks"][0]
    assert first["start_time"] - run["start_time"] < 500
    assert 0 < first["setup_duration"] < 5000, "the process starts and imports before the entry point is called"
    assert first["setup_duration"] + first["execution_duration"] == first["end_time"] - first["start_time"]


@pytest.mark.parametrize(
    ("entry_point", "error"),
    [
        ("fail", "ValueError: the order files are gone"),
        ("exits", "SystemExit: 0"),
        ("vanishes", "exit code 0 before its entry point returned"),
        ("missing", "no entry point missing"),
    ],
)
def test_failures_say_why(workspace: Workspace, entry_point: str, error: str) -> None:
    job = workspace.create(task(entry_point), task("ok", key="next", after=("main",)))
    run = workspace.wait(workspace.run(job))
    assert state_of(run) == ("INTERNAL_ERROR", "FAILED")
    assert "Task main failed" in run["state"]["state_message"]
    assert state_of(run, "main") == ("TERMINATED", "FAILED")
    assert state_of(run, "next") == ("TERMINATED", "UPSTREAM_FAILED")
    assert error in workspace.output(run["tasks"][0])["error"]
    with pytest.raises(BadRequest, match="multiple tasks"):
        workspace.client().jobs.get_run_output(run["run_id"])


def test_a_return_value_is_ignored_and_attributes_are_entry_points_too(workspace: Workspace) -> None:
    assert state_of(workspace.wait(workspace.run(workspace.create(task("number"))))) == ("TERMINATED", "SUCCESS")


def test_an_idempotency_token_starts_one_run(workspace: Workspace) -> None:
    job = workspace.create(task("ok"), max_concurrent_runs=20)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: workspace.run(job, idempotency_token="try-1"), range(16)))
    assert len(ids) == 1
    assert workspace.run(job, idempotency_token="try-2") not in ids
    with pytest.raises(InvalidParameterValue, match="64 characters"):
        workspace.run(job, idempotency_token="x" * 65)
    run_id = ids.pop()
    workspace.wait(run_id)
    workspace.client().jobs.delete_run(run_id)
    with pytest.raises(DatabricksError, match="was deleted"):
        workspace.run(job, idempotency_token="try-1")


def test_queueing_keeps_to_the_limit_and_the_order(workspace: Workspace, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    job = workspace.create(task("waits", str(gate)), max_concurrent_runs=2, queue={"enabled": True})
    ids = [workspace.run(job) for _ in range(5)]
    wait_until(lambda: [state_of(workspace.get(i))[0] for i in ids] == ["RUNNING"] * 2 + ["QUEUED"] * 3)
    gate.touch()
    runs = [workspace.wait(i) for i in ids]
    assert [state_of(run)[1] for run in runs] == ["SUCCESS"] * 5
    assert runs == sorted(runs, key=lambda run: run["start_time"])
    assert runs[4]["queue_duration"] > 0


def test_without_a_queue_a_run_over_the_limit_is_skipped(workspace: Workspace) -> None:
    job = workspace.create(task("sleeps"))
    first, second = workspace.run(job), workspace.run(job)
    assert state_of(workspace.wait(second)) == ("SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED")
    assert workspace.get(first)["state"]["life_cycle_state"] != "SKIPPED"


@pytest.mark.parametrize("entry_point", ["sleeps", "stubborn"])
def test_cancel_ends_the_process_and_its_children(workspace: Workspace, entry_point: str) -> None:
    job = workspace.create(task(entry_point), task("ok", key="next", after=("main",)))
    run_id = workspace.run(job)
    workspace.wait_for_log(run_id, "sleeping")
    folder = workspace.task_folder(run_id)
    pids = [int((folder / name).read_text()) for name in ("started", "child")]
    assert all(is_alive(pid) for pid in pids)
    workspace.client().jobs.cancel_run(run_id)
    run = workspace.wait(run_id)
    assert state_of(run) == ("TERMINATED", "CANCELED")
    assert {state_of(run, key) for key in ("main", "next")} == {("TERMINATED", "CANCELED")}
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 2)
    workspace.client().jobs.cancel_run(run_id)  # again: no error


def test_cancel_all_ends_queued_and_running(workspace: Workspace) -> None:
    job = workspace.create(task("sleeps"), queue={"enabled": True})
    ids = [workspace.run(job) for _ in range(3)]
    workspace.client().jobs.cancel_all_runs(job_id=job)
    assert {state_of(workspace.wait(i)) for i in ids} == {("TERMINATED", "CANCELED")}


def test_time_outs_of_task_and_job(workspace: Workspace) -> None:
    of_task = workspace.run(workspace.create(task("sleeps", timeout_seconds=1)))
    of_job = workspace.run(workspace.create(task("sleeps"), timeout_seconds=1))
    for run_id in (of_task, of_job):
        run = workspace.wait(run_id)
        assert state_of(run) == ("TERMINATED", "TIMEDOUT")
        assert "timeout of 1 s" in run["state"]["state_message"]
        assert not is_alive(int((workspace.task_folder(run_id) / "started").read_text()))


def test_repair_runs_what_failed_again(workspace: Workspace, tmp_path: Path) -> None:
    repaired = tmp_path / "repaired"
    parameters = ("{{job.parameters.file}}", "{{job.repair_count}}")
    job = workspace.create(
        task("ok", key="first"),
        task("flaky", *parameters, after=("first",)),
        task("ok", "{{job.repair_count}}", key="last", after=("main",)),
        parameters=[{"name": "file", "default": str(repaired)}],
    )
    client = workspace.client()
    run_id = workspace.run(job)
    assert state_of(workspace.wait(run_id))[1] == "FAILED"
    with pytest.raises(InvalidParameterValue, match="rerun_tasks or"):
        client.jobs.repair_run(run_id)
    repaired.touch()
    client.jobs.repair_run(run_id, rerun_all_failed_tasks=True)
    run = workspace.wait(run_id)
    assert state_of(run) == ("TERMINATED", "SUCCESS")
    assert [(t["task_key"], t["attempt_number"]) for t in run["tasks"]] == [
        ("first", 0), ("main", 0), ("last", 0), ("main", 1), ("last", 1),
    ]  # fmt: skip
    assert workspace.output(run["tasks"][-1])["logs"] == "arguments ['1']\n"
    history = workspace.get(run_id, include_history="true")["repair_history"]
    assert [(entry["type"], entry["state"]["result_state"]) for entry in history] == [
        ("ORIGINAL", "FAILED"),
        ("REPAIR", "SUCCESS"),
    ]
    with pytest.raises(InvalidParameterValue, match="latest_repair_id"):
        client.jobs.repair_run(run_id, rerun_tasks=["main"])
    client.jobs.repair_run(run_id, rerun_tasks=["main"], latest_repair_id=history[-1]["id"])
    workspace.wait(run_id)


def test_an_active_run_is_neither_repaired_nor_deleted(workspace: Workspace) -> None:
    run_id = workspace.run(workspace.create(task("sleeps")))
    for path in ("repair", "delete"):
        body = {"run_id": run_id} | ({"rerun_all_failed_tasks": True} if path == "repair" else {})
        with pytest.raises(DatabricksError) as caught:
            workspace.call("POST", f"/api/2.2/jobs/runs/{path}", body)
        assert caught.value.error_code == "INVALID_STATE"


def test_a_rebuilt_wheel_changes_no_deployed_job(workspace: Workspace, tmp_path: Path) -> None:
    remote = "/Workspace/Shared/changing/tiny-1.0-py3-none-any.whl"
    workspace.upload(make_wheel(tmp_path / "1", "def prints(): print('one')\n"), remote)
    job = workspace.create(task("prints"), wheel=remote)
    workspace.upload(make_wheel(tmp_path / "2", "def prints(): print('two')\n"), remote)

    def printed() -> str:
        run = workspace.wait(workspace.run(job))
        return str(workspace.output(run["tasks"][0])["logs"])

    assert printed() == "one\n"
    workspace.call(
        "POST", "/api/2.2/jobs/reset", {"job_id": job, "new_settings": workspace.settings(task("prints"), wheel=remote)}
    )
    assert printed() == "two\n"


def test_no_secret_in_output_files_or_pages(workspace: Workspace) -> None:
    scope = workspace.state / "secrets" / "lakehouse"
    scope.mkdir(exist_ok=True)
    (scope / "email-hmac-key").write_text("very-secret-key-of-the-workspace")
    run = workspace.wait(workspace.run(workspace.create(task("reveals"))))
    output = workspace.output(run["tasks"][0])
    stored = (workspace.task_folder(run["run_id"]) / "log.txt").read_text()
    for text in (output["logs"], output["error"], output["error_trace"], stored):
        assert "[REDACTED]" in text
        assert workspace.token not in text
        assert "very-secret-key" not in text
    assert "SPARK_REMOTE" not in output["logs"]
    assert "AIRFLOW" not in output["logs"]
    database = b"".join(p.read_bytes() for p in (workspace.state / "workspace").glob("workspace.sqlite*"))
    assert workspace.token.encode() not in database
