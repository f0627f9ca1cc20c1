"""What the Jobs API does with jobs: define, change, list, run, repair, cancel."""

from typing import Any

from local_workspace import job_settings, wheels
from local_workspace.errors import ApiError, invalid, invalid_state, no_such_job, no_such_run, unsupported
from local_workspace.runner import Runner
from local_workspace.store import TERMINAL, Row, Store, now_ms
from machine.state_folder import StateFolder

USER_NAME = "local@localhost"


class Jobs:
    """Every method either does the whole thing or raises an ApiError."""

    def __init__(self, state: StateFolder, store: Store, runner: Runner) -> None:
        self._state = state
        self._store = store
        self._runner = runner

    def create(self, settings: dict[str, Any]) -> int:
        filled = job_settings.checked(settings)
        digests = wheels.snapshot(self._state, filled)
        with self._store.transaction():
            job_id = self._store.new_id()
            self._store.insert(
                "jobs",
                job_id=job_id,
                name=filled["name"],
                settings=filled,
                wheels=digests,
                creator=USER_NAME,
                created=now_ms(),
            )
        return job_id

    def reset(self, job_id: int, settings: dict[str, Any]) -> None:
        self.job(job_id)
        filled = job_settings.checked(settings)
        digests = wheels.snapshot(self._state, filled)
        self._store.update("jobs", job_id, name=filled["name"], settings=filled, wheels=digests)
        self._runner.wake()

    def update(self, job_id: int, changes: dict[str, Any], removed: list[str]) -> None:
        """Top-level fields replace; of tasks, environments and parameters, those named the same (as the real one)."""
        settings = dict(self.job(job_id)["settings"])
        for field in removed:
            if "/" in field:
                raise unsupported(f"fields_to_remove inside a field ({field!r}): name a top-level field")
            settings.pop(field, None)
        for field, value in changes.items():
            key = {"tasks": "task_key", "environments": "environment_key"}.get(field)
            named = isinstance(value, list) and all(
                isinstance(item, dict) and isinstance(item.get(key), str) for item in value
            )
            if key and named:
                merged = {item.get(key): item for item in [*settings.get(field, []), *value]}
                settings[field] = list(merged.values())
            else:
                settings[field] = value
        self.reset(job_id, settings)

    def job(self, job_id: int) -> Row:
        found = self._store.job(job_id)
        if found is None:
            raise no_such_job(job_id)
        return found

    def delete(self, job_id: int) -> None:
        self.job(job_id)
        self.cancel_all(job_id, queued_only=False)
        self._store.update("jobs", job_id, deleted=1)

    def named(self, name: str) -> list[Row]:
        """Those of that name, the newest first; all of them if it is empty."""
        if name:  # exact, but for upper and lower case, as the real filter
            return self._store.all(
                "select * from jobs where not deleted and lower(name) = lower(?) order by job_id desc", name
            )
        return self._store.all("select * from jobs where not deleted order by job_id desc")

    def run_now(
        self, job_id: int, given: dict[str, str], token: str | None = None, queue: bool | None = None
    ) -> tuple[int, int]:
        """Start a run (or find the one that this token started): its id, and its number within the job."""
        with self._store.transaction():
            if token:
                known = self._store.one("select * from tokens where token = ?", token)
                if known:
                    if known["job_id"] != job_id:
                        raise invalid(f"The idempotency token was used for another job ({known['job_id']}).")
                    if self._store.run(known["run_id"]) is None:
                        raise invalid_state(f"The run {known['run_id']} of this idempotency token was deleted.")
                    return known["run_id"], self._number(job_id, known["run_id"])
            job = self.job(job_id)
            settings = job["settings"]
            run_id = self._store.new_id()
            life_cycle, result, message = self._admission(job, queue)
            skipped = life_cycle == "SKIPPED"
            created = now_ms()
            self._store.insert(
                "runs",
                run_id=run_id,
                job_id=job_id,
                job_name=job["name"],
                settings=settings,
                wheels=job["wheels"],
                parameters=_merged_parameters(settings, given),
                life_cycle=life_cycle,
                result=result,
                message=message,
                created=created,
                ended=created if skipped else None,
            )
            for task in settings["tasks"]:
                self._add_task(run_id, task, 0, None, skipped=skipped)
            if token:
                self._store.insert("tokens", token=token, job_id=job_id, run_id=run_id)
            number = self._number(job_id, run_id)
        self._runner.wake()
        return run_id, number

    def _number(self, job_id: int, run_id: int) -> int:
        earlier = self._store.one("select count(*) as n from runs where job_id = ? and run_id <= ?", job_id, run_id)
        return int(earlier["n"]) if earlier else 1

    def _admission(self, job: Row, queue: bool | None) -> tuple[str, str | None, str]:
        settings = job["settings"]
        waiting = self._store.one(
            "select run_id from runs where job_id = ? and life_cycle = 'QUEUED' limit 1", job["job_id"]
        )
        limit = settings["max_concurrent_runs"]
        if waiting is None and self._runner.active_count(job["job_id"]) < limit:
            return "PENDING", None, ""
        may_queue = settings.get("queue", {}).get("enabled", False) if queue is None else queue
        if may_queue and limit > 0:
            return "QUEUED", None, f"Waiting: {limit} concurrent runs of this job are active, its maximum."
        return (
            "SKIPPED",
            "MAXIMUM_CONCURRENT_RUNS_REACHED",
            f"The run was skipped: {limit} concurrent runs of this job are active, its maximum.",
        )

    def _add_task(
        self, run_id: int, task: dict[str, Any], attempt: int, repair_id: int | None, *, skipped: bool = False
    ) -> int:
        task_run_id = self._store.new_id()
        waiting = "BLOCKED" if task.get("depends_on") else "PENDING"
        self._store.insert(
            "task_runs",
            run_id=task_run_id,
            parent_run_id=run_id,
            task_key=task["task_key"],
            attempt=attempt,
            repair_id=repair_id,
            life_cycle="SKIPPED" if skipped else waiting,
            result="MAXIMUM_CONCURRENT_RUNS_REACHED" if skipped else None,
            message="",
            created=now_ms(),
            ended=now_ms() if skipped else None,
            session_id="",
        )
        return task_run_id

    def run(self, run_id: int) -> Row:
        found = self._store.run(run_id)
        if found is None:
            raise no_such_run(run_id)
        return found

    def cancel(self, run_id: int) -> None:
        """Ask a run to stop; that it has ended already is no error."""
        task = self._store.task_run(run_id)
        run = self.run(task["parent_run_id"] if task else run_id)
        if run["life_cycle"] not in TERMINAL:
            self._store.update("runs", run["run_id"], cancel_requested=1)
            self._runner.wake()

    def cancel_all(self, job_id: int | None, *, queued_only: bool) -> None:
        for run in self._store.unfinished_runs():
            of_this_job = job_id is None or run["job_id"] == job_id
            if of_this_job and (run["life_cycle"] == "QUEUED" or not queued_only):
                self._store.update("runs", run["run_id"], cancel_requested=1)
        self._runner.wake()

    def delete_run(self, run_id: int) -> None:
        with self._store.transaction():
            run = self.run(run_id)
            if run["life_cycle"] not in TERMINAL:
                raise invalid_state(f"Run {run_id} is active: cancel it first.")
            self._store.execute("delete from task_runs where parent_run_id = ?", run_id)
            self._store.execute("delete from runs where run_id = ?", run_id)
        self._runner.forget(run_id)

    def repair(
        self,
        run_id: int,
        *,
        rerun_tasks: list[str] | None,
        all_failed: bool,
        dependents: bool,
        latest_repair_id: int | None,
        given: dict[str, str],
    ) -> int:
        with self._store.transaction():
            run = self.run(run_id)
            job = self.job(run["job_id"])
            if run["life_cycle"] not in TERMINAL:
                raise invalid_state(f"Run {run_id} is active and cannot be repaired: cancel it, or wait for its end.")
            last = run["repairs"][-1]["id"] if run["repairs"] else None
            if last is not None and latest_repair_id is None:
                raise invalid(f"latest_repair_id is required: run {run_id} was repaired before.")
            if latest_repair_id is not None and latest_repair_id != last:
                raise invalid(f"latest_repair_id {latest_repair_id} is not the latest repair of run {run_id} ({last}).")
            # The job's present settings are what runs again, so that a mended job can repair a run.
            settings = job["settings"]
            chosen = self._tasks_to_repair(run, settings, rerun_tasks, all_failed, dependents)
            repair_id = self._store.new_id()
            attempts = self._store.latest_attempts(run_id)
            ids = []
            for task in settings["tasks"]:
                before = attempts.get(task["task_key"])
                if task["task_key"] in chosen or before is None:
                    ids.append(self._add_task(run_id, task, before["attempt"] + 1 if before else 0, repair_id))
            note = {"id": repair_id, "start_time": now_ms(), "task_run_ids": ids}
            earlier = {item["name"]: item["value"] for item in run["parameters"]}
            self._admit_repair(run, settings)
            self._store.update(
                "runs",
                run_id,
                settings=settings,
                wheels=job["wheels"],
                parameters=_merged_parameters(settings, earlier | given),
                life_cycle="PENDING",
                result=None,
                message="",
                ended=None,
                attempt_started=None,
                cancel_requested=0,
                timed_out=0,
                repair_count=run["repair_count"] + 1,
                repairs=[*run["repairs"], note | {"before": _repair_state(run)}],
            )
        self._runner.wake()
        return repair_id

    def _admit_repair(self, run: Row, settings: dict[str, Any]) -> None:
        if self._runner.active_count(run["job_id"]) >= settings["max_concurrent_runs"]:
            raise ApiError(
                429,
                "RESOURCE_EXHAUSTED",
                f"Job {run['job_id']} has {settings['max_concurrent_runs']} active runs, its maximum: repair later.",
            )

    def _tasks_to_repair(
        self, run: Row, settings: dict[str, Any], named: list[str] | None, all_failed: bool, dependents: bool
    ) -> set[str]:
        if bool(named) == all_failed:
            raise invalid("Give either rerun_tasks or rerun_all_failed_tasks.")
        attempts = self._store.latest_attempts(run["run_id"])
        known = {task["task_key"] for task in settings["tasks"]}
        if named:
            for task_key in named:
                if task_key not in known:
                    raise invalid(f"Task {task_key!r} is no task of job {run['job_id']}.")
            chosen = set(named)
        else:
            chosen = {key for key, task in attempts.items() if task["result"] != "SUCCESS" and key in known}
            if not chosen:
                raise invalid_state(f"Run {run['run_id']} has no failed task to repair.")
        # What was not run because of a failure is run again with it, or its state would be out of date.
        grown = True
        while grown:
            more = {
                task["task_key"]
                for task in settings["tasks"]
                if any(needed["task_key"] in chosen for needed in task.get("depends_on", []))
                and (dependents or (attempts.get(task["task_key"]) or {}).get("result") != "SUCCESS")
            }
            grown = not more <= chosen
            chosen |= more
        return chosen


def _repair_state(run: Row) -> dict[str, Any]:
    """How the run stood before this repair."""
    state = {"life_cycle_state": run["life_cycle"], "result_state": run["result"], "state_message": run["message"]}
    return {"state": state, "end_time": run["ended"]}


def _merged_parameters(settings: dict[str, Any], given: dict[str, str]) -> list[dict[str, str]]:
    """Defaults overridden by what the caller gave.

    A parameter that the job does not declare is accepted, as by the real API, and shown with the run: OpenLineage's
    integration adds some. It reaches no task, since a task takes only what its parameters name, and those may name
    declared parameters alone.
    """
    declared = {item["name"]: item["default"] for item in settings.get("parameters", [])}
    merged = [
        {"name": name, "default": default, "value": given.get(name, default)} for name, default in declared.items()
    ]
    return merged + [{"name": name, "value": value} for name, value in given.items() if name not in declared]
