"""The bundle's definitions, in every target, with the values of variables."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.bundles.alerts import Alert
from databricks.bundles.dashboards import Dashboard
from databricks.bundles.jobs import Job
from databricks.bundles.pipelines import Pipeline
from databricks.bundles.schemas import Schema
from databricks.bundles.volumes import Volume

from include.settings import load
from local_workspace.bundle import Bundle, BundleError
from spark_jobs.runtime.job_parameters import (
    BuildParameters,
    DatesParameters,
    DecideParameters,
    GateParameters,
    MaintenanceParameters,
    PublishParameters,
    ReportParameters,
    TaskParameters,
)
from spark_jobs.runtime.table_names import LAYERS
from tests.bundle.conftest import GIVEN, REPO, choose_photon, resolved

MEDALLION = {"ecommerce_medallion", "ecommerce_medallion_live", "declarative_refresh"}
"""They run the other jobs, and the pipeline."""
JOBS = {"bronze_build", "silver_build", "gold_build", "publish", "maintenance", "synthetic_feed", "published_views"}
JOBS |= {"decide"} | MEDALLION
TARGETS = ("dev", "prod", "local")
WHEEL = "./dist/*.whl"


def wheel_tasks(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [task for task in job["tasks"] if "python_wheel_task" in task]


def parameters_of(job: dict[str, Any]) -> dict[str, str]:
    return {parameter["name"]: parameter["default"] for parameter in job.get("parameters", [])}


@pytest.mark.parametrize("target", TARGETS)
def test_every_job_has_limits_tags_and_a_queue(target: str) -> None:
    jobs = resolved(target)["jobs"]
    assert set(jobs) == JOBS
    for job in jobs.values():
        assert job["max_concurrent_runs"] >= 1
        assert job["queue"] == {"enabled": True}
        assert {"product", "cost_center"} <= set(job["tags"])
        assert job["tags"]["environment"] == target
        (rule,) = job["health"]["rules"]
        assert (rule["metric"], rule["op"]) == ("RUN_DURATION_SECONDS", "GREATER_THAN")
        assert 0 < rule["value"] < job["timeout_seconds"], "the warning comes before the end"
        assert all(0 < t["timeout_seconds"] < job["timeout_seconds"] for t in job["tasks"] if "condition_task" not in t)
        for task in wheel_tasks(job):
            assert task["max_retries"] == 0, "retries belong to Airflow alone"
            assert task["disable_auto_optimization"] is True, "serverless would retry by itself"
    assert jobs["publish"]["max_concurrent_runs"] == jobs["maintenance"]["max_concurrent_runs"] == 1


@pytest.mark.parametrize("target", TARGETS)
def test_serverless_and_performance_optimised_is_the_default(target: str) -> None:
    for job in filter(wheel_tasks, resolved(target)["jobs"].values()):
        assert job["performance_target"] == "PERFORMANCE_OPTIMIZED"
        assert "job_clusters" not in job
        (environment,) = job["environments"]
        assert environment["spec"] == {"environment_version": "4", "dependencies": [WHEEL]}
        for task in wheel_tasks(job):
            assert task["environment_key"] == environment["environment_key"]
            assert not {"job_cluster_key", "new_cluster", "existing_cluster_id", "libraries"} & set(task)


@pytest.mark.parametrize("target", ["dev", "prod"])
def test_one_variable_makes_it_a_job_cluster_with_photon(bundle_copy: Path, target: str) -> None:
    choose_photon(bundle_copy, target)
    for job in filter(wheel_tasks, resolved(target, bundle_copy)["jobs"].values()):
        assert not {"performance_target", "environments"} & set(job)
        (cluster,) = job["job_clusters"]
        assert cluster["new_cluster"]["runtime_engine"] == "PHOTON"
        assert re.fullmatch(r"\d+\.\d+\.x-scala2\.13", cluster["new_cluster"]["spark_version"]), "a pinned release"
        assert cluster["new_cluster"]["data_security_mode"] == "SINGLE_USER", "Unity Catalog needs one"
        for task in wheel_tasks(job):
            assert task["job_cluster_key"] == cluster["job_cluster_key"]
            assert task["libraries"] == [{"whl": WHEEL}]
            assert "environment_key" not in task


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("photon", [False, True])
def test_the_vendors_package_loads_every_resource(bundle_copy: Path, target: str, photon: bool) -> None:
    if photon:
        choose_photon(bundle_copy, target)
    kinds: dict[str, Any] = {"jobs": Job, "pipelines": Pipeline, "schemas": Schema, "volumes": Volume}
    kinds |= {"dashboards": Dashboard, "alerts": Alert}
    for kind, resources in resolved(target, bundle_copy).items():
        for settings in resources.values():
            given = {name: value for name, value in settings.items() if value != {}}
            assert kinds[kind].from_dict(settings).as_dict() == given


@pytest.mark.parametrize("target", TARGETS)
def test_alerts_are_paused_and_look_at_this_targets_tables(target: str) -> None:
    resources = resolved(target)
    build = parameters_of(resources["jobs"]["bronze_build"])
    ops = f"`{build['catalog']}`.`{build['schema_prefix']}ops`"
    assert set(resources["alerts"]) == {"anomalies", "freshness"}
    for name, table in (("anomalies", "anomalies"), ("freshness", "publications")):
        alert = resources["alerts"][name]
        assert f"FROM {ops}.{table} " in alert["query_text"]
        assert alert["schedule"]["pause_status"] == "PAUSED"
        assert alert["evaluation"]["source"]["name"] in alert["query_text"]
        assert "subscriptions" not in alert["evaluation"]["notification"], "of a variable that is empty"
    assert resources["alerts"]["freshness"]["evaluation"]["threshold"]["value"]["double_value"] == 30


@pytest.mark.parametrize("target", ["dev", "prod"])
def test_schemas_and_volumes_are_where_jobs_and_airflow_look(target: str) -> None:
    resources = resolved(target)
    parameters = {name: parameters_of(job) for name, job in resources["jobs"].items()}
    catalog, prefix = (parameters["bronze_build"][name] for name in ("catalog", "schema_prefix"))
    for defaults in parameters.values():
        assert defaults.get("catalog", catalog) == catalog
        assert defaults.get("schema_prefix", prefix) == prefix
        airflow = load({"LAKEHOUSE_CATALOG": catalog, "LAKEHOUSE_SCHEMA_PREFIX": prefix})
        schemas = {schema["name"] for schema in resources["schemas"].values()}
        assert schemas == {
            f"{prefix}{name}" for name in (*LAYERS, "declarative", "landing", "published", "staging", "ops")
        }
        assert {schema["catalog_name"] for schema in resources["schemas"].values()} == {catalog}
        volumes = {
            key: f"/Volumes/{volume['catalog_name']}/{volume['schema_name']}/{volume['name']}"
            for key, volume in resources["volumes"].items()
        }
        assert (volumes["landing"], volumes["ops"]) == (airflow.landing_volume, airflow.ops_volume)
        for name, volume in volumes.items():
            assert defaults.get(f"{name}_root", volume) == volume
    assert prefix == {"dev": "dev_local_", "prod": ""}[target]


def test_in_prod_airflow_may_run_the_jobs_and_read_the_volumes_and_no_more() -> None:
    resources = resolved("prod")
    for job in resources["jobs"].values():
        assert job["permissions"] == [{"level": "CAN_MANAGE_RUN", "service_principal_name": "airflow-app-id"}]
    granted = {
        (kind, key): privilege
        for kind in ("schemas", "volumes")
        for key, resource in resources[kind].items()
        for grant in resource["grants"]
        if grant["principal"] == "airflow-app-id"
        for privilege in grant["privileges"]
    }
    assert granted == {
        ("schemas", "landing"): "USE_SCHEMA",  # without it nothing in the schema can be reached
        ("schemas", "ops"): "USE_SCHEMA",
        ("volumes", "landing"): "READ_VOLUME",  # check_landing looks which dates there are
        ("volumes", "ops"): "READ_VOLUME",
    }
    for kind in ("schemas", "volumes"):
        for resource in resources[kind].values():
            assert {grant["principal"] for grant in resource["grants"]} <= {"airflow-app-id", "jobs-app-id"}
            assert resource["lifecycle"] == {"prevent_destroy": True}


def test_who_deploys_to_prod_must_name_the_principals() -> None:
    whole = yaml.safe_load((REPO / "databricks.yml").read_text())
    prod = whole["targets"]["prod"]
    assert prod["mode"] == "production"
    assert prod["run_as"] == {"service_principal_name": "${var.service_principal}"}
    for missing in GIVEN["prod"]:
        given = [item for item in GIVEN["prod"] if item != missing]
        with pytest.raises(BundleError, match=missing.split("=")[0]):
            list(Bundle(REPO / "databricks.yml", "prod", given).resources("schemas"))
    assert Bundle(REPO / "databricks.yml", "prod", GIVEN["prod"]).remote_root.startswith(
        "/Workspace/Users/jobs-app-id/"
    )


def test_one_machine_gets_jobs_the_pipeline_the_dashboard_and_alerts_alone() -> None:
    resources = resolved("local")
    assert set(resources) == {"alerts", "dashboards", "jobs", "pipelines"}
    assert not any("permissions" in job for job in resources["jobs"].values())


def scalars(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from scalars(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from scalars(item, key)
    else:
        yield key, str(value)


@pytest.mark.parametrize("file", ["databricks.yml", *(f"resources/{p.name}" for p in (REPO / "resources").iterdir())])
def test_no_person_workspace_or_secret_is_named(file: str) -> None:
    for key, value in scalars(yaml.safe_load((REPO / file).read_text())):
        assert not re.search(r"@|://|databricks\.(com|net)|dapi|[0-9a-f]{8}-[0-9a-f]{4}-", value), value
        if key in {"principal", "service_principal_name", "user_name", "group_name", "host", "profile"}:
            assert value.startswith("${var."), f"{key}: {value}"


@pytest.mark.parametrize("target", TARGETS)
def test_of_a_secret_only_the_name_is_a_parameter(target: str) -> None:
    for job in resolved(target)["jobs"].values():
        for name, default in parameters_of(job).items():
            if re.search("secret|key|token|password", name):
                assert (name, default) == ("email_secret", "lakehouse/email-hmac-key")


TASK_PARAMETERS = {
    "build": BuildParameters,
    "audit": BuildParameters,
    "decide": DecideParameters,
    "publish": PublishParameters,
    "maintenance": MaintenanceParameters,
    "dates": DatesParameters,
    "gate": GateParameters,
    "report": ReportParameters,
    "published_views": TaskParameters,
}
GIVEN_BY_THE_RUN = {
    ("dates", "run_date"): "{{job.start_time.iso_date}}",
    ("report", "started_at_ms"): "{{job.start_time.timestamp_ms}}",
    ("report", "build_job_run_id"): "{{tasks.bronze_gate.values.build_job_run_id}}",
    ("report", "fingerprints"): ",".join(f"{{{{tasks.{layer}_gate.values.fingerprint}}}}" for layer in LAYERS),
}


@pytest.mark.parametrize("job", sorted(JOBS - {"synthetic_feed", "declarative_refresh"}))
def test_each_task_gets_the_parameters_that_it_reads(job: str) -> None:
    for task in wheel_tasks(resolved("prod")["jobs"][job]):
        wheel_task = task["python_wheel_task"]
        options, values = wheel_task["parameters"][::2], wheel_task["parameters"][1::2]
        names = [option.removeprefix("--").replace("-", "_") for option in options]
        assert sorted(names) == sorted(field.name for field in fields(TASK_PARAMETERS[wheel_task["entry_point"]]))
        for name, value in zip(names, values, strict=True):
            if name == "deciders":
                assert value == "", "nobody may, unless the bundle names somebody; a parameter could be set by anybody"
                continue
            if given := GIVEN_BY_THE_RUN.get((wheel_task["entry_point"], name)):
                assert value == given
                continue
            if (wheel_task["entry_point"], name) == ("gate", "layer"):
                assert task["task_key"] == f"{value}_gate"
                continue
            assert value in (f"{{{{job.parameters.{name}}}}}", f"{{{{job.{name.removeprefix('job_')}}}}}")


def entry_points(job: dict[str, Any]) -> set[str]:
    return {task["python_wheel_task"]["entry_point"] for task in wheel_tasks(job)}


@pytest.mark.parametrize("target", TARGETS)
def test_the_pipeline_reads_as_the_jobs_and_writes_to_a_schema_of_its_own(target: str) -> None:
    resources = resolved(target)
    (pipeline,) = resources["pipelines"].values()
    build = parameters_of(resources["jobs"]["bronze_build"])
    assert (pipeline["serverless"], pipeline["photon"], pipeline["channel"]) == (True, True, "CURRENT")
    assert pipeline["catalog"] == build["catalog"]
    published = {f"{build['schema_prefix']}{schema}" for schema in (*LAYERS, "ops")}
    assert pipeline["schema"] == f"{build['schema_prefix']}declarative"
    assert pipeline["schema"] not in published
    configuration = pipeline["configuration"]
    assert configuration.pop("lakehouse.auto_loader") == ("false" if target == "local" else "true")
    assert configuration.pop("lakehouse.auto_cdc") == "false"
    assert configuration.pop("lakehouse.email_hmac") == build["email_secret"]
    settings = {name.removeprefix("lakehouse."): value for name, value in configuration.items() if "lakehouse" in name}
    assert settings == {name: build[name] for name in settings}
    assert {"landing_root", "date_order", "null_words", "source_encoding"} <= set(settings)


@pytest.mark.parametrize("target", TARGETS)
def test_the_job_of_all_layers_starts_nothing_by_itself_and_hands_on_every_place(target: str) -> None:
    jobs = resolved(target)["jobs"]
    medallion, live = jobs["ecommerce_medallion"], jobs["ecommerce_medallion_live"]
    assert medallion["schedule"]["pause_status"] == live["trigger"]["pause_status"] == "PAUSED"
    (landing,) = (live["trigger"]["file_arrival"]["url"],)
    assert landing == f"{parameters_of(medallion)['landing_root']}/"
    places = {"catalog", "schema_prefix", "landing_root", "ops_root", "staging_root"}
    for task in medallion["tasks"]:
        if started := task.get("run_job_task"):
            key = re.fullmatch(r"\$\{resources\.jobs\.(\w+)\.id\}", started["job_id"])
            assert key
            declared = parameters_of(jobs[key[1]])
            assert set(started["job_parameters"]) <= set(declared), task["task_key"]
            assert places & set(declared) <= set(started["job_parameters"]), task["task_key"]
            for name in places & set(declared):
                assert started["job_parameters"][name] == f"{{{{job.parameters.{name}}}}}"


def test_each_layer_is_published_only_after_its_gate() -> None:
    tasks = {task["task_key"]: task for task in resolved("prod")["jobs"]["ecommerce_medallion"]["tasks"]}
    upstream = {key: {d["task_key"] for d in task.get("depends_on", [])} for key, task in tasks.items()}
    before = {"bronze": {"changed"}, "silver": {"behind", "bronze_publish"}, "gold": {"silver_publish"}}
    for layer in LAYERS:
        assert upstream[f"{layer}_build"] == before[layer]
        assert upstream[f"{layer}_gate"] == {f"{layer}_build"}
        assert upstream[f"{layer}_publish"] == {f"{layer}_gate"}
        assert tasks[f"{layer}_gate"].get("run_if", "ALL_SUCCESS") == "ALL_SUCCESS"
    assert tasks["silver_build"]["run_if"] == "NONE_FAILED", "without bronze too, never after one that failed"
    assert upstream["report"] == {"changed", "bronze_publish", "gold_publish"}


@pytest.mark.parametrize("target", TARGETS)
def test_the_build_jobs_differ_in_name_concurrency_and_layer_alone(target: str) -> None:
    jobs = resolved(target)["jobs"]
    builds = {layer: jobs[f"{layer}_build"] for layer in LAYERS}
    for layer, job in builds.items():
        assert (job.pop("name"), job["tags"].pop("layer")) == (f"{layer}_build", layer)
        assert layer in job.pop("description")
        assert job["parameters"].pop(0) == {"name": "layer", "default": layer}
        assert job.pop("max_concurrent_runs") == (4 if layer == "bronze" else 2)
    assert builds["bronze"] == builds["silver"] == builds["gold"]
    assert [task["task_key"] for task in builds["bronze"]["tasks"]] == ["build", "audit"]


def test_tasks_name_entry_points_of_the_wheel() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = set().union(*(entry_points(job) for job in resolved("local")["jobs"].values()))
    assert wanted <= set(project["entry-points"][project["name"]])
