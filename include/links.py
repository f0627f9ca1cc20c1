"""Links from a task to pages of the workspace; their URLs come from XCom, so rendering a page makes no API call."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.bases.xcom import BaseXCom

VERDICT_URL = "verdict_url"
DATA_DOCS_URL = "data_docs_url"


class VerdictLink(BaseOperatorLink):
    """Link to the verdict file of an audit."""

    name = "Verdict"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """Return the URL that the gate pushed."""
        return BaseXCom.get_value(key=VERDICT_URL, ti_key=ti_key) or ""


class DataDocsLink(BaseOperatorLink):
    """Link to the Data Docs of an audit: every rule, and whether it holds."""

    name = "Data Docs"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """Return the URL that the gate pushed."""
        return BaseXCom.get_value(key=DATA_DOCS_URL, ti_key=ti_key) or ""
