"""The gate between build and publish: read the verdict of the build's job run, log it, and decide.

A verdict that allows publication passes build id and fingerprint to publish. A verdict that forbids it fails the task
for good, and so does a missing one: a retry changes neither. A foreign or unreadable verdict is retried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator

from include import verdict_file
from include.failures import BuildMissing, FileMissing, PublicationForbidden, VerdictMissing
from include.intervals import landing_dates
from include.links import DATA_DOCS_URL, VERDICT_URL, DataDocsLink, VerdictLink
from include.settings import SETTINGS, Settings
from include.verdict_file import Verdict
from include.workspace import Workspace


class AuditGate(BaseOperator):
    """Allow or forbid the publication of a layer's build."""

    template_fields: Sequence[str] = ("build_job_run_id",)
    operator_extra_links = (VerdictLink(), DataDocsLink())
    ui_color = "#f5e9d9"

    def __init__(self, *, layer: str, build_job_run_id: str, settings: Settings = SETTINGS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = layer
        self.build_job_run_id = build_job_run_id
        self.settings = settings

    def execute(self, context: Any) -> dict[str, str]:
        """Return the job parameters of publish: build_job_run_id, build_id and fingerprint.

        Raises `PublicationForbidden`, `BuildMissing` or `VerdictMissing` for good; `FileUnreadable` or
        `VerdictUnusable`, which Airflow retries.
        """
        ti = context["ti"]
        first, after = landing_dates(context["dag_run"])
        job_run_id = str(self.build_job_run_id)
        if not job_run_id.isdecimal():
            raise BuildMissing(
                f"The build of {self.layer} left no job run id; marking it as success does not build. {self._remedy()}"
            )
        workspace = Workspace(self.settings, "AuditGate")
        path = f"{self.settings.ops_volume}/verdicts/{self.layer}/{job_run_id}.json"
        try:
            raw = workspace.read_json(path)
        except FileMissing as error:
            raise VerdictMissing(
                f"Job run {job_run_id} left no verdict on {self.layer}: the workspace has no file {path}. A build that "
                f"was marked as success, or cancelled, leaves none. {self._remedy()}"
            ) from error
        ti.xcom_push(VERDICT_URL, workspace.page_url(path))
        verdict = verdict_file.read(raw, path=path, layer=self.layer, job_run_id=job_run_id, first=first, after=after)
        data_docs = None
        if verdict.data_docs:
            data_docs = workspace.page_url(f"{self.settings.ops_volume}/{verdict.data_docs}")
            ti.xcom_push(DATA_DOCS_URL, data_docs)
        ti.xcom_push("verdict", summary(verdict, data_docs))
        self._log(verdict, data_docs)
        return decide(verdict)

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
        if data_docs:
            self.log.info("Data Docs: %s", data_docs)


def decide(verdict: Verdict) -> dict[str, str]:
    """Return the job parameters of publish, or raise `PublicationForbidden`."""
    if not verdict.success:
        reasons = verdict.explanation or ["the verdict lists no failed rule"]
        raise PublicationForbidden(
            f"The audit of {verdict.layer} (build {verdict.build_id}) forbids publishing; published tables are "
            f"untouched. {verdict.statistics['failed']} of {verdict.statistics['evaluated']} rules failed:\n"
            + "\n".join(f"  {line}" for line in reasons)
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


def summary(verdict: Verdict, data_docs: str | None) -> dict[str, Any]:
    """Return what XCom keeps of a verdict."""
    return {
        "layer": verdict.layer,
        "build_id": verdict.build_id,
        "job_run_id": verdict.job_run_id,
        "success": verdict.success,
        "statistics": verdict.statistics,
        "rows": verdict.rows,
        "notes": verdict.notes,
        "failures": verdict.explanation,
        "warnings": verdict_file.lines(verdict.warnings),
        "data_docs": data_docs,
    }
