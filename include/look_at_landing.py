"""The first task of the live DAG: has anything changed in the landing folders since the last look?

It asks the Files API alone, so a look without news ends in seconds and starts no job run. Which dates have changed, the
job finds for itself, from the files of all dates.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from include.check_landing import REQUESTS_AT_ONCE
from include.failures import FileMissing
from include.landing_names import date_of_folder, is_ignored
from include.settings import SETTINGS, Settings
from include.workspace import Workspace


class LookAtLanding(BaseOperator):
    """Skip what comes after it where the landing folders are as the last look found them.

    The names of all folders are compared, and the files of the newest `live_days` folders by name, size and time. What
    was found is remembered when it is found: a run that failed is not repeated until something else changes. The first
    look of a day in UTC continues too, since a landing date that has ended is then judged as a whole.
    """

    ui_color = "#d9e8f5"

    def __init__(self, *, settings: Settings = SETTINGS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings

    def execute(self, context: Any) -> str:
        """Return what stands for all that was found. Raises AirflowSkipException where nothing has changed."""
        day = context["dag_run"].run_after.astimezone(UTC).date()
        found = self._found(Workspace(self.settings, "LookAtLanding"), day)
        # Without an index of a mapped task it would be a list of what all looks before have found.
        newest = {"key": "return_value", "include_prior_dates": True, "map_indexes": -1}
        before = context["ti"].xcom_pull(task_ids=self.task_id, **newest)
        if found == before:
            raise AirflowSkipException(f"Nothing has changed in {self.settings.landing_volume} since the last look.")
        return found

    def _found(self, workspace: Workspace, day: date) -> str:
        root = self.settings.landing_volume
        try:
            folders = sorted(name for entry in workspace.entries(root) if date_of_folder(name := str(entry["name"])))
        except FileMissing as error:
            raise AirflowSkipException(f"The landing folder {root} does not exist, so nothing has landed.") from error

        def files(folder: str) -> list[tuple[Any, ...]]:
            try:
                entries = workspace.entries(f"{root}/{folder}")
            except FileMissing:  # removed since the listing
                return []
            states = [(str(e["name"]), e.get("file_size"), e.get("last_modified")) for e in entries]
            return sorted(state for state in states if not is_ignored(state[0]))

        newest = folders[-self.settings.live_days :]
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            content = [str(day), folders, list(zip(newest, pool.map(files, newest), strict=True))]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
