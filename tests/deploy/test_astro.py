"""Astro: the image is of the Airflow that is locked, the workspace beside it is compose's, and its tests run there."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from include.settings import load
from laptop import compose_env
from laptop.airflow_settings import POOLS
from tests.deploy.compose import OVERRIDE, REPO, instructions, services

DOCKERFILE = REPO / "Dockerfile"
RUN_AIRFLOW = runpy.run_path(str(REPO / "docker" / "run_airflow.py"))
SETTINGS = yaml.safe_load((REPO / "airflow_settings.yaml").read_text(encoding="utf-8"))["airflow"]


def locked(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)", (REPO / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found.group(1)


def test_the_runtime_is_of_the_locked_airflow() -> None:
    image = dict(instructions(DOCKERFILE))["FROM"]
    found = re.fullmatch(r"astrocrpublic\.azurecr\.io/runtime:(\d+\.\d+)-\d+-python-(3\.\d+)-base", image)
    assert found, image
    assert found.group(1) == locked("apache-airflow").rpartition(".")[0]
    assert found.group(2) in ("3.11", "3.12", "3.13"), "pyproject.toml allows no other Python"
    assert f"Airflow {locked('apache-airflow')}" in DOCKERFILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("packages", "installed"),
    [
        (None, []),
        ("# nothing\n\n", []),
        ("git # for x\nlibpq-dev\n", ["update", "install -y --no-install-recommends git libpq-dev"]),
    ],
)
def test_packages_txt_is_installed_without_its_comments(
    tmp_path: Path, packages: str | None, installed: list[str]
) -> None:
    step = next(rest for kind, rest in instructions(DOCKERFILE) if kind == "RUN" and "packages.txt" in rest)
    text = (REPO / "packages.txt").read_text(encoding="utf-8") if packages is None else packages
    (tmp_path / "packages.txt").write_text(text, encoding="utf-8")
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n', encoding="utf-8")
    apt.chmod(0o755)
    step = step.replace("/tmp/", f"{tmp_path}/list-").replace("/var/lib/apt/lists", f"{tmp_path}/lists")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["sh", "-euc", step], cwd=tmp_path, env=environment, check=True)
    called = tmp_path / "called"
    assert (called.read_text(encoding="utf-8").splitlines() if called.exists() else []) == installed


def test_the_settings_file_names_the_workspace_and_the_pool_and_no_secret() -> None:
    (connection,) = SETTINGS["connections"]
    assert connection["conn_id"] == load({}).connection_id
    assert f"{connection['conn_host']}:{connection['conn_port']}" == compose_env.WORKSPACE
    assert "conn_password" not in connection
    assert {pool["pool_name"]: pool["pool_slot"] for pool in SETTINGS["pools"]} == POOLS
    assert load({}).pools == POOLS
    assert {pool: int(slots) for pool, slots in RUN_AIRFLOW["POOLS"].items()} == POOLS
    assert SETTINGS["variables"] == []


def test_the_workspace_beside_astro_is_the_one_of_compose() -> None:
    ours, beside = services(dict.fromkeys([*compose_env.SECRETS, compose_env.CONNECTION], "x")), services({}, OVERRIDE)
    assert set(beside) == {"workspace", "deploy"}
    for name, service in beside.items():
        # Astro's CLI reads no .env into the file, so the containers get it whole; and it builds no image but its own.
        assert service.pop("env_file") == [".env"]
        assert service.pop("pull_policy") == "never"
        for key, value in service.items():
            if key not in ("environment",):
                assert value == ours[name][key], f"{name}.{key}"
        assert set(ours[name]) - set(service) <= {"build", "environment"}
        assert service["environment"].items() <= ours[name]["environment"].items()


def test_the_project_s_database_is_that_of_compose() -> None:
    config = yaml.safe_load((REPO / ".astro" / "config.yaml").read_text(encoding="utf-8"))
    image = services(dict.fromkeys([*compose_env.SECRETS, compose_env.CONNECTION], "x"))["postgres"]["image"]
    assert f"postgres:{config['postgres']['tag']}" == image


def test_astro_dev_pytest(tmp_path: Path) -> None:
    """The suite where only requirements.txt and pytest are installed: the DAGs' tests run, the others say why not."""
    state = Path(os.environ.get("LAKEHOUSE_STATE", REPO / ".state"))
    python = state / "venv" / "airflow" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no environment made of requirements.txt alone ({python})")
    for name in ("pytest", "_pytest", "py", "pluggy", "iniconfig", "pygments", "packaging"):
        found = find_spec(name)
        assert found
        assert found.origin
        source = Path(found.origin).parent if found.submodule_search_locations else Path(found.origin)
        (tmp_path / source.name).symlink_to(source)
    environment = {
        "PATH": f"{python.parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "PYTHONPATH": f"{REPO}:{tmp_path}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "tests/"]
    done = subprocess.run(
        [*command, ".astro/test_dag_integrity_default.py"],
        cwd=REPO,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    folders = {path.name for path in (REPO / "tests").iterdir() if path.is_dir() and not path.name.startswith("__")}
    skipped = set(re.findall(r"tests/(\w+): Spark is not installed here", done.stdout))
    assert skipped == folders - {"dags"}
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed.group(1)) > 50, done.stdout[-500:]
