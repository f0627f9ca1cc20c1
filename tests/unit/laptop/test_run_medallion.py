"""`make medallion`: why a run failed."""

from __future__ import annotations

from typing import Any

from laptop.run_medallion import failures


def task(key: str, run_id: int, result: str = "FAILED") -> dict[str, Any]:
    return {"task_key": key, "run_id": run_id, "state": {"result_state": result, "state_message": f"see {run_id}"}}


class StubClient:
    """Outputs of task runs, and the tasks of job runs, by id."""

    def __init__(self, outputs: dict[int, dict[str, Any]], runs: dict[int, list[dict[str, Any]]]) -> None:
        self._outputs, self._runs = outputs, runs

    def call(self, method: str, path: str) -> Any:
        assert method == "GET"
        run_id = int(path.rpartition("=")[2])
        return self._outputs[run_id] if "get-output" in path else {"tasks": self._runs[run_id]}


def test_the_reason_is_that_of_the_innermost_job_run() -> None:
    header = "spark_jobs.runtime.errors.HeaderRefused: 1 of 1 landed files have a wrong header"
    outputs: dict[int, dict[str, Any]] = {
        11: {"error": "Run 2 ended as FAILED", "run_job_output": {"run_id": 2}},
        12: {"error": "Run 3 ended as FAILED", "run_job_output": {"run_id": 3}},
        13: {},
        21: {"error": header},
    }
    runs = {2: [task("build", 21), task("audit", 22, "UPSTREAM_FAILED")], 3: [task("publish", 31, "CANCELED")]}
    client: Any = StubClient(outputs, runs)
    tasks = [task("bronze_build", 11), task("publish", 12), task("gate", 13), task("dates", 14, "SUCCESS")]
    assert failures(client, {"tasks": tasks}) == [
        f"bronze_build: build: {header}",
        "publish: Run 3 ended as FAILED",
        "gate: see 13",
    ]
