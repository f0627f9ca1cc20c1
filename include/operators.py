"""Tasks that run a job of the bundle: the provider's deferrable operator, and publish with its asset events.

One try of a task has one job run: the idempotency token is the id of the try, which is new after every retry and
clear. It is kept before the run is asked for, so that a run of whose start no answer came through can be found.

A run whose try is over does not go on (a cancelled, timed-out or failed-by-hand task cancels the run): the
trigger cancels while the task is deferred, `on_kill` while it runs, and what neither could do (the triggerer was
down, the wait timed out, the trigger failed) is done here, when the task is resumed to fail or tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.providers.databricks.exceptions import DatabricksApiError
from airflow.providers.databricks.hooks.databricks import RunState
from airflow.providers.databricks.operators.databricks import DatabricksRunNowOperator
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, TaskDeferred
from requests.exceptions import RequestException

from include.failures import JobRunCancelled, PublicationUnusable
from include.hook import LakehouseHook
from include.settings import SETTINGS, Settings
from include.triggers import JobRunTrigger
from include.workspace import Workspace

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

RUN_KEY = "job_run_id"  # in the task's state store, which outlives tries and clears


class JobRunOperator(DatabricksRunNowOperator):
    """Runs a job by its name in the bundle, deferred until it ends."""

    def __init__(self, *, job: str, settings: Settings = SETTINGS, **kwargs: Any) -> None:
        super().__init__(
            job_name=settings.job_name(job),
            databricks_conn_id=settings.connection_id,
            idempotency_token="{{ ti.id }}",  # noqa: S106
            deferrable=True,
            forward_dag_params=False,
            polling_period_seconds=cast("int", settings.poll_seconds),  # it is only slept for
            databricks_retry_limit=settings.api_retries,
            databricks_retry_delay=settings.api_retry_delay,
            pool=settings.pool,
            **kwargs,
        )
        self.settings = settings

    def execute(self, context: Any) -> Any:
        """Start the run and wait for it, with the trigger that cancels and no longer than the task may take.

        Airflow does not count `execution_timeout` while a task is deferred, so it is given to the wait as well.
        """
        store, ti_id = context["task_state_store"], str(context["ti"].id)
        earlier = store.get(RUN_KEY) or {}
        if earlier and "run_id" not in earlier:
            # No answer to its request came through. Its token finds the run; if there is none, it is started now.
            earlier["run_id"] = self._run_of(context, earlier["token"])
        token = ti_id
        if earlier.get("ti_id") != ti_id:
            self._stop(earlier.get("run_id"), "an earlier try of this task")
        elif self._has_failed(earlier["run_id"]):
            token = f"{ti_id}-{context['ti'].try_number}"
        else:
            # The scheduler sometimes repeats a try under the same id (it lost sight of the process that deferred).
            # Its run, which goes on or has succeeded, is then simply taken up again.
            token = earlier["token"]
        self.idempotency_token = token
        try:
            try:
                return super().execute(context)
            except TaskDeferred as wait:
                trigger = JobRunTrigger(**cast("BaseTrigger", wait.trigger).serialize()[1])
                self.defer(trigger=trigger, method_name=wait.method_name, timeout=self.execution_timeout)
            finally:
                if self.run_id:
                    store.set(RUN_KEY, {"ti_id": ti_id, "token": token, "run_id": self.run_id})
        except Exception:
            self._stop(self.run_id, "this try, which has failed")
            raise

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Go on after the wait; if it ended in an error or a time-out, the run is cancelled."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except Exception:
            self._stop((context["task_state_store"].get(RUN_KEY) or {}).get("run_id"), "this try, which has failed")
            raise

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:
        """Judge the end of the run. Someone's cancel is a decision, which no retry undoes."""
        if event and event.get("run_state"):
            state = RunState.from_json(event["run_state"])
            if state.result_state == "CANCELED":
                raise JobRunCancelled(
                    f"Job run {event['run_id']} was cancelled in the workspace: {event['run_page_url']}. "
                    "Clear this task to start another."
                )
        return super().execute_complete(context, event)

    def _get_hook(self, caller: str) -> LakehouseHook:
        return LakehouseHook(
            self.databricks_conn_id,
            retry_limit=self.databricks_retry_limit,
            retry_delay=self.databricks_retry_delay,
            retry_args=self.databricks_retry_args,
            caller=caller,
        )

    def _prepare_run_now_json(self, context: Any) -> dict[str, Any]:
        request: dict[str, Any] = super()._prepare_run_now_json(context)
        # From here on there may be a run although no answer comes.
        asked = {"ti_id": str(context["ti"].id), "token": self.idempotency_token}
        context["task_state_store"].set(RUN_KEY, asked)
        return request

    def _run_of(self, context: Any, token: str) -> int:
        """The run that this idempotency token has started, or starts now."""
        self.idempotency_token = token
        return int(self._hook.run_now(self._prepare_run_now_json(context)))

    def _has_failed(self, run_id: int) -> bool:
        state = self._hook.get_run_state(run_id)
        return state.is_terminal and not state.is_successful

    def _stop(self, run_id: Any, whose: str) -> None:
        """Cancel a run that has not ended yet. Never hides the error that led here."""
        if not run_id:
            return
        try:
            if not self._hook.get_run_state(int(run_id)).is_terminal:
                self.log.warning("Cancelling job run %s of %s.", run_id, whose)
                self._hook.cancel_run(int(run_id))
        except DatabricksApiError as error:
            if error.http_status_code not in (400, 404):  # it is not known any more, or has just ended
                self.log.error("Job run %s of %s could not be cancelled: %s", run_id, whose, error)
        except (AirflowException, RequestException) as error:
            self.log.error("Job run %s of %s could not be cancelled: %s", run_id, whose, error)


class PublishOperator(JobRunOperator):
    """Runs the job `publish`, then tells Airflow what it published: versions and row counts in the asset events."""

    def __init__(self, *, layer: str, published: dict[str, Asset], **kwargs: Any) -> None:
        super().__init__(job="publish", outlets=list(published.values()), **kwargs)
        self.layer = layer
        self.published = published
        self.publication: Any = None

    def execute(self, context: Any) -> Any:
        """The provider drops what `execute_complete` returns for a run that has ended at the first look."""
        super().execute(context)
        return self.publication

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:
        """Returns the publication, as the job wrote it."""
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
        again = bool(publication.get("already_published"))
        self.log.info(
            "%s publication %s%s:", self.layer, publication.get("seq"), " (published before)" if again else ""
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
                "already_published": again,
                "job_run_id": run_id,
            }
        self.publication = publication
        return publication
