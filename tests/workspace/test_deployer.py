"""The deployer creates and resets the jobs of a bundle, and touches no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local_workspace.deployer import BundleError, deploy
from machine.http_client import HttpError
from tests.workspace.conftest import REPO, Workspace, make_wheel, task

BUNDLE = """
bundle: {name: shop}
include: [resources/*.yml]
variables:
  root: {default: /Volumes}
  folder: {default: "${var.root}/landing"}
  needed: {description: has no default}
  limit: {default: 3}
  compute: {type: complex, default: "${var.serverless}"}
  serverless: {type: complex, default: {key: default, cluster: "", libraries: []}}
targets:
  dev: {default: true}
  cloud: {mode: development}
  catalogued:
    resources: {schemas: {gold: {name: gold, catalog_name: main}}}
  local:
    variables: {root: /tmp/volumes}
    resources: {jobs: {build: {timeout_seconds: 60}}}
"""
JOBS = """
resources:
  jobs:
    build:
      name: build
      max_concurrent_runs: ${var.limit}
      parameters:
        - {name: landing, default: "${var.folder}"}
        - {name: needed, default: "${bundle.target}-${var.needed}"}
      permissions: [{level: CAN_VIEW, group_name: users}]
      tasks:
        - task_key: main
          environment_key: ${var.compute.key}
          job_cluster_key: ${var.compute.cluster}
          libraries: ${var.compute.libraries}
          python_wheel_task: {package_name: tiny, entry_point: ok, parameters: ["{{job.parameters.landing}}"]}
      environments:
        - {environment_key: default, spec: {environment_version: "4", dependencies: ["../dist/*.whl"]}}
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "resources").mkdir()
    (tmp_path / "databricks.yml").write_text(BUNDLE)
    (tmp_path / "resources" / "jobs.yml").write_text(JOBS)
    make_wheel(tmp_path / "dist")
    return tmp_path / "databricks.yml"


def deployed(workspace: Workspace, bundle: Path, *given: str, target: str | None = "local") -> list[str]:
    return list(deploy(bundle, target, list(given), workspace.host, workspace.token))


def test_it_creates_then_resets(workspace: Workspace, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = workspace.create(task("ok"), name="somebody's job")
    (line,) = deployed(workspace, bundle, "needed=x")
    assert line.startswith("created  build")
    (job,) = workspace.call("GET", "/api/2.2/jobs/list", query={"name": "build", "expand_tasks": "true"})["jobs"]
    job_id, settings = job["job_id"], job["settings"]
    assert {p["name"]: p["default"] for p in settings["parameters"]} == {
        "landing": "/tmp/volumes/landing",
        "needed": "local-x",
    }
    assert (settings["max_concurrent_runs"], settings["timeout_seconds"]) == (3, 60)
    run = workspace.wait(workspace.run(job_id))
    assert run["state"]["result_state"] == "SUCCESS"
    monkeypatch.setenv("BUNDLE_VAR_needed", "y")
    (line,) = deployed(workspace, bundle, "limit=5")
    assert line == f"reset    build ({job_id})"
    untouched = workspace.call("GET", "/api/2.2/jobs/get", query={"job_id": other})
    assert untouched["settings"]["name"] == "somebody's job"


def test_its_errors_name_the_place(workspace: Workspace, bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"jobs\.build\.parameters\[1\]\.default.*var\.needed.*has no value"):
        deployed(workspace, bundle)
    with pytest.raises(BundleError, match="no target 'prodd'; it has catalogued, cloud, dev, local"):
        deployed(workspace, bundle, target="prodd")
    with pytest.raises(BundleError, match="--var other=1"):
        deployed(workspace, bundle, "other=1")
    workspace.create(task("ok"), name="build")
    with pytest.raises(BundleError, match="not created by a bundle"):
        deployed(workspace, bundle, "needed=x")
    with pytest.raises(HttpError, match=r"does not answer .* start it with `make up`"):
        list(deploy(bundle, "local", ["needed=x"], "http://127.0.0.1:9", "t"))
    (bundle.parent / "dist" / "tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(BundleError, match="build the wheel first"):
        deployed(workspace, bundle, "needed=x")


def test_what_only_the_cli_can_deploy_is_refused(workspace: Workspace, bundle: Path) -> None:
    with pytest.raises(BundleError, match="mode development, which only the Databricks CLI deploys"):
        deployed(workspace, bundle, "needed=x", target="cloud")
    with pytest.raises(BundleError, match="Target catalogued has schemas"):
        deployed(workspace, bundle, "needed=x", target="catalogued")
    assert list(workspace.client().jobs.list()) == []


def test_the_deployment_state_continues_the_existing_one(workspace: Workspace, bundle: Path) -> None:
    """The state in the workspace, or the copy that the CLI keeps when it destroys a deployment."""
    folder = f"/Workspace/Users/local@localhost/.bundle/shop/{bundle.parent.name}"
    bundle.write_text(BUNDLE.replace("  local:\n", f"  local:\n    workspace: {{root_path: {folder}}}\n"))

    def record() -> dict[str, Any]:
        with workspace.client().workspace.download(f"{folder}/state/resources.json") as file:
            content: dict[str, Any] = json.load(file)
            return content

    deployed(workspace, bundle, "needed=x")
    first = record()
    (job,) = workspace.client().jobs.list(name="build")
    assert first["state"]["resources.jobs.build"]["__id__"] == str(job.job_id)
    deployed(workspace, bundle, "needed=y")
    second = record()
    assert (second["lineage"], second["serial"]) == (first["lineage"], first["serial"] + 1)
    assert list(second["state"]) == ["resources.jobs.build"]

    workspace.client().workspace.delete(folder, recursive=True)
    copy = bundle.parent / ".databricks" / "bundle" / "local" / "resources.json"
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps({"lineage": "before", "serial": 7, "state": {"resources.jobs.gone": {"__id__": "1"}}}))
    deployed(workspace, bundle, "needed=z")
    assert (record()["lineage"], record()["serial"]) == ("before", 8)
    assert list(record()["state"]) == ["resources.jobs.build"]


ALERTS = {"Lakehouse anomalies", "Lakehouse freshness"}


def test_the_bundle_of_this_project_is_accepted(workspace: Workspace, tmp_path: Path) -> None:
    """Every job of databricks.yml passes the workspace's checks (with a minimal wheel in place of the real one)."""
    resources = [f"resources/{path.name}" for path in (REPO / "resources").glob("*.yml")]
    for name in ("databricks.yml", "pipelines/medallion.py", "dashboards/lakehouse.lvdash.json", *resources):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((REPO / name).read_text())
    make_wheel(tmp_path / "dist")
    lines = deployed(workspace, tmp_path / "databricks.yml", "volumes_root=/tmp/v")
    names = {line.split(maxsplit=1)[1].rpartition(" (")[0] for line in lines}
    layers = {"bronze_build", "silver_build", "gold_build", "decide", "publish"}
    whole = {"ecommerce_medallion", "ecommerce_medallion_live", "declarative", "declarative_refresh"}
    assert names == layers | whole | ALERTS | {
        "maintenance",
        "synthetic_feed",
        "published_views",
        "E-commerce lakehouse",
    }
    alerts = {alert.display_name: alert.id for alert in workspace.client().alerts_v2.list_alerts()}
    again = deployed(workspace, tmp_path / "databricks.yml", "volumes_root=/tmp/v", "freshness_hours=6")
    assert f"replaced Lakehouse freshness ({alerts['Lakehouse freshness']})" in again
    kept = {alert.display_name: alert for alert in workspace.client().alerts_v2.list_alerts()}
    assert {name: alert.id for name, alert in kept.items()} == alerts
    assert kept["Lakehouse freshness"].as_dict()["evaluation"]["threshold"] == {"value": {"double_value": 6}}


DASHBOARD = {
    "display_name": "Shop",
    "file_path": "./shop.lvdash.json",
    "warehouse_id": "local",
    "dataset_catalog": "spark_catalog",
    "dataset_schema": "published",
}
ALERT = {
    "display_name": "Shop",
    "warehouse_id": "local",
    "query_text": "SELECT 1 AS number",
    "evaluation": {"source": {"name": "number"}, "comparison_operator": "IS_NOT_NULL"},
    "schedule": {"quartz_cron_schedule": "0 0 * * * ?", "timezone_id": "UTC"},
}


def test_what_is_on_a_later_page_of_a_list_is_replaced(own_workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    resources = {"dashboards": {"shop": DASHBOARD}, "alerts": {"shop": ALERT}}
    content = {"bundle": {"name": "shop"}, "targets": {"local": {}}, "resources": resources}
    (folder / "databricks.yml").write_text(json.dumps(content))
    (folder / "shop.lvdash.json").write_text("{}")
    first = deployed(own_workspace, folder / "databricks.yml")
    api = own_workspace.client().api_client
    for number in range(100):
        before = {"display_name": f"Before it {number}"}
        api.do("POST", "/api/2.0/lakeview/dashboards", body=before | {"parent_path": "/Workspace/Shared"})
        api.do("POST", "/api/2.0/alerts", body=ALERT | before)
    again = deployed(own_workspace, folder / "databricks.yml")
    assert [line.replace("created ", "replaced") for line in first] == again
    assert len(again) == 2
