"""The real Databricks CLI accepts every target, and manages the local workspace's jobs as those of any workspace."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from include.settings import load
from local_workspace.deployer import deploy
from tests.bundle.conftest import GIVEN, Cli, choose_photon, resolved
from tests.workspace.conftest import Workspace

ADDED = {"deployment", "edit_mode", "format"}  # what the CLI adds to every job


def ids(workspace: Workspace) -> dict[str, int]:
    return {job.settings.name: job.job_id for job in workspace.client().jobs.list()}  # type: ignore[union-attr,misc]


@pytest.mark.parametrize("target", list(GIVEN))
@pytest.mark.parametrize("photon", [False, True])
def test_it_accepts_every_target_without_a_warning(cli: Cli, bundle_copy: Path, target: str, photon: bool) -> None:
    if photon:
        choose_photon(bundle_copy, target)
    done = cli.run(bundle_copy, "validate", "--strict", target=target)
    assert "Validation OK!" in done.stdout
    assert "Warn" not in done.stdout + done.stderr


def cleaned(value: Any) -> Any:
    """Without what is empty, and with wheels named the same whichever file named them."""
    if isinstance(value, dict):
        kept = {name: cleaned(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if name == "default" or item not in ("", [], None)}
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    return value.removeprefix("./") if isinstance(value, str) else value


@pytest.mark.parametrize("photon", [False, True])
@pytest.mark.parametrize("target", list(GIVEN))
def test_it_sees_what_the_projects_own_reader_sees(cli: Cli, bundle_copy: Path, target: str, photon: bool) -> None:
    """Whatever is tested of the definitions therefore holds for what the CLI deploys."""
    if photon:
        choose_photon(bundle_copy, target)
    theirs, ours = cli.json(bundle_copy, "validate", target)["resources"], resolved(target, bundle_copy)
    prefix = {"dev": "[dev local] "}.get(target, "")
    assert set(theirs) == set(ours)
    for key, job in theirs["jobs"].items():
        ours["jobs"][key]["name"] = prefix + ours["jobs"][key]["name"]
        if target == "dev":
            ours["jobs"][key]["tags"]["dev"] = "local"
        if target == "prod":
            assert job.pop("run_as") == {"service_principal_name": "jobs-app-id"}
            assert job["permissions"].pop()["level"] == "IS_OWNER"
        for added in ADDED:
            job.pop(added)
        for tasks in (job["tasks"], ours["jobs"][key]["tasks"]):
            tasks.sort(key=itemgetter("task_key"))
        assert cleaned(job) == cleaned(ours["jobs"][key])
    for schema in theirs.get("schemas", {}):
        assert theirs["schemas"][schema] == ours["schemas"][schema]
    for key, volume in theirs.get("volumes", {}).items():
        assert volume.pop("volume_type", "MANAGED") == "MANAGED"
        # It names the schema by its resource, which it therefore makes first.
        assert volume.pop("schema_name") == f"${{resources.schemas.{key}.name}}"
        ours["volumes"][key].pop("schema_name")
        volume.pop("volume_path", None)
        assert volume == ours["volumes"][key]


def test_airflow_finds_the_jobs_of_a_development_copy_by_its_prefix(cli: Cli, bundle_copy: Path) -> None:
    whole = cli.json(bundle_copy, "validate", "dev")
    user = whole["workspace"]["current_user"]["short_name"]
    settings = load({"LAKEHOUSE_JOB_PREFIX": f"[dev {user}] "})
    for key, job in whole["resources"]["jobs"].items():
        assert settings.job_name(key) == job["name"]


def test_deploy_summary_run_and_destroy(cli: Cli, bundle_copy: Path, workspace: Workspace) -> None:
    """The wheel that was uploaded last is the one that runs, by the CLI and by Airflow's provider alike."""
    cli.run(bundle_copy, "deploy")
    jobs = ids(workspace)
    assert set(jobs) == set(resolved("local")["jobs"])
    summary = cli.json(bundle_copy, "summary")["resources"]["jobs"]
    assert {key: int(job["id"]) for key, job in summary.items()} == jobs
    assert f"{len(jobs)} unchanged" in cli.run(bundle_copy, "plan").stdout

    failed = cli.run(bundle_copy, "run", "maintenance", "--params", "as_of=yesterday", status=1)
    assert "ParameterRefused" in failed.stdout + failed.stderr

    with (bundle_copy / "spark_jobs" / "tasks" / "entry_points.py").open("a") as source:
        source.write('\n\ndef maintenance() -> None:\n    print("changed code:", sys.argv[1:])\n')
    cli.run(bundle_copy, "deploy")
    assert ids(workspace) == jobs, "the jobs are changed, not made again"
    cli.run(bundle_copy, "run", "maintenance", "--params", "as_of=2018-01-31")
    run_id = airflow_runs("maintenance", cli, bundle_copy)
    task_run = workspace.get(run_id)["tasks"][0]["run_id"]
    output = workspace.call("GET", "/api/2.2/jobs/runs/get-output", query={"run_id": task_run})
    assert "changed code: ['--as-of', '2018-02-28'" in output["logs"]
    (wheel,) = (bundle_copy / ".databricks").rglob("*.whl")
    assert (workspace.state / "workspace" / "wheels" / hashlib.sha256(wheel.read_bytes()).hexdigest()).is_dir()

    cli.run(bundle_copy, "destroy", "--auto-approve")
    assert ids(workspace) == {}
    assert not list((workspace.state / "workspace" / "files").rglob("*.whl"))


AIRFLOW = """
import sys, time
from airflow.providers.databricks.hooks.databricks import DatabricksHook
hook = DatabricksHook("cli_test", retry_limit=1)
run_id = hook.run_now({"job_id": hook.find_job_id_by_name(sys.argv[1]), "job_parameters": {"as_of": "2018-02-28"}})
while not hook.get_run_state(run_id).is_terminal:
    time.sleep(0.1)
assert hook.get_run_state(run_id).is_successful
print(run_id)
"""


def airflow_runs(job: str, cli: Cli, folder: Path) -> int:
    """Run a job by Airflow's provider, to its end."""
    connection = {"conn_type": "databricks", "host": "127.0.0.1", "port": cli.workspace.port, "schema": "http"}
    home = folder.parent / "airflow"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "AIRFLOW_HOME": str(home)}
    environment["AIRFLOW_CONN_CLI_TEST"] = json.dumps(connection | {"password": cli.workspace.token})
    done = subprocess.run(
        [sys.executable, "-c", AIRFLOW, job], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


def test_it_and_the_own_deployer_share_deployments(cli: Cli, bundle_copy: Path, workspace: Workspace) -> None:
    def own_deployer() -> list[str]:
        return list(deploy(bundle_copy / "databricks.yml", "local", GIVEN["local"], workspace.host, workspace.token))

    cli.run(bundle_copy, "deploy")
    jobs = ids(workspace)
    assert all(line.startswith("reset") for line in own_deployer())
    assert ids(workspace) == jobs
    cli.run(bundle_copy, "destroy", "--auto-approve")
    assert ids(workspace) == {}

    assert all(line.startswith("created") for line in own_deployer())
    jobs = ids(workspace)
    assert set(jobs) == set(resolved("local")["jobs"])
    cli.run(bundle_copy, "deploy")
    assert ids(workspace) == jobs
    cli.run(bundle_copy, "destroy", "--auto-approve")
    assert ids(workspace) == {}
