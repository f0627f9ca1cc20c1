"""What survives the end of the workspace's process: a stop or a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workspace.conftest import REPO, Workspace, is_alive, task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_runs_survive(own_workspace: Workspace, number: int) -> None:
    workspace = own_workspace
    done = workspace.run(workspace.create(task("ok"), name="done"), idempotency_token="t")
    workspace.wait(done)
    job = workspace.create(
        task("sleeps", "{{job.parameters.seconds}}"),
        queue={"enabled": True},
        parameters=[{"name": "seconds", "default": "600"}],
    )
    running, queued = workspace.run(job), workspace.run(job, job_parameters={"seconds": "0"})
    workspace.wait_for_log(running, "sleeping")
    pid = int((workspace.task_folder(running) / "started").read_text())
    workspace.stop(number)
    assert is_alive(pid) == (number == signal.SIGKILL)
    workspace.start()
    run = workspace.wait(running)
    assert (run["state"]["life_cycle_state"], run["state"]["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    assert "The workspace was" in run["tasks"][0]["state"]["state_message"]
    assert not is_alive(pid)
    assert workspace.wait(queued)["state"]["result_state"] == "SUCCESS"
    assert workspace.get(done)["state"]["result_state"] == "SUCCESS"
    assert workspace.output(workspace.get(done)["tasks"][0])["logs"] == "arguments []\n"
    job_done = workspace.get(done)["job_id"]
    assert workspace.run(job_done, idempotency_token="t") == done


def test_a_port_in_use_is_reported(own_workspace: Workspace, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local_workspace", "--state", str(tmp_path / "other"), "serve", "--no-spark"]
    answer = subprocess.run(
        [*command, "--port", str(own_workspace.port)], cwd=REPO, capture_output=True, text=True, timeout=20
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: Port {own_workspace.port} on 127.0.0.1 is in use")
    assert "Traceback" not in answer.stderr
