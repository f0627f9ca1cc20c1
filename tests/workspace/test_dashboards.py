"""Dashboards by the requests of the Databricks CLI and the SDK: drafts, publications, trash, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from databricks.sdk.errors import BadRequest, NotFound, ResourceConflict
from databricks.sdk.service.dashboards import Dashboard, LifecycleState

from local_workspace.deployer import deploy
from tests.workspace.conftest import REPO, Workspace

FILE = REPO / "dashboards" / "lakehouse.lvdash.json"
PLACE = {"dataset_catalog": "spark_catalog", "dataset_schema": "published"}
DATASET = {"name": "orders", "query": "SELECT day, revenue FROM gold_orders_enriched"}


def field(name: str, expression: str = "") -> dict[str, str]:
    return {"name": name, "expression": expression or f"`{name}`"}


def widget(kind: str = "bar", **changes: Any) -> dict[str, Any]:
    query = {"datasetName": "orders", "fields": [field("day"), field("sum", "SUM(`revenue`)")], "disaggregated": False}
    encodings = {"x": {"fieldName": "day", "scale": {"type": "temporal"}}, "y": {"fieldName": "sum"}}
    spec = {"version": 3, "widgetType": kind, "encodings": encodings, "frame": {"title": "Revenue", "showTitle": True}}
    return {
        "name": "one",
        "queries": [{"name": "main_query", "query": query | changes.pop("query", {})}],
        "spec": spec | changes,
    }


def content(*widgets: dict[str, Any], datasets: Any = (DATASET,)) -> str:
    position = {"x": 0, "y": 0, "width": 6, "height": 4}
    layout = [{"widget": one, "position": position} for one in widgets or (widget(),)]
    page = {"name": "page", "displayName": "A <b>page</b>", "layoutVersion": "GRID_V1", "layout": layout}
    return json.dumps({"datasets": list(datasets), "pages": [page]})


@pytest.fixture(autouse=True)
def _no_dashboards(workspace: Workspace) -> Iterator[None]:
    yield
    for dashboard in workspace.client().lakeview.list():
        workspace.client().lakeview.trash(str(dashboard.dashboard_id))


def create(
    workspace: Workspace, serialized: str, name: str = "Lakehouse", parent: str = "/Workspace/Shared"
) -> dict[str, Any]:
    body = {"display_name": name, "parent_path": parent, "serialized_dashboard": serialized, "warehouse_id": "local"}
    made: dict[str, Any] = workspace.call("POST", "/api/2.0/lakeview/dashboards", body, PLACE)
    return made


def test_the_requests_of_the_cli(workspace: Workspace) -> None:
    """As `bundle deploy`, `plan` and `destroy` of the CLI send them (bundle/direct/dresources/dashboard.go)."""
    parent = "/Workspace/Users/local@localhost/.bundle/lakehouse/local/resources"
    with pytest.raises(NotFound, match="doesn't exist"):  # whereupon the CLI makes the folder
        create(workspace, content(), parent=parent)
    workspace.client().workspace.mkdirs(parent)
    made = create(workspace, content(), parent=parent)
    assert made["lifecycle_state"] == "ACTIVE"
    assert made["parent_path"] == parent.removeprefix("/Workspace")
    assert made["path"] == f"{made['parent_path']}/Lakehouse.lvdash.json"
    path = f"/api/2.0/lakeview/dashboards/{made['dashboard_id']}"
    with pytest.raises(NotFound, match="Unable to find published dashboard"):
        workspace.call("GET", f"{path}/published")
    published = workspace.call("POST", f"{path}/published", {"embed_credentials": False, "warehouse_id": "local"})
    assert (published["embed_credentials"], published["warehouse_id"]) == (False, "local")
    read, current = workspace.call("GET", path), workspace.call("GET", f"{path}/published")
    assert current["revision_create_time"] >= read["update_time"], "the CLI would publish again"
    assert read["etag"] == made["etag"], "the CLI would take it for changed"
    (dataset,) = json.loads(read["serialized_dashboard"])["datasets"]
    assert (dataset["catalog"], dataset["schema"]) == ("spark_catalog", "published")

    body = {
        "display_name": "Renamed",
        "parent_path": parent,
        "serialized_dashboard": content(),
        "warehouse_id": "local",
    }
    with pytest.raises(ResourceConflict):
        workspace.call("PATCH", path, body | {"etag": "another"}, PLACE)
    changed = workspace.call("PATCH", path, body | {"etag": made["etag"]}, PLACE)
    assert changed["etag"] != made["etag"]
    assert changed["path"].endswith("/Renamed.lvdash.json")
    assert [one.display_name for one in workspace.client().lakeview.list()] == ["Renamed"]

    workspace.call("DELETE", path)
    assert workspace.client().lakeview.get(made["dashboard_id"]).lifecycle_state == LifecycleState.TRASHED
    with pytest.raises(NotFound):
        workspace.call("GET", f"{path}/published")
    with pytest.raises(NotFound):
        workspace.call("PATCH", path, body, PLACE)


def test_the_sdk_and_the_only_warehouse(workspace: Workspace) -> None:
    client = workspace.client()
    (warehouse,) = client.warehouses.list()
    assert client.warehouses.get(str(warehouse.id)).name == "Serverless Starter Warehouse"
    with pytest.raises(NotFound):
        client.warehouses.get("another")
    draft = Dashboard(display_name="By the SDK", serialized_dashboard=content(), warehouse_id=warehouse.id)
    client.workspace.mkdirs("/Users/local@localhost")
    made = client.lakeview.create(draft, dataset_catalog="spark_catalog", dataset_schema="published")
    client.lakeview.publish(str(made.dashboard_id))
    client.lakeview.unpublish(str(made.dashboard_id))
    with pytest.raises(NotFound):
        client.lakeview.get_published(str(made.dashboard_id))


PLACED = r"pages\[0\]\.layout\[0\]\.widget \(one\)"


@pytest.mark.parametrize(
    ("serialized", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "must be a JSON object"),
        (content().replace('"layout"', '"layout": 7, "other"', 1), r"pages\[0\]\.layout"),
        (content(widget("sankey")), rf"widgets of the type 'sankey', at {PLACED}"),
        (content(widget("map")), "widgets of the type 'map'"),
        (content({"name": "one"}), f"{PLACED} has neither a spec nor a text"),
        (content(widget(query={"datasetName": "no"})), rf"{PLACED}\.queries\[0\]\.query\.datasetName.*'no'"),
        (content(widget(query={"fields": [field("day"), field("sum", "SUM(`missing`)")]})),
         rf"{PLACED}\.queries\[0\], field 'sum': the dataset orders has no column 'missing'; it has day, revenue"),
        (content(widget(encodings={"x": {"fieldName": "day"}, "y": {"fieldName": "profit"}})),
         rf"{PLACED}\.spec\.encodings\.y\.fieldName: the query has no field 'profit'; it has day, sum"),
        (content(widget(encodings={"x": {"fieldName": "day"}})), rf"{PLACED}\.spec\.encodings\.y is missing"),
        (content(widget(encodings={"x": {"fieldName": "day"}, "y": {"fields": []}})), "several fields in one encoding"),
        (content(widget(query={"fields": [field("day"), field("sum", "PERCENTILE(`revenue`, 0.5)")]})),
         rf"{PLACED}\.queries\[0\].*PERCENTILE"),
        (content(datasets=[DATASET | {"query": "SELECT day FROM (SELECT 1"}]),
         r"datasets\[0\] \(orders\)\.query: this is no SQL"),
        (content(datasets=[DATASET | {"query": "DROP TABLE gold_orders_enriched"}]), "one query that only reads"),
        (content(datasets=[DATASET | {"query": "SELECT 1; SELECT 2"}]), "one query that only reads"),
        (content(datasets=[DATASET | {"parameters": [{"keyword": "p"}]}]), r"parameters of datasets, at datasets\[0\]"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_with_its_place(workspace: Workspace, serialized: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        create(workspace, serialized)
    assert list(workspace.client().lakeview.list()) == []


def test_a_refused_change_leaves_the_dashboard_as_it_was(workspace: Workspace) -> None:
    made = create(workspace, content())
    path = f"/api/2.0/lakeview/dashboards/{made['dashboard_id']}"
    with pytest.raises(BadRequest, match="sankey"):
        workspace.call("PATCH", path, {"serialized_dashboard": content(widget("sankey"))}, PLACE)
    assert workspace.call("GET", path) == made
    with pytest.raises(BadRequest, match="must name the schema published"):
        workspace.call("PATCH", path, {"serialized_dashboard": content()}, PLACE | {"dataset_schema": "gold; drop"})


@pytest.fixture
def browser(workspace: Workspace) -> requests.Session:
    session = requests.Session()
    assert session.post(f"{workspace.host}/login", data={"token": workspace.token, "next": "/"}, timeout=5).ok
    return session


def test_its_page_loads_nothing_from_elsewhere_and_needs_the_login(
    workspace: Workspace, browser: requests.Session
) -> None:
    nasty = {"name": "text", "multilineTextboxSpec": {"lines": ["# Title\n", "<script>alert(1)</script>"]}}
    made = create(workspace, content(widget(), nasty), name="</script><script>alert(2)")
    workspace.client().lakeview.publish(made["dashboard_id"])
    address = f"{workspace.host}/dashboardsv3/{made['dashboard_id']}"
    assert requests.get(f"{address}/published", allow_redirects=False, timeout=5).status_code == 303
    assert requests.get(f"{address}/rows/orders", allow_redirects=False, timeout=5).status_code == 303
    found = browser.get(f"{workspace.host}/dashboards", timeout=5)
    assert found.url == f"{address}/published", "the only dashboard"
    policy = found.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in found.text.replace(workspace.host, "")
    assert "<script>alert" not in found.text
    assert "<h1>Title</h1>" in found.text
    vega = browser.get(f"{workspace.host}/dashboards/vega.js", timeout=60)
    assert "vegaEmbed" in vega.text
    rows = browser.get(f"{address}/rows/orders", timeout=5).json()
    assert "is in no publication yet" in rows["error"]
    assert browser.get(f"{address}/rows/no", timeout=5).status_code == 404
    with browser.get(f"{address}/news", stream=True, timeout=5) as news:
        first = next(news.iter_lines()).decode()
    assert json.loads(first.removeprefix("data: "))["layers"] == []


def test_the_deployer_makes_replaces_and_publishes(
    workspace: Workspace, tmp_path: Path, browser: requests.Session
) -> None:
    (tmp_path / "databricks.yml").write_text("""
