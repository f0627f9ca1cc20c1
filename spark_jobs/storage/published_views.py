"""Views of what is published, in the schema `published`: for readers who name no version, such as dashboards.

`gold_customers360` shows the version that the newest publication of gold names, `gold_customers360_previous` that of
the publication before. So nobody who reads them sees half a publication. `ops_publications`, `ops_verdicts` and
`ops_anomalies` show these tables as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_jobs.storage.anomaly_log import ANOMALIES, anomaly_log
from spark_jobs.storage.publications import PUBLICATIONS, Publication, Publications
from spark_jobs.storage.verdicts import VERDICTS

if TYPE_CHECKING:
    from spark_jobs.storage.lakehouse import Lakehouse

SCHEMA = "published"


def view_name(table: str, *, previous: bool = False) -> str:
    """Return the name of the view of a table, such as "gold.customers360", below its schema."""
    return table.replace(".", "_") + ("_previous" if previous else "")


def replace_views(lakehouse: Lakehouse) -> list[str]:
    """Make or replace all views, and return their names. A layer without a publication has none."""
    publications, queries = Publications(lakehouse), {}
    for layer, newest in sorted(publications.newest_by_layer().items()):
        both = publications.since(layer, newest.seq - 2)
        before = next((one for one in both if one.seq == newest.previous_seq), None)
        for table in sorted(newest.tables):
            queries[view_name(table)] = _at(lakehouse, newest, table)
            queries[view_name(table, previous=True)] = (
                _at(lakehouse, before, table)
                if before and table in before.tables
                else f"{_at(lakehouse, newest, table)} WHERE false"  # there was nothing before
            )
    if queries:
        anomaly_log(lakehouse).create()  # no bronze of this version may have run yet
        for spec in (PUBLICATIONS, VERDICTS, ANOMALIES):
            queries[view_name(spec.name)] = f"SELECT * FROM {lakehouse.name(spec.name)}"  # noqa: S608 - a checked name
    for view, query in queries.items():
        lakehouse.spark.sql(f"CREATE OR REPLACE VIEW {lakehouse.names.table(f'{SCHEMA}.{view}')} AS {query}").collect()
    return list(queries)


def _at(lakehouse: Lakehouse, publication: Publication, table: str) -> str:
    return f"SELECT * FROM {lakehouse.name(table)} VERSION AS OF {publication.tables[table]}"  # noqa: S608 - checked names
