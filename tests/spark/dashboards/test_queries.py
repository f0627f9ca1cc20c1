"""Each query of the dashboard runs on what is published, each field resolves, and the numbers are gold's."""

from __future__ import annotations

import json
import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from local_workspace.dashboards.definition import FILTERS, Dashboard, Dataset
from local_workspace.dashboards.lakeview import Lakeview
from local_workspace.dashboards.prefetch import fetch_ahead
from local_workspace.dashboards.results import QueryFailed, Results
from local_workspace.spark_supervisor import SparkSupervisor
from machine.state_folder import StateFolder
from spark_jobs.storage.published_views import SCHEMA, replace_views
from tests.spark.dashboards.conftest import FILE, Running, Served, publish_next_day
from tests.spark.publishing.lakehouse import Lakehouse

DASHBOARD = Dashboard.parse(FILE.read_text(encoding="utf-8"))
DATASETS = [dataset.name for dataset in DASHBOARD.datasets]
COUNTED = "order_status NOT IN ('CANCELED', 'SUSPECTED_FRAUD')"


@pytest.fixture(scope="module")
def served(workspace: Served) -> Served:
    answer = workspace.deploy(FILE.read_text(encoding="utf-8"))
    assert answer.ok, answer.text
    return workspace


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_query_runs_and_gives_the_columns_that_widgets_name(served: Served, dataset: str) -> None:
    found = served.rows(dataset)
    assert "error" not in found
    assert found["rows"] > 0 or dataset == "anomalies", "too few dates have landed for bands"
    for page in DASHBOARD.pages:
        for placed in page.layout:
            for named in placed.widget.queries:
                if named.query.dataset_name == dataset:
                    columns = {column for field in DASHBOARD.fields(named.query) for column in field.columns}
                    assert columns - {"*"} <= set(found["columns"]), placed.widget.name


def test_each_dataset_has_a_widget_and_each_filter_a_column() -> None:
    widgets = [placed.widget for page in DASHBOARD.pages for placed in page.layout if placed.widget.spec]
    drawn = [one for one in widgets if one.spec and one.spec.widget_type not in FILTERS]
    assert {one.queries[0].query.dataset_name for one in drawn} == set(DATASETS)
    assert {one.name for one in widgets} - {one.name for one in drawn} == {"dates", "segment", "market"}


def one_row(lakehouse: Lakehouse, sql: str, table: str) -> Any:
    lakehouse.published(table).createOrReplaceTempView("compared")
    return lakehouse.spark.sql(sql).collect()[0]


def test_the_numbers_are_those_of_gold(served: Served) -> None:
    lakehouse, columns = served.lakehouse, served.rows("orders")["columns"]
    sql = f"""
        SELECT sum(line_total) revenue, sum(line_profit) profit, count(DISTINCT order_id) orders, count(*) items,
          count_if(late_delivery_risk) late_items FROM compared WHERE {COUNTED}"""
    gold = one_row(lakehouse, sql, "gold.orders_enriched").asDict()
    assert {name: Decimal(str(round(sum(columns[name]), 2))) for name in gold} == gold
    whole = "SELECT count(DISTINCT order_id) n FROM compared"
    assert sum(columns["all_orders"]) == one_row(lakehouse, whole, "gold.orders_enriched").n
    lost = "SELECT count_if(order_status = 'CANCELED') canceled, count_if(order_status LIKE 'SUSP%') n FROM compared"
    row = one_row(lakehouse, lost, "gold.orders_enriched")
    assert (sum(columns["canceled_orders"]), sum(columns["fraud_orders"])) == (row.canceled, row.n)
    assert row.canceled >= 2
    by_category = served.rows("categories")["columns"]
    assert round(sum(by_category["revenue"]), 2) == float(gold["revenue"])
    customers = served.rows("customers")["columns"]
    sql = "SELECT count(*) customers, sum(total_revenue) revenue, sum(total_orders) orders FROM compared"
    gold_customers = one_row(lakehouse, sql, "gold.customers360").asDict()
    assert {name: Decimal(str(round(sum(customers[name]), 2))) for name in gold_customers} == gold_customers
    new = served.rows("new_customers")["columns"]
    first = f"SELECT min(to_date(order_date)) AS day FROM compared WHERE {COUNTED} GROUP BY customer_id"
    sql = f"SELECT count(*) AS customers, count_if(day > DATE'2018-01-01') AS later FROM ({first})"
    row = one_row(lakehouse, sql, "gold.orders_enriched")
    later = sum(count for day, count in zip(new["day"], new["customers"], strict=True) if day > "2018-01-01")
    assert (sum(new["customers"]), later) == (row.customers, row.later)
    assert later >= 2
    products = served.rows("products")
    sql = "SELECT count(*) n, sum(total_revenue) revenue FROM compared"
    row = one_row(lakehouse, sql, "gold.products360")
    assert (products["rows"], round(sum(products["columns"]["total_revenue"]), 2)) == (row.n, float(row.revenue))
    quarantined = lakehouse.published("bronze.quarantine").count()
    assert sum(served.rows("quarantine")["columns"]["lines"]) == quarantined >= 2
    assert sorted(served.rows("freshness")["columns"]["layer"]) == ["bronze", "gold", "silver"]
    rows = served.rows("table_rows")["columns"]
    assert dict(zip(rows["table_name"], rows["table_rows"], strict=True))["gold.orders_enriched"] == (
        lakehouse.published("gold.orders_enriched").count()
    )


