"""Tasks that run a job of the bundle: any, the one that publishes, and the one that runs all layers.

The task waits for its job run itself at first, polling often, so that it ends when a short job run does. It defers what
lasts longer, so that a long wait takes no worker.

One try of a task has one job run: the idempotency token is the id of the try, which changes with every retry and clear.
The token is stored before the request, so that the next try finds a job run of whose start no answer arrived.

A job run does not outlive its try: `on_kill` cancels it while the task runs, the trigger while the task is deferred.
Where neither can (no triggerer runs, the deferral times out, the trigger fails), the resumed task or the next try does.
The exception is a job run that could not be observed for a while: it continues, and a retry waits for it.
"""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Any, cast

from airflow.providers.databricks.exceptions import DatabricksApiError
from airflow.providers.databricks.hooks.databricks import RunState
from airflow.providers.databricks.operators.databricks import DatabricksRunNowOperator
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException
from airflow.sdk.execution_time import task_runner

from include import verdict_file
from include.failures import (
    CALL_ERRORS,
    JobRunCancelled,
    JobUnknown,
    PublicationForbidden,
    PublicationUnusable,
    RunOutOfSight,
    TaskStopped,
    job_failure,
)
from include.hook import LakehouseHook
from include.intervals import interval_parameters
from include.patience import Patience
from include.settings import LAYERS, SETTINGS, Settings
from include.triggers import JobRunTrigger
from include.verdict_file import VERDICTS_KEY
from include.workspace import Workspace

RUN_KEY = "job_run_id"
"""The key in the task's state store, which survives tries and clears."""
FIRST_POLL_SECONDS = 0.2
POLL_BACK_OFF = 1.2
KILL_CHECK_SECONDS = 0.5


