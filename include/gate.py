"""The gate between build and publish: reads the verdict of that very job run, shows it, and decides.

Yes: hands build and fingerprint to publish. No: fails for good, because the data will not change. Anything else, a
missing, foreign or unreadable verdict: an error that is retried (design, sections 2 and 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include import verdicts
from include.intervals import utc_dates
from include.links import DATA_DOCS_URL, VERDICT_URL, DataDocsLink, VerdictLink
from include.settings import SETTINGS, Settings
from include.verdicts import Verdict
from include.workspace import FileMissing, Workspace


class AuditGate(BaseOperator):
    """Lets a layer be published, or not."""

    template_fields: Sequence[str] = ("build_job_run_id",)
    operator_extra_links = (VerdictLink(), DataDocsLink())
    ui_color = "#f5e9d9"

    def __init__(self, *, layer: str, build_job_run_id: str, settings: Settings = SETTINGS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = layer
        self.build_job_run_id = build_job_run_id
        self.settings = settings

    def execute(self, context: Any) -> dict[str, str]:
        """Returns what publish needs: build id and fingerprint."""
        run, ti = context["dag_run"], context["ti"]
        first, after = utc_dates(run.data_interval_start, run.data_interval_end)
        job_run_id = str(self.build_job_run_id)
        if not job_run_id.isdecimal():
            raise AirflowException(
                f"The build of {self.layer} has left no job run id. Clear the task {self.layer}.build to build again."
            )
        workspace = Workspace(self.settings, "AuditGate")
        path = f"{self.settings.ops_volume}/verdicts/{self.layer}/{job_run_id}.json"
        try:
            raw = workspace.read_json(path)
        except FileMissing as error:
            raise FileMissing(
                f"There is no verdict of {self.layer} for job run {job_run_id}: no file {path} in the workspace."
            ) from error
        ti.xcom_push(VERDICT_URL, workspace.page_url(path))
        verdict = verdicts.read(raw, path=path, layer=self.layer, job_run_id=job_run_id, first=first, after=after)
        data_docs = None
        if verdict.data_docs:
            data_docs = workspace.page_url(f"{self.settings.ops_volume}/{verdict.data_docs}")
            ti.xcom_push(DATA_DOCS_URL, data_docs)
        ti.xcom_push("verdict", summary(verdict, data_docs))
        self._show(verdict, data_docs)
        return decide(verdict)

    def _show(self, verdict: Verdict, data_docs: str | None) -> None:
        counts = verdict.statistics
        self.log.info(
            "Verdict on %s, build %s: %s. %d of %d expectations met, %d failed, %d warnings.",
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
        for line in verdicts.lines(verdict.warnings):
            self.log.warning("Warning: %s", line)
        for line in verdicts.lines(verdict.failures):
            self.log.error("Failed: %s", line)
        if data_docs:
            self.log.info("Data Docs: %s", data_docs)


def decide(verdict: Verdict) -> dict[str, str]:
    """Build and fingerprint for publish, or a failure for good."""
    if not verdict.success:
        said = verdicts.lines(verdict.failures) or ["the verdict lists no failed expectation"]
        raise AirflowFailException(
            f"The audit of {verdict.layer} (build {verdict.build_id}) forbids publishing; published tables are "
            f"untouched. {verdict.statistics['failed']} of {verdict.statistics['evaluated']} expectations failed:\n"
            + "\n".join(f"  {line}" for line in said)
        )
    if verdict.contradictions:
        raise AirflowFailException(
            f"The verdict on {verdict.layer} (build {verdict.build_id}) says yes, but "
            f"{' and '.join(verdict.contradictions)}. Nothing is published on such a verdict."
        )
    return {"build_id": verdict.build_id, "fingerprint": verdict.fingerprint}


def summary(verdict: Verdict, data_docs: str | None) -> dict[str, Any]:
    """What XCom keeps of a verdict."""
    return {
        "layer": verdict.layer,
        "build_id": verdict.build_id,
        "job_run_id": verdict.job_run_id,
        "success": verdict.success,
        "statistics": verdict.statistics,
        "rows": verdict.rows,
        "notes": verdict.notes,
        "failures": verdicts.lines(verdict.failures),
        "warnings": verdicts.lines(verdict.warnings),
        "data_docs": data_docs,
    }
