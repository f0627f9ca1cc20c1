"""Read the workspace's volumes through the provider's hook and connection."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.providers.databricks.exceptions import DatabricksApiError

from include.failures import FileMissing, FileUnreadable, NoAnswer
from include.hook import LakehouseHook
from include.settings import SETTINGS, Settings


class Workspace:
    """Read files and folders of volumes by the Files API. Building one makes no call."""

    def __init__(self, settings: Settings = SETTINGS, caller: str = "LakehouseFiles") -> None:
        self.hook = LakehouseHook(
            settings.connection_id,
            retry_limit=settings.api_retries,
            retry_delay=settings.api_retry_delay,
            caller=caller,
        )

    def read_json(self, path: str) -> Any:
        """Return the content of a JSON file; raise `FileMissing` or `FileUnreadable`. The path begins with /Volumes."""
        try:
            return self._get(f"2.0/fs/files{quote(path)}")
        except DatabricksApiError as error:
            if error.http_status_code == 404:
                raise FileMissing(f"There is no file {path} in the workspace.") from error
            raise
        except NoAnswer as error:
            raise FileUnreadable(f"The file {path} in the workspace is not readable as JSON: {error}") from error

    def entries(self, path: str) -> list[dict[str, Any]]:
        """Return the entries of a folder as the Files API lists them; raise `FileMissing` where it does not exist."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"page_size": 1000}
        while True:
            try:
                page = self._get(f"2.0/fs/directories{quote(path)}", query)
            except DatabricksApiError as error:
                if error.http_status_code == 404:
                    raise FileMissing(f"There is no folder {path} in the workspace.") from error
                raise
            found += page.get("contents", [])
            if not page.get("next_page_token"):
                return found
            query = {"page_size": 1000, "page_token": page["next_page_token"]}

    def page_url(self, path: str) -> str:
        """Return the URL of a volume's file in the workspace's user interface."""
        connection = self.hook.databricks_conn
        port = f":{connection.port}" if connection.port else ""
        volume_path = quote(path.removeprefix("/Volumes/"))
        return f"{connection.schema or 'https'}://{self.hook.host}{port}/explore/data/volumes/{volume_path}"

    def _get(self, endpoint: str, query: dict[str, Any] | None = None) -> Any:
        # The hook has no public method for the Files API; all of its methods are built on this one.
        return self.hook._do_api_call(("GET", endpoint), query)
