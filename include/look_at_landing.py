"""The first task of the live DAG: has anything changed in the landing folders, or has silver or gold been left behind?

It asks the Files API alone, so a look without news ends in seconds and starts no job run. Which dates have changed and
which layers are behind, the job finds for itself, from the files of all dates and from ops.publications.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date
from itertools import pairwise
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from include.check_landing import REQUESTS_AT_ONCE
from include.failures import FileMissing
from include.landing_names import date_of_folder, is_ignored
from include.settings import LAYERS, SETTINGS, Settings
from include.workspace import Workspace

SEEN_KEY = "seen"
"""XCom key of what a look has found."""


class LookAtLanding(BaseOperator):
    """Skip what comes after it where the landing folders are as the last look found them, and no layer stays behind.

    The names of all folders are compared, and the files of the newest `live_days` folders by name, size and time. What
    was found is remembered when it is found: a run that failed is not repeated until something else changes. The first
    look of a day in UTC continues too, since a landing date that has ended is then judged as a whole.

    A layer is behind where its upstream layer has published what it has neither published nor rejected. At the first
    look that finds it so, a run may be on its way through the layers. The second one in a row takes that run for dead,
    and continues. Later looks do not: what failed again is not repeated.
    """

    ui_color = "#d9e8f5"

    def __init__(self, *, settings: Settings = SETTINGS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings

    def execute(self, context: Any) -> None:
        """Leave what was found to the next look. Raises AirflowSkipException where there is nothing to run."""
        ti, workspace = context["ti"], Workspace(self.settings, "LookAtLanding")
        landing = self._landing(workspace, context["dag_run"].run_after.astimezone(UTC).date())
        behind = self._behind(workspace)
        # Without an index of a mapped task it would be a list of what all looks before have found.
        newest = {"key": SEEN_KEY, "include_prior_dates": True, "map_indexes": -1}
        before = ti.xcom_pull(task_ids=self.task_id, **newest) or {}
        looks = before["looks"] + 1 if before.get("behind") == behind else 1
        ti.xcom_push(key=SEEN_KEY, value={"landing": landing, "behind": behind, "looks": looks})
        if behind:
            self.log.info("%s, as %d looks in a row have found.", behind, looks)
        stays_behind = behind and looks == 2
        if landing == before.get("landing") and not stays_behind:
            raise AirflowSkipException(f"Nothing has changed in {self.settings.landing_volume} since the last look.")

    def _behind(self, workspace: Workspace) -> str:
        """Name the first layer that is behind, and the publication of bronze that is missing in it; "" for none."""
        root = self.settings.ops_volume
        try:
            existing = {str(entry["name"]) for entry in workspace.entries(root)}
        except FileMissing:
            return ""

        def progress(layer: str) -> dict[str, Any]:
            name = f"progress_{layer}.json"
            # Not without the listing: what does not exist is asked for again, for half a minute.
            return workspace.read_json(f"{root}/{name}") if name in existing else {}

        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            found = dict(zip(LAYERS, pool.map(progress, LAYERS), strict=True))
        for upstream_layer, layer in pairwise(LAYERS):
            if found[upstream_layer].get("seq", 0) > found[layer].get("upstream_seq", 0):
                # Of bronze for gold too: what is tried again publishes silver again.
                return f"{layer} is behind publication {found['bronze'].get('seq')} of bronze"
        return ""

    def _landing(self, workspace: Workspace, day: date) -> str:
        """Return what stands for all that has landed. Raises AirflowSkipException without a landing folder."""
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
