"""What Airflow loads by itself: the links of the gates and the timetable with an end."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from include.links import DataDocsLink, VerdictLink
from include.timetables import EndingCronTimetable


class LakehousePlugin(AirflowPlugin):
    """Registers what the DAGs use, so that every Airflow component can load them."""

    name = "lakehouse"
    operator_extra_links = [  # noqa: RUF012
        VerdictLink(),
        DataDocsLink(),
    ]
    timetables = [  # noqa: RUF012
        EndingCronTimetable
    ]
