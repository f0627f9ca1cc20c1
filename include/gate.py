"""The gate between build and publish: read the verdict of the build's job run, log it, and decide.

A verdict that allows publication passes build id and fingerprint to publish. A verdict that forbids it fails the task
for good, and so does a missing one: a retry changes neither. A foreign or unreadable verdict is retried.

Where only rules failed that a person may overrule, the gate can wait for a decision (`LAKEHOUSE_DECISION_WAIT`). The
answer goes to the job `decide`, which checks and records it; publish reads that record itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param
from airflow.sdk.exceptions import TaskAwaitingInput
from airflow.sdk.execution_time.hitl import HITLUser, upsert_hitl_detail

from include import alerts, verdict_file
from include.failures import BuildMissing, FileMissing, JobRefused, PublicationForbidden, VerdictMissing
from include.intervals import date_ranges, days, landing_dates
from include.links import DATA_DOCS_URL, VERDICT_URL, DataDocsLink, VerdictLink
from include.operators import JobRunOperator
from include.settings import SETTINGS, Settings
from include.verdict_file import VERDICT_KEY, Verdict
from include.workspace import Workspace

PUBLISH, REJECT = "Publish anyway", "Reject"
REASON, INCIDENT = "reason", "confirmed_incident"
ANSWER_KEY = "answer"
"""The key in the task's state store: an answer that is not recorded yet survives the retry of its job."""