class JobRunOperator(DatabricksRunNowOperator):
    """Run a job by its name in the bundle and wait for it: in the task at first, deferred when it lasts.

    `with_interval` adds the landing dates of the DAG run to the job parameters, as interval_start and interval_end.
    """

    def __init__(
        self,
        *,
        job: str,
        with_interval: bool = False,
        pool: str | None = None,
        settings: Settings = SETTINGS,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            job_name=settings.job_name(job),
            databricks_conn_id=settings.connection_id,
            idempotency_token="{{ ti.id }}",  # noqa: S106
            deferrable=True,
            forward_dag_params=False,
            polling_period_seconds=cast("int", settings.poll_seconds),  # the provider declares whole seconds only
            databricks_retry_limit=settings.api_retries,
            databricks_retry_delay=settings.api_retry_delay,
            pool=pool or settings.pool,
            **kwargs,
        )
        self.settings = settings
        self.with_interval = with_interval
        self._killed = False

    def execute(self, context: Any) -> Any:
        """Run the job, and wait for it."""
        return self.run_job(context)

    def run_job(self, context: Any) -> Any:
        """Start the job run, or take up the one that this try has already, and wait for it."""
        begun = time.monotonic()
        self.job_parameters = {**(self.job_parameters or {}), **self._run_parameters(context)}
        try:
            self.run_id = self._find_or_start(context)
            wait = math.inf if _is_tested_by_hand() else self.settings.wait_in_task.total_seconds()
            event = self._wait_in_task(context, begun + wait)
        except RunOutOfSight:
            self._keep_for_retry(context)
            raise
        except Exception:
            self._stop(self.run_id, "this try, which has failed")
            raise
        if event:
            return self.execute_complete(context, event)
        trigger = JobRunTrigger(
            run_id=self.run_id,
            connection_id=self.databricks_conn_id,
            poll_seconds=self.settings.poll_seconds,
            poll_patience=self.settings.poll_patience.total_seconds(),
            api_retries=self.databricks_retry_limit,
            api_retry_delay=self.databricks_retry_delay,
        )
        # Airflow does not count `execution_timeout` while a task is deferred.
        timeout = self.execution_timeout
        if timeout:
            timeout = max(timeout - timedelta(seconds=time.monotonic() - begun), timedelta(seconds=1))
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)
        return None

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Resume after the deferral; cancel the job run if the deferral ended in an error or a time-out."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except RunOutOfSight:
            self._keep_for_retry(context)
            raise
        except Exception:
            self._stop((context["task_state_store"].get(RUN_KEY) or {}).get("run_id"), "this try, which has failed")
            raise

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:  # noqa: ARG002
        """Judge the end of the job run. A cancellation in the workspace is a decision, which no retry undoes."""
        if not event:
            raise AirflowException("The trigger ended without an event.")
        if "out_of_sight" in event:
            raise RunOutOfSight(event["out_of_sight"])
        state = RunState.from_json(event["run_state"])
        if state.is_successful:
            self.log.info("Job run %s succeeded: %s", event["run_id"], event["run_page_url"])
            return
        if state.result_state == "CANCELED":
            raise JobRunCancelled(
                f"Job run {event['run_id']} was cancelled in the workspace: {event['run_page_url']}. "
                "Clear this task to start another."
            )
        reasons = [str(failed["error"]) for failed in event["errors"]] or [state.state_message or "no reason reported"]
        outcome = state.result_state or state.life_cycle_state
        raise job_failure(f"Job run {event['run_id']} ended as {outcome}, {event['run_page_url']}", reasons)

    def on_kill(self) -> None:
        """Cancel the job run. Airflow calls this in a signal handler, and the interrupted code continues afterwards."""
        self._killed = True
        self._stop(self.run_id, "this try, which was stopped")

    def _run_parameters(self, context: Any) -> dict[str, str]:
        """Return the job parameters that depend on the DAG run."""
        return interval_parameters(context["dag_run"]) if self.with_interval else {}

    def _get_hook(self, caller: str) -> LakehouseHook:
        return LakehouseHook(
            self.databricks_conn_id,
            retry_limit=self.databricks_retry_limit,
            retry_delay=self.databricks_retry_delay,
            retry_args=self.databricks_retry_args,
            caller=caller,
        )

    def _find_or_start(self, context: Any) -> int:
        """Return the job run to wait for: a new one, unless this try has one already, or the last one is out of sight.

        The scheduler sometimes repeats a try under the same id, because it lost sight of the process of the first.
        """
        ti, earlier = context["ti"], context["task_state_store"].get(RUN_KEY) or {}
        if earlier and "run_id" not in earlier:
            # No answer to this request arrived. Its token finds the job run, or starts it now if there is none.
            earlier["run_id"] = self._run_now(context, earlier["token"])
        same_try = earlier.get("ti_id") == str(ti.id)
        # A clear raises the number of tries; only a retry takes a job run up.
        if same_try or ("out_of_sight" in earlier and earlier["out_of_sight"] == ti.max_tries):
            state = self._state(earlier["run_id"])
            if state is None:
                # Its token finds it where the workspace only does not show it, and otherwise starts another.
                return self._run_now(context, earlier["token"])
            if state.is_successful or not state.is_terminal:
                self.log.info("Job run %s is taken up again.", earlier["run_id"])
                run_id = int(earlier["run_id"])
                self._store(context, {"ti_id": str(ti.id), "token": earlier["token"], "run_id": run_id})
                return run_id
        else:
            self._stop(earlier.get("run_id"), "an earlier try of this task")
        return self._run_now(context, f"{ti.id}-{ti.try_number}" if same_try else str(ti.id))

    def _run_now(self, context: Any, token: str) -> int:
        """Return the job run of the token; start it if there is none."""
        self.idempotency_token = token
        known = {"ti_id": str(context["ti"].id), "token": token}
        request = {"job_id": self._job_id(), "job_parameters": self.job_parameters, "idempotency_token": token}
        # After the request there may be a job run even if no answer arrives.
        self._store(context, known)
        run_id = int(self._hook.run_now(request))
        self._store(context, {**known, "run_id": run_id})
        return run_id

    def _job_id(self) -> int:
        found = [job["job_id"] for job in self._hook.list_jobs(job_name=self.job_name)]
        if not found:
            raise JobUnknown(
                f"The workspace has no job named {self.job_name!r}. Deploy the bundle, or set LAKEHOUSE_JOB_PREFIX to "
                "the prefix of its jobs' names (in .env, put a prefix that ends in a blank in quotes)."
            )
        if len(found) > 1:
            raise JobUnknown(
                f"The workspace has {len(found)} jobs named {self.job_name!r}, with the ids "
                f"{', '.join(map(str, sorted(found)))}. Delete all but one."
            )
        return int(found[0])

    def _store(self, context: Any, known: dict[str, Any]) -> None:
        context["task_state_store"].set(RUN_KEY, known)

    def _keep_for_retry(self, context: Any) -> None:
        known = context["task_state_store"].get(RUN_KEY) or {}
        self._store(context, {**known, "out_of_sight": context["ti"].max_tries})

    def _wait_in_task(self, context: Any, deadline: float) -> dict[str, Any] | None:
        """Return the event of the job run's end, or None if it has not ended at the deadline."""
        self.log.info("Waiting for job run %s.", self.run_id)
        context["ti"].xcom_push(key="run_id", value=self.run_id)
        patience, page, pause = Patience(int(self.run_id or 0), self.settings.poll_patience.total_seconds()), "", 0.0
        while True:
            pause = min(max(pause * POLL_BACK_OFF, FIRST_POLL_SECONDS), self.settings.poll_seconds)
            if self._killed:
                raise TaskStopped(f"Airflow stopped this task, so job run {self.run_id} was cancelled.")
            try:
                state, event = self._hook.outcome(int(self.run_id or 0))
            except CALL_ERRORS as error:
                self.log.warning("A poll of job run %s failed: %s", self.run_id, error)
                patience.poll_failed(error)
            else:
                patience.poll_succeeded()
                if event["run_page_url"] != page:
                    page = event["run_page_url"]
                    self.log.info("Job run page: %s", page)
                    context["ti"].xcom_push(key="run_page_url", value=page)
                if state.is_terminal and not self._killed:
                    return event
            if not self._killed and time.monotonic() + pause > deadline:
                return None
            self._sleep(pause)

    def _sleep(self, seconds: float) -> None:
        """Sleep in short pieces: a signal handler does not end a sleep."""
        end = time.monotonic() + seconds
        while not self._killed and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, KILL_CHECK_SECONDS))

    def _state(self, run_id: int) -> RunState | None:
        """Return the state of a job run; None where the workspace does not know it."""
        try:
            return self._hook.get_run_state(run_id)
        except DatabricksApiError as error:
            if error.http_status_code in (400, 404):
                return None
            raise

    def _stop(self, run_id: Any, whose: str) -> None:
        """Cancel a job run that has not ended. Log errors, so that they do not hide the one that led here."""
        if not run_id:
            return
        try:
            if not self._hook.get_run_state(int(run_id)).is_terminal:
                self.log.warning("Cancelling job run %s of %s.", run_id, whose)
                self._hook.cancel_run(int(run_id))
        except CALL_ERRORS as error:
            if isinstance(error, DatabricksApiError) and error.http_status_code in (400, 404):
                return  # The workspace does not know it any more, or it has just ended.
            self.log.error("Job run %s of %s could not be cancelled: %s", run_id, whose, error)


