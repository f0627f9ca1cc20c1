"""What Airflow loads by itself: the links of the gates, the timetable with bounds, the listener that cancels."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from include import marked_by_hand
from include.links import DataDocsLink, VerdictLink
from include.timetables import BoundedCronTimetable


class LakehousePlugin(AirflowPlugin):
    """Registers what the DAGs use, so that every Airflow component can load them."""

    name = "lakehouse"
    operator_extra_links = [  # noqa: RUF012
        VerdictLink(),
        DataDocsLink(),
    ]
    timetables = [  # noqa: RUF012
        BoundedCronTimetable
    ]
    listeners = [marked_by_hand]  # noqa: RUF012
