"""The workspace with a real Spark server: cancel stops Spark's work, and a dead Spark is reported and replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pyspark.sql import SparkSession

from laptop.laptop_state import LaptopState
from laptop.service_processes import clean_environment
from laptop.services import warm_up_folder
from laptop.warm_up import PREFIX
from machine.ports import free_port
from tests.workspace.conftest import REPO, Workspace, is_alive, make_wheel, task, wait_until


@pytest.fixture(scope="module")
def with_spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("workspace-with-spark")
    state = folder / "state"
    state.mkdir()
    project = Path(os.environ.get("LAKEHOUSE_STATE", REPO / ".state"))
    for name in ("jars", "java"):
        if (project / name).exists():
            (state / name).symlink_to(project / name)
    workspace = Workspace(state, spark_port=free_port())
    workspace.start()
    workspace.upload(make_wheel(folder / "dist"))
    yield workspace
    workspace.stop()


def spark_process(workspace: Workspace) -> psutil.Process:
    return psutil.Process(json.loads((workspace.state / "pids" / "spark.json").read_text())["pid"])


def load(process: psutil.Process, seconds: float = 1.0) -> float:
    return process.cpu_percent(interval=seconds)


def test_a_warm_up_gives_spark_up_to_a_job_run_and_leaves_nothing(with_spark: Workspace, tmp_path: Path) -> None:
    workspace = with_spark
    assert workspace.spark_port
    state = LaptopState(workspace.state, workspace.port, workspace.spark_port, free_port())
    environment = clean_environment() | state.environment() | {"LAKEHOUSE_WARM_UP": "true"}
    log = tmp_path / "warm-up.log"

    def warm_up() -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            command = [sys.executable, "-m", "laptop.warm_up"]
            process = subprocess.Popen(command, cwd=REPO, env=environment, stdout=output, stderr=output)
        wait_until(lambda: "bronze.build: " in log.read_text() or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()
        return process

    killed = warm_up()
    killed.kill()
    killed.wait()
    assert warm_up_folder(state).root.exists()
    process = warm_up()
    try:
        assert "What the warm-up has made is removed." in log.read_text(), "that of the killed one"
        may_end = tmp_path / "may end"
        run_id = workspace.run(workspace.create(task("waits", str(may_end))))
        wait_until(lambda: "so the warm-up ends" in log.read_text())
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(15)
        may_end.touch()
        assert workspace.wait(run_id)["state"]["result_state"] == "SUCCESS"
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
    assert not warm_up_folder(state).root.exists()
    assert list((state.root / "warehouse").glob(f"{PREFIX}*")) == []
    spark = SparkSession.builder.remote(state.spark_remote()).create()
    assert [row[0] for row in spark.sql("SHOW SCHEMAS").collect()] == ["default"]
    spark.stop()
    runs = workspace.call("GET", "/api/2.2/jobs/runs/list")["runs"]
    assert [run["run_id"] for run in runs] == [run_id]


def test_cancel_stops_the_work_and_a_dead_server_is_replaced(with_spark: Workspace) -> None:
    workspace = with_spark
    server = spark_process(workspace)
    token = (workspace.state / "secrets" / "spark_token").read_text().strip()
    assert token not in " ".join(server.cmdline())

    job = workspace.create(task("spark_work"), max_concurrent_runs=5)
    run_id = workspace.run(job)
    workspace.wait_for_log(run_id, "working", 40)
    wait_until(lambda: load(server, 0.5) > 50, 30)
    workspace.client().jobs.cancel_run(run_id)
    assert workspace.wait(run_id, 30)["state"]["result_state"] == "CANCELED"
    wait_until(lambda: load(server, 1.0) < 30, 10)

    run_id = workspace.run(job)
    workspace.wait_for_log(run_id, "working", 40)
    time.sleep(0.5)
    os.kill(server.pid, signal.SIGKILL)
    run = workspace.wait(run_id, 20)
    assert run["state"]["result_state"] == "FAILED"
    assert "Spark died while this task ran" in workspace.output(run["tasks"][0])["error"]
    # A task that is started while Spark restarts waits for it.
    run = workspace.wait(workspace.run(workspace.create(task("ok"))), 60)
    assert run["state"]["result_state"] == "SUCCESS"

    # A killed workspace leaves its server running; the next workspace ends it and starts another.
    orphan = spark_process(workspace)
    assert orphan.pid != server.pid
    workspace.stop(signal.SIGKILL)
    assert is_alive(orphan.pid)
    workspace.start()
    assert not is_alive(orphan.pid)
    last = spark_process(workspace)
    workspace.stop()
    assert not is_alive(last.pid)
    assert not (workspace.state / "pids" / "spark.json").exists()