def _is_tested_by_hand() -> bool:
    """Return whether this is `tasks test` or `dags test`, which run triggers themselves: a triggerer that runs beside
    them would take a deferral for its own, and cancel the job run when it finds it gone.
    """
    return type(getattr(task_runner, "SUPERVISOR_COMMS", None)).__name__ == "InProcessSupervisorComms"


class PublishOperator(JobRunOperator):
    """Run the job `publish` for the build that the gate allowed; report versions and row counts in the asset events."""

    def __init__(self, *, layer: str, published: dict[str, Asset], **kwargs: Any) -> None:
        super().__init__(job="publish", job_parameters={"layer": layer}, outlets=list(published.values()), **kwargs)
        self.layer = layer
        self.published = published

    def _run_parameters(self, context: Any) -> dict[str, str]:
        allowed = context["ti"].xcom_pull(task_ids=f"{self.layer}.gate")
        if not allowed:
            raise PublicationForbidden(
                f"{self.layer}.gate allowed no publication in this run, and marking it as success does not publish. "
                f"Nothing was published. Clear the task {self.layer}.build with its downstream tasks."
            )
        return dict(allowed)

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:
        """Return the publication, as the job wrote it."""
        super().execute_complete(context, event)
        run_id = str((event or {})["run_id"])
        path = f"{self.settings.ops_volume}/publications/{run_id}.json"
        publication = Workspace(self.settings, "PublishOperator").read_json(path)
        tables = publication.get("tables") if isinstance(publication, dict) else None
        if (
            not isinstance(tables, dict)
            or publication.get("layer") != self.layer
            or str(publication.get("job_run_id")) != run_id
        ):
            raise PublicationUnusable(f"{path} is not the publication of {self.layer} by job run {run_id}.")
        repeated = bool(publication.get("already_published"))
        self.log.info(
            "%s publication %s%s:", self.layer, publication.get("seq"), " (already published)" if repeated else ""
        )
        for table, asset in self.published.items():
            state = tables.get(table) or tables.get(f"{self.settings.schema_prefix}{table}")
            if not state:
                self.log.warning("  %s is not in the publication.", table)
                continue
            self.log.info("  %s: %s rows at version %s", table, state.get("rows"), state.get("version"))
            context["outlet_events"][asset].extra = {
                "version": state.get("version"),
                "rows": state.get("rows"),
                "publication": publication.get("seq"),
                "interval_start": publication.get("interval_start"),
                "interval_end": publication.get("interval_end"),
                "already_published": repeated,
                "job_run_id": run_id,
            }
        return publication


