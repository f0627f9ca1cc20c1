"""The GitHub workflows: valid, with least rights, pinned actions, time-outs, and without a stored secret."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
FILES = sorted((REPO / ".github" / "workflows").glob("*.yml"))
# YAML reads the key `on` as true.
WORKFLOWS: dict[str, dict[Any, Any]] = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in FILES}
JOBS = [(f"{name}.{key}", job) for name, whole in WORKFLOWS.items() for key, job in whole["jobs"].items()]
OWN_STEPS = [(name, job) for name, job in JOBS if "steps" in job]


def steps(job: dict[str, Any]) -> str:
    """All commands of a job."""
    return "\n".join(str(step.get("run", step.get("uses"))) for step in job["steps"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_published_schema(file: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="needs requirements-dev.txt")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint() -> None:
    found = shutil.which("actionlint") or shutil.which("actionlint", path=str(Path.home() / "go" / "bin"))
    if not found:
        pytest.skip("actionlint is not installed (go install github.com/rhysd/actionlint/cmd/actionlint@latest)")
    done = subprocess.run([found, *map(str, FILES)], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_nobody_has_more_rights_than_reading_the_code(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    for key, job in WORKFLOWS[name]["jobs"].items():
        more = job.get("permissions", {"contents": "read"})
        deploys = "environment" in job
        assert more == {"contents": "read"} | ({"id-token": "write"} if deploys else {}), key


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_secret_is_stored(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"\bsecrets\s*[.\[]|secrets:\s*inherit|\bpull_request_target\b", text)
    assert not re.search(r"TOKEN|PASSWORD|CLIENT_SECRET", text)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_by_their_full_version(file: Path) -> None:
    used = re.findall(r"uses:\s*(\S+)", file.read_text(encoding="utf-8"))
    assert used
    for action in used:
        pinned = re.fullmatch(r"[\w.-]+/[\w./-]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})", action)
        assert pinned or action.startswith("./"), action


def test_an_action_has_one_version_everywhere() -> None:
    used = {action for file in FILES for action in re.findall(r"uses:\s*([\w-]\S+)", file.read_text(encoding="utf-8"))}
    assert len(used) == len({action.partition("@")[0] for action in used}), used


@pytest.mark.parametrize(("name", "job"), OWN_STEPS, ids=[name for name, _ in OWN_STEPS])
def test_every_job_ends_and_keeps_no_credentials(name: str, job: dict[str, Any]) -> None:
    assert 0 < job["timeout-minutes"] <= 60
    assert re.fullmatch(r"ubuntu-\d\d\.\d\d", job["runs-on"])
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_a_newer_push_ends_older_checks_but_no_deployment() -> None:
    groups = {name: whole["concurrency"] for name, whole in WORKFLOWS.items()}
    assert "pull_request" in groups["checks"]["cancel-in-progress"]
    assert groups["deploy"]["cancel-in-progress"] is False
    # Checks are called by deployments: in one group they would wait for each other.
    assert groups["checks"]["group"].split("-")[0] != groups["deploy"]["group"].split("-")[0]


def test_pull_requests_are_checked_with_everything() -> None:
    checks = WORKFLOWS["checks"]
    assert set(checks[True]) == {"pull_request", "workflow_call"}
    assert set(checks["jobs"]) == {"lint", "test", "dag-integrity", "wheel", "bundle"}
    assert "3.12" in checks["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    assert "pip install --require-hashes -r requirements.txt\n" in steps(checks["jobs"]["dag-integrity"])
    assert "databricks/setup-cli@" in steps(checks["jobs"]["bundle"])


@pytest.mark.parametrize(("target", "event"), [("dev", "push"), ("prod", "release")])
def test_deployments_go_by_oidc_to_their_own_target(target: str, event: str) -> None:
    deploy = WORKFLOWS["deploy"]
    assert deploy[True] == {"push": {"branches": ["main"]}, "release": {"types": ["published"]}}
    job = deploy["jobs"][target]
    assert job["if"] == f"github.event_name == '{event}'"
    assert job["needs"] == "checks"
    assert job["environment"] == target
    assert job["env"]["DATABRICKS_AUTH_TYPE"] == "github-oidc"
    commands = re.findall(r"databricks bundle (\w+).* -t (\w+)", steps(job))
    assert commands == [("validate", target), ("deploy", target), ("summary", target)]
    (guard,) = [step["run"] for step in job["steps"] if "variables are set" in step.get("name", "")]
    for name in job["env"]:
        assert name in ("DATABRICKS_AUTH_TYPE", "BUNDLE_VAR_service_principal") or f"${{{name}:?" in guard
    bundle = yaml.safe_load((REPO / "databricks.yml").read_text(encoding="utf-8"))
    given = bundle["targets"][target]["variables"]
    for name, variable in bundle["variables"].items():
        assert variable.keys() & {"default", "lookup"} or name in given or f"BUNDLE_VAR_{name}" in job["env"], name