def test_no_name_and_no_address_of_a_customer_is_shown(served: Served) -> None:
    for dataset in DATASETS:
        text = json.dumps(served.rows(dataset))
        assert "Lee" not in text, dataset
        assert "@" not in text, dataset


def test_the_views_of_databricks_show_the_same(served: Served) -> None:
    """The job published_views makes views; on one machine the same names are pinned without any."""
    lakehouse = served.lakehouse
    schema = lakehouse.names.schema(SCHEMA)
    lakehouse.spark.sql(f"CREATE SCHEMA {schema}")
    try:
        assert "gold_customers360_previous" in replace_views(lakehouse.jobs)
        lakehouse.spark.sql(f"USE {schema}")
        for dataset in DASHBOARD.datasets:
            here = served.rows(dataset.name)
            viewed = lakehouse.spark.sql(dataset.sql).toPandas()
            assert list(viewed.columns) == list(here["columns"]), dataset.name
            assert len(viewed) == here["rows"], dataset.name
    finally:
        lakehouse.spark.sql("USE spark_catalog.default")
        lakehouse.spark.sql(f"DROP SCHEMA {schema} CASCADE")


def test_what_is_half_published_is_not_shown(served: Served) -> None:
    """Rows that a publish has committed without its publication, and what others wrote, stay unseen."""
    lakehouse = served.lakehouse
    before = [served.rows(name) for name in ("orders", "customers", "quarantine")]
    for table in ("gold.orders_enriched", "gold.customers360", "bronze.quarantine"):
        lakehouse.spark.sql(f"DELETE FROM {lakehouse.names.table(table)}").collect()
    assert [served.rows(name) for name in ("orders", "customers", "quarantine")] == before


def test_a_publication_is_seen_at_once(served: Served) -> None:
    before = served.rows("orders")
    day = publish_next_day(served.lakehouse)
    after = served.rows("orders")
    assert max(before["columns"]["day"]) < day == max(after["columns"]["day"])


def test_rows_are_fetched_ahead_until_a_run_works(served: Served, spark_remote: str) -> None:
    spark: list[Running] = [Running(spark_remote)]
    results = Results(served.state, lambda: cast(SparkSupervisor, spark[0]) if spark else None)
    lakeview = Lakeview(served.state, check=lambda _: None)
    looks = iter([True, True, False])
    assert not fetch_ahead(lakeview, results, lambda: next(looks))
    assert fetch_ahead(lakeview, results, lambda: True)
    spark.clear()
    for dataset in Dashboard.parse(lakeview.published(served.dashboard_id)["serialized_dashboard"]).datasets:
        assert json.loads(results.rows(dataset)) == served.rows(dataset.name), dataset.name
    results.close()


def test_a_query_that_names_a_missing_column_is_refused_at_deploy(workspace: Served) -> None:
    query = "SELECT no_such_column AS day FROM gold_orders_enriched"
    answer = workspace.deploy(json.dumps({"datasets": [{"name": "days", "query": query}], "pages": []}))
    assert answer.status_code == 400
    assert re.search(r"datasets\[0\] \(days\)\.query: .*no_such_column", answer.json()["message"]), answer.text


def test_a_query_that_fails_or_lasts_says_so_and_the_others_answer(served: Served) -> None:
    content = {
        "datasets": [
            {"name": "fails", "query": "SELECT 1 / count_if(order_id < 0) AS day FROM gold_orders_enriched"},
            {"name": "later", "query": "SELECT * FROM gold_made_by_a_later_run"},
            {"name": "unknown", "query": "SELECT * FROM ops_made_by_a_later_run"},
            {"name": "works", "query": "SELECT count(*) AS day FROM gold_orders_enriched"},
        ],
        "pages": [],
    }
    before = served.dashboard_id
    try:
        assert served.deploy(json.dumps(content)).ok
        assert "DIVIDE_BY_ZERO" in served.rows("fails")["error"]
        assert "gold.made_by_a_later_run is in no publication yet" in served.rows("later")["error"]
        assert "ops.made_by_a_later_run does not exist yet" in served.rows("unknown")["error"]
        assert served.rows("works")["rows"] == 1
    finally:
        served.dashboard_id = before


def test_a_query_that_lasts_too_long_is_stopped(spark_remote: str, tmp_path: Path) -> None:
    results = Results(StateFolder(tmp_path), lambda: cast(SparkSupervisor, Running(spark_remote)), seconds=2)
    place = {"catalog": "spark_catalog", "schema": "published"}
    slow = "SELECT sum(sqrt(a.id * b.id)) AS s FROM range(0, 3000000, 1, 8) AS a CROSS JOIN range(3000000) AS b"
    with pytest.raises(QueryFailed, match="longer than 2 s"):
        results.rows(Dataset.model_validate({"name": "slow", "query": slow, **place}))
    begun = time.monotonic()
    assert (
        json.loads(results.rows(Dataset.model_validate({"name": "one", "query": "SELECT 1 AS n", **place})))["rows"]
        == 1
    )
    assert time.monotonic() - begun < 2, "Spark works on the stopped query no more"
    results.close()