class MedallionOperator(JobRunOperator):
    """Run the job `ecommerce_medallion`, and keep its verdicts for the message about the DAG run.

    A retry does not audit again what an earlier try has published, so the newest verdict of each layer is kept over all
    tries.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(job="ecommerce_medallion", **kwargs)

    def run_job(self, context: Any) -> Any:
        """Run the job. What earlier tries have found is shown, however this one ends."""
        self._keep(context, {})
        return super().run_job(context)

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:
        """Keep the verdicts of the builds that have ended, and judge the end of the job run."""
        if event and (done := event.get("succeeded_tasks")):
            audited = [layer for layer in LAYERS if f"{layer}_build" in done]
            self._keep(context, {layer: self._verdict(layer, event["run_id"]) for layer in audited})
        return super().execute_complete(context, event)

    def _verdict(self, layer: str, run_id: int) -> dict[str, Any]:
        """Return the summary of the verdict on a layer; of one that cannot be read, that it must be looked at."""
        path = self.settings.verdict_path(layer, run_id)
        workspace = Workspace(self.settings, "MedallionOperator")
        try:
            verdict = verdict_file.read(workspace.read_json(path), path=path, expected={"layer": layer})
        except CALL_ERRORS as error:
            self.log.error("The verdict on %s cannot be read: %s", layer, error)
            return {"layer": layer, "alerts": [f"the verdict on {layer} cannot be read, so look at it: {error}"]}
        return verdict_file.summary(verdict, verdict_file.pages_of(verdict, path, self.settings, workspace))

    def _keep(self, context: Any, found: dict[str, Any]) -> None:
        ti, store = context["ti"], context["task_state_store"]
        earlier = store.get(VERDICTS_KEY) or {}
        # A clear raises the number of tries: what was found before it is in an earlier message.
        verdicts = found if earlier.get("max_tries") != ti.max_tries else earlier["verdicts"] | found
        store.set(VERDICTS_KEY, {"max_tries": ti.max_tries, "verdicts": verdicts})
        ti.xcom_push(key=VERDICTS_KEY, value=list(verdicts.values()))
