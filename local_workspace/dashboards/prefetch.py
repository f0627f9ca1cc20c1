"""The rows of published dashboards, fetched while no run works: so who looks at something new need not wait for it."""

import logging
import time
from collections.abc import Callable, Iterator

from local_workspace.api_errors import ApiError
from local_workspace.dashboards.dashboard_pages import parsed, schemas_of
from local_workspace.dashboards.definition import Dashboard
from local_workspace.dashboards.lakeview import Lakeview
from local_workspace.dashboards.published import NotPublished
from local_workspace.dashboards.results import QueryFailed, Results

log = logging.getLogger(__name__)
PAUSE_SECONDS = 1.0
QUIET_SECONDS = 3
"""How long no run must have worked: the tasks of an Airflow run start one after another, within a second."""


def fetch_ahead(lakeview: Lakeview, results: Results, is_idle: Callable[[], bool]) -> bool:
    """Fetch what is not kept yet, one query at a time; return whether nothing is left. A run ends it."""
    for _, dashboard in _published(lakeview):
        for dataset in dashboard.datasets:
            if not is_idle():
                return False
            try:
                results.rows(dataset)
            except (NotPublished, QueryFailed) as error:  # its chart will say so
                log.info("The dataset %s is not fetched ahead: %s", dataset.name, error)
    return True


def keep_fetching(lakeview: Lakeview, results: Results, is_idle: Callable[[], bool]) -> None:
    """Fetch ahead whenever something is published or deployed, for ever."""
    fetched, quiet = None, 0
    while True:
        time.sleep(PAUSE_SECONDS)
        try:
            quiet = quiet + 1 if is_idle() else 0
            if quiet < QUIET_SECONDS:
                continue
            stamp = _stamp(lakeview, results)
            if stamp != fetched and fetch_ahead(lakeview, results, is_idle):
                fetched = stamp
        except Exception:  # somebody who looks will see it
            log.exception("The rows of dashboards cannot be fetched ahead")
            quiet = -60


def _stamp(lakeview: Lakeview, results: Results) -> list[object]:
    """Return what changes with every publication, verdict and deployment."""
    return [
        (revision, [results.stamp(one) for one in schemas_of(dashboard)])
        for revision, dashboard in _published(lakeview)
    ]


def _published(lakeview: Lakeview) -> Iterator[tuple[str, Dashboard]]:
    """Yield the published dashboards that can be shown, each with the time of its revision."""
    for view in lakeview.views(published=True):
        try:
            current = lakeview.published(view["dashboard_id"])
            dashboard = parsed(current["serialized_dashboard"])
            schemas_of(dashboard)
        except ApiError:  # its page says why
            continue
        yield current["revision_create_time"], dashboard
