"""A copy of the bundle that a test may change, and the real Databricks CLI where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_workspace.bundle import Bundle
from tests.workspace.conftest import Workspace
from tools.build_wheel import PACKAGES, PROJECT_FILES

REPO = Path(__file__).resolve().parents[2]
# All that a deployment reads: definitions, the sources of the wheel, and what builds it.
PARTS = ("databricks.yml", "resources", "pipelines", "dashboards", *PROJECT_FILES, *PACKAGES, "machine", "tools")
GIVEN = {
    "dev": [],
    "prod": ["service_principal=jobs-app-id", "airflow_principal=airflow-app-id"],
    "local": ["volumes_root=/tmp/volumes"],
}
STATE = Path(os.environ.get("LAKEHOUSE_STATE", REPO / ".state"))


def resolved(target: str, folder: Path = REPO) -> dict[str, dict[str, Any]]:
    """Jobs, schemas, volumes and dashboards of a target, with the values of variables, by kind and key."""
    bundle = Bundle(folder / "databricks.yml", target, GIVEN[target])
    return {kind: {key: settings for key, settings, _ in bundle.resources(kind)} for kind in bundle.kinds}


def choose_photon(folder: Path, target: str) -> None:
    """Choose the job cluster as a user does: with one line among a target's variables."""
    file = folder / "databricks.yml"
    head, targets = file.read_text().split("\ntargets:\n")
    before, after = targets.split(f"  {target}:\n")
    place, rest = after.split("    variables:\n", 1)
    chosen = f"{place}    variables:\n      compute: ${{var.photon_cluster}}\n{rest}"
    file.write_text(f"{head}\ntargets:\n{before}  {target}:\n{chosen}")


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in PARTS:
        if (REPO / name).is_dir():
            shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPO / name, folder / name)
    return folder


class Cli:
    """`databricks` in a folder, with a workspace and nothing else of this machine's configuration."""

    def __init__(self, program: str, home: Path, workspace: Workspace) -> None:
        self.program = program
        self.workspace = workspace
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DATABRICKS_HOST": workspace.host,
            "DATABRICKS_TOKEN": workspace.token,
            "LAKEHOUSE_STATE": str(STATE.resolve()),
        }

    def run(
        self, folder: Path, command: str, *more: str, target: str = "local", status: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        given = [word for item in GIVEN[target] for word in ("--var", item)]
        words = [self.program, "bundle", command, "-t", target, *given, *more]
        done = subprocess.run(
            words, cwd=folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        if status is not None:
            assert done.returncode == status, done.stdout + done.stderr
        return done

    def json(self, folder: Path, command: str, target: str = "local") -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run(folder, command, "-o", "json", target=target).stdout)
        return answer


@pytest.fixture(scope="session")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A local workspace without Spark."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace") / "state")
    workspace.start()
    yield workspace
    workspace.stop()


@pytest.fixture
def workspace(shared_workspace: Workspace) -> Iterator[Workspace]:
    """The workspace, without jobs."""
    yield shared_workspace
    shared_workspace.delete_jobs()
    shutil.rmtree(shared_workspace.state / "workspace" / "files" / "Users", ignore_errors=True)


@pytest.fixture(scope="session")
def program() -> str:
    named = os.environ.get("DATABRICKS_CLI") or "databricks"
    found = shutil.which(named)
    if found is None:
        pytest.skip(
            f"the Databricks CLI is not installed ({named} is not found): these tests run it, 1.10 or newer; "
            "DATABRICKS_CLI names it"
        )
    return found


@pytest.fixture
def cli(program: str, tmp_path: Path, workspace: Workspace) -> Cli:
    return Cli(program, tmp_path, workspace)
