"""The plugin by which every Airflow component loads the links, the timetables, the listeners and the tab Lakehouse."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from include import listeners
from include.deadlines import LandingDateEnd
from include.links import DataDocsLink, VerdictLink
from include.settings import SETTINGS
from include.timetables import LandingDateTimetable, MaintenanceTimetable


class LakehousePlugin(AirflowPlugin):
    """Register the links of the gates, the timetables, the listeners that cancel job runs, and the dashboard."""

    name = "lakehouse"
    operator_extra_links = [  # noqa: RUF012
        VerdictLink(),
        DataDocsLink(),
    ]
    timetables = [  # noqa: RUF012
        LandingDateTimetable,
        MaintenanceTimetable,
    ]
    deadline_references = [LandingDateEnd]  # noqa: RUF012
    listeners = [listeners]  # noqa: RUF012
    # Without a route of its own, it opens outside of Airflow's page.
    external_views = (
        [{"name": "Lakehouse", "href": SETTINGS.dashboard_url, "destination": "nav", "nav_top_level": True}]
        if SETTINGS.dashboard_url
        else []
    )