bundle: {name: shop}
variables:
  warehouse: {lookup: {warehouse: Serverless Starter Warehouse}}
targets: {local: {}}
resources:
  dashboards:
    shop:
      display_name: Shop
      file_path: ./shop.lvdash.json
      warehouse_id: ${var.warehouse}
      dataset_catalog: spark_catalog
      dataset_schema: published
""")
    file = tmp_path / "shop.lvdash.json"
    file.write_text(content())

    def deployed() -> list[str]:
        return list(deploy(tmp_path / "databricks.yml", "local", [], workspace.host, workspace.token))

    (line,) = deployed()
    dashboard_id = line.split("(")[1].rstrip(")")
    assert line == f"created  Shop ({dashboard_id})"
    assert deployed() == [f"replaced Shop ({dashboard_id})"]
    root = workspace.state / "workspace/files/Users/local@localhost/.bundle/shop/local/state/resources.json"
    recorded = json.loads(root.read_text())["state"]["resources.dashboards.shop"]
    draft = workspace.call("GET", f"/api/2.0/lakeview/dashboards/{dashboard_id}")
    assert (recorded["__id__"], recorded["state"]["etag"]) == (dashboard_id, draft["etag"]), (
        "the CLI finds nothing to do"
    )
    assert recorded["state"]["warehouse_id"] == draft["warehouse_id"] == "local"
    file.write_text(content(widget("sankey")))
    with pytest.raises(RuntimeError, match=r"shop\.lvdash\.json.*sankey"):
        deployed()
    assert "Revenue" in browser.get(f"{workspace.host}/dashboardsv3/{dashboard_id}/published", timeout=5).text


def test_the_dashboard_of_this_project_can_be_drawn(workspace: Workspace) -> None:
    made = create(workspace, FILE.read_text(encoding="utf-8"))
    pages = [page["displayName"] for page in json.loads(made["serialized_dashboard"])["pages"]]
    assert pages == ["Business", "Customers", "Products", "Operations", "Filters"]