class AuditGate(JobRunOperator):
    """Allow or forbid the publication of a layer's build. Its job, `decide`, runs only where a person has decided."""

    template_fields: Sequence[str] = ("build_job_run_id",)
    operator_extra_links = (VerdictLink(), DataDocsLink())  # type: ignore[assignment]  # narrowed to its own link there
    ui_color = "#f5e9d9"

    def __init__(self, *, layer: str, build_job_run_id: str, settings: Settings = SETTINGS, **kwargs: Any) -> None:
        super().__init__(job="decide", settings=settings, **kwargs)
        self.layer = layer
        self.build_job_run_id = build_job_run_id

    def execute(self, context: Any) -> Any:
        """Return the job parameters of publish: build_job_run_id, build_id and fingerprint.

        Raises `PublicationForbidden`, `BuildMissing` or `VerdictMissing` for good; `FileUnreadable` or
        `VerdictUnusable`, which Airflow retries.
        """
        verdict = self._verdict(context)
        waits = verdict.may_be_overruled and not verdict.success and not verdict.decision
        if not (waits and self.settings.decision_wait):
            return decide(verdict)
        answer = context["task_state_store"].get(ANSWER_KEY) or {}
        if answer.get("fingerprint") == verdict.fingerprint:
            return self._record(context, answer)
        self._ask(context, verdict)
        raise TaskAwaitingInput(method_name="answered", timeout=self.settings.decision_wait)

    def answered(self, context: Any, event: dict[str, Any]) -> Any:
        """Let the job `decide` record a person's answer, and decide by it. Without an answer in time, reject."""
        verdict = self._verdict(context)
        if verdict.decision:  # meanwhile, without Airflow
            return decide(verdict)
        if "error" in event:
            raise PublicationForbidden(
                f"Nobody decided about {self.layer} (build {verdict.build_id}) within {self.settings.decision_wait}, so"
                f" it is rejected. Clear this task to be asked again. {event['error']}"
            )
        user, given = event.get("responded_by_user") or {}, event.get("params_input") or {}
        reason = str(given.get(REASON) or "").strip()
        if not reason:
            raise PublicationForbidden(
                f"{user.get('name') or 'Somebody'} decided about {self.layer} (build {verdict.build_id}) without a"
                " reason, so it is rejected. Clear this task to be asked again."
            )
        answer = {
            "layer": self.layer,
            "build_id": verdict.build_id,
            "fingerprint": verdict.fingerprint,
            "decision": "publish" if event["chosen_options"] == [PUBLISH] else "reject",
            "reason": reason,
            "decided_by": str(user.get("name") or user.get("id") or ""),
            "confirmed_incident": str(given.get(INCIDENT) is True).lower(),
            "decided_at": datetime.fromisoformat(str(event["responded_at"])).astimezone(UTC).isoformat(),
        }
        context["task_state_store"].set(ANSWER_KEY, answer)
        return self._record(context, answer)

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:
        """Decide by what the job `decide` has recorded. An answer that it refuses is not sent again."""
        try:
            super().execute_complete(context, event)
        except JobRefused:
            context["task_state_store"].set(ANSWER_KEY, {})
            raise
        return decide(self._verdict(context))

    def _record(self, context: Any, answer: dict[str, str]) -> Any:
        self.job_parameters = dict(answer)
        return self.run_job(context)

    def _ask(self, context: Any, verdict: Verdict) -> None:
        """Put the question into Airflow's required actions, and send it to people."""
        dates = date_ranges(days(*landing_dates(context["dag_run"])))
        until = datetime.now(UTC) + self.settings.decision_wait
        subject = f"{self.layer}, landing dates {dates}: publish although the gate says no?"
        form = {
            REASON: Param("", type="string", minLength=1, title="Reason", description="Stays on the record."),
            INCIDENT: Param(
                False,
                type="boolean",
                title="Confirmed incident",
                description="Something was wrong indeed: leave these dates out of the bands of anomalies.",
            ),
        }
        deciders = [name.strip() for name in self.settings.deciders.split(",") if name.strip()]
        pages = " ".join(f"[{name}]({url})" for name, url in self._pages(verdict).items())
        until_text = f"{until:%Y-%m-%d %H:%M} UTC"
        body = [
            *(f"- {line}" for line in verdict.explanation),
            "",
            f"Build {verdict.build_id}, fingerprint {verdict.fingerprint}. Without an answer until {until_text} it is"
            f" rejected. {pages}",
        ]
        upsert_hitl_detail(
            ti_id=context["ti"].id,
            options=[PUBLISH, REJECT],
            subject=subject,
            body="\n".join(body),
            params={name: param.serialize() for name, param in form.items()},
            assigned_users=[HITLUser(id=name, name=name) for name in deciders],
        )
        self.log.warning("%s Waiting for a decision until %s.", subject, until_text)
        alerts.alert_of_question(context, self.settings, subject, [*verdict.explanation, f"Answer until {until_text}."])

    def _pages(self, verdict: Verdict) -> dict[str, str]:
        return verdict_file.pages_of(verdict, self._path(), self.settings, Workspace(self.settings, "AuditGate"))

    def _path(self) -> str:
        return self.settings.verdict_path(self.layer, self.build_job_run_id)

    def _verdict(self, context: Any) -> Verdict:
        """Read the verdict, log it, and push its links and its summary."""
        ti = context["ti"]
        first, after = landing_dates(context["dag_run"])
        job_run_id = str(self.build_job_run_id)
        if not job_run_id.isdecimal():
            raise BuildMissing(
                f"The build of {self.layer} left no job run id; marking it as success does not build. {self._remedy()}"
            )
        workspace = Workspace(self.settings, "AuditGate")
        path = self._path()
        try:
            raw = workspace.read_json(path)
        except FileMissing as error:
            raise VerdictMissing(
                f"Job run {job_run_id} left no verdict on {self.layer}: the workspace has no file {path}. A build that "
                f"was marked as success, or cancelled, leaves none. {self._remedy()}"
            ) from error
        ti.xcom_push(VERDICT_URL, workspace.page_url(path))
        expected = {
            "layer": self.layer,
            "job_run_id": job_run_id,
            "interval_start": first.isoformat(),
            "interval_end": after.isoformat(),
        }
        verdict = verdict_file.read(raw, path=path, expected=expected)
        pages = self._pages(verdict)
        data_docs = pages.get("Data Docs")
        if data_docs:
            ti.xcom_push(DATA_DOCS_URL, data_docs)
        ti.xcom_push(VERDICT_KEY, verdict_file.summary(verdict, pages))
        self._log(verdict, data_docs)
        return verdict

    def _remedy(self) -> str:
        return f"Clear the task {self.layer}.build with its downstream tasks."

    def _log(self, verdict: Verdict, data_docs: str | None) -> None:
        counts = verdict.statistics
        self.log.info(
            "Verdict on %s, build %s: %s. %d of %d rules hold, %d failed, %d warnings.",
            verdict.layer,
            verdict.build_id,
            "publish" if verdict.success else "do not publish",
            counts["successful"],
            counts["evaluated"],
            counts["failed"],
            counts["warnings"],
        )
        if verdict.rows:
            self.log.info("Rows: %s", verdict.rows)
        for note in verdict.notes:
            self.log.warning("Note: %s", note)
        for line in verdict_file.lines(verdict.warnings):
            self.log.warning("Warning: %s", line)
        if not verdict.success:
            for line in verdict.explanation:
                self.log.error("%s", line)
        if verdict.decision:
            self.log.warning("Decision: %s", verdict.decision["text"])
        if data_docs:
            self.log.info("Data Docs: %s", data_docs)


def decide(verdict: Verdict) -> dict[str, str]:
    """Return the job parameters of publish, or raise `PublicationForbidden`."""
    if not verdict.success and not verdict.is_overruled:
        reasons = verdict.explanation or ["the verdict lists no failed rule"]
        decided = [verdict.decision["text"]] if verdict.decision else []
        if verdict.may_be_overruled and not verdict.decision:
            decided.append(
                "All that failed may be overruled by a person: run the job decide with decision=publish (or reject),"
                f" reason, decided_by, layer={verdict.layer}, build_id={verdict.build_id},"
                f" fingerprint={verdict.fingerprint}; then clear this task."
            )
        raise PublicationForbidden(
            f"The audit of {verdict.layer} (build {verdict.build_id}) forbids publishing; published tables are "
            f"untouched. {verdict.statistics['failed']} of {verdict.statistics['evaluated']} rules failed:\n"
            + "\n".join(f"  {line}" for line in [*reasons, *decided])
        )
    if verdict.contradictions:
        raise PublicationForbidden(
            f"The verdict on {verdict.layer} (build {verdict.build_id}) allows publication, but "
            f"{' and '.join(verdict.contradictions)}. Nothing is published on such a verdict."
        )
    return {
        "build_job_run_id": verdict.job_run_id,
        "build_id": verdict.build_id,
        "fingerprint": verdict.fingerprint,
    }
