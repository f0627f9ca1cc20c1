"""The plugin by which every Airflow component loads the links, the timetables and the listeners."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from include import listeners
from include.deadlines import LandingDateEnd
from include.links import DataDocsLink, VerdictLink
from include.timetables import LandingDateTimetable, MaintenanceTimetable


class LakehousePlugin(AirflowPlugin):
    """Register the links of the gates, the timetables, and the listeners that cancel job runs."""

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
