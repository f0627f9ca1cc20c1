"""The compose files: valid by the specification's schema, without default passwords, and closed to the outside."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.settings import Settings
from laptop import compose_env
from laptop.airflow_settings import airflow_environment
from laptop.laptop_state import LaptopState
from machine.dag_settings import DAG_SETTINGS
from tests.deploy.compose import COMPOSE, OVERRIDE, REPO, VARIABLE, MissingVariable, instructions, services

DOCKERFILES = {
    "airflow": REPO / "docker" / "airflow.Dockerfile",
    "workspace": REPO / "docker" / "workspace.Dockerfile",
    "astro": REPO / "Dockerfile",
}
VALUES = dict.fromkeys([*compose_env.SECRETS, compose_env.CONNECTION], "x")
SERVICES = services(VALUES)
ALL = [*SERVICES.items(), *((f"override {name}", s) for name, s in services({}, OVERRIDE).items())]


@pytest.mark.parametrize("file", [COMPOSE, OVERRIDE], ids=lambda file: file.name)
def test_the_schema_of_the_specification(file: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="needs requirements-dev.txt")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_docker_compose_reads_it(tmp_path: Path) -> None:
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    compose_env.write(tmp_path / ".env")
    command = ["docker", "compose", "--env-file", str(tmp_path / ".env"), "-f", str(COMPOSE), "config", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_services_that_there_are() -> None:
    airflow = {"airflow-init", "airflow-cleanup", "api-server", "scheduler", "dag-processor", "triggerer"}
    assert set(SERVICES) == airflow | {"postgres", "workspace", "deploy"}
    for name in airflow - {"airflow-init"}:
        assert SERVICES[name]["depends_on"] == {"airflow-init": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize("name", sorted(VALUES))
def test_without_one_of_its_secrets_nothing_starts(name: str) -> None:
    for text in ({}, {name: ""}):
        with pytest.raises(MissingVariable):
            services({key: value for key, value in VALUES.items() if key != name} | text)


def test_no_secret_has_a_default_or_is_written_down() -> None:
    for file in (COMPOSE, OVERRIDE):
        for line in file.read_text(encoding="utf-8").splitlines():
            key, colon, value = line.strip().partition(": ")
            if colon and re.search(r"PASSWORD$|SECRET|TOKEN|_KEY$|CONN", key):
                assert VARIABLE.search(value), line
                assert all(found["operator"] == ":?" for found in VARIABLE.finditer(value)), line


def test_every_variable_that_it_demands_is_made_by_make_env(tmp_path: Path) -> None:
    demanded = {f["name"] for f in VARIABLE.finditer(COMPOSE.read_text(encoding="utf-8")) if f["operator"] == ":?"}
    assert demanded == set(VALUES)
    compose_env.write(tmp_path / ".env")
    assert services(compose_env.values((tmp_path / ".env").read_text(encoding="utf-8")))


@pytest.mark.parametrize(("name", "service"), ALL, ids=[name for name, _ in ALL])
def test_ports_are_published_on_this_machine_only(name: str, service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert str(port).startswith("127.0.0.1:"), port


@pytest.mark.parametrize(("name", "service"), ALL, ids=[name for name, _ in ALL])
def test_what_is_mounted_from_this_machine_is_read_only(name: str, service: dict[str, Any]) -> None:
    for volume in service.get("volumes", []):
        source, _, rest = volume.partition(":")
        assert not source.startswith((".", "/")) or rest.endswith(":ro"), volume


def test_data_lie_in_named_volumes() -> None:
    named = set(yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["volumes"])
    used = {volume.partition(":")[0] for s in SERVICES.values() for volume in s.get("volumes", [])}
    assert {volume for volume in used if not volume.startswith(".")} == named
    assert named >= {"postgres", "airflow-logs", "lakehouse"}


@pytest.mark.parametrize(("name", "service"), ALL, ids=[name for name, _ in ALL])
def test_what_stays_up_says_whether_it_is_healthy(name: str, service: dict[str, Any]) -> None:
    runs_once = service.get("restart") == "no"
    assert ("healthcheck" in service) is not runs_once


@pytest.mark.parametrize(("name", "service"), ALL, ids=[name for name, _ in ALL])
def test_our_own_containers_have_no_privileges(name: str, service: dict[str, Any]) -> None:
    if name != "postgres":
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_images_are_pinned() -> None:
    pinned = r".+:\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?"
    foreign = [s["image"] for s in SERVICES.values() if not s["image"].startswith("ecommerce-lakehouse-")]
    foreign += [rest for file in DOCKERFILES.values() for name, rest in instructions(file) if name == "FROM"]
    assert len(foreign) == 1 + len(DOCKERFILES)
    for image in foreign:
        assert re.fullmatch(pinned, image), image


def test_every_setting_of_the_dags_can_be_put_into_env() -> None:
    names = {f"LAKEHOUSE_{field.name.upper()}" for field in fields(Settings)}
    values = {name: f"value of {name}" for name in names}
    for name in ("scheduler", "dag-processor", "triggerer", "api-server", "airflow-init"):
        assert services(VALUES | values)[name]["environment"].items() >= values.items()
    unset = {k: v for k, v in SERVICES["scheduler"]["environment"].items() if k in names}
    assert unset == DAG_SETTINGS | {"LAKEHOUSE_DASHBOARD_URL": "http://localhost:8765/dashboards"}


def test_airflow_is_configured_as_on_the_laptop(tmp_path: Path) -> None:
    state = LaptopState(tmp_path / "state", 1, 2, 3)
    laptop = {k: v for k, v in airflow_environment(state).items() if k.startswith("AIRFLOW__")}
    here = {k: v for k, v in SERVICES["scheduler"]["environment"].items() if k.startswith("AIRFLOW__")}
    # Here the connection is a variable, there it is a file.
    only_there = {"AIRFLOW__SECRETS__BACKEND", "AIRFLOW__SECRETS__BACKEND_KWARGS"}
    assert set(here) == set(laptop) - only_there
    places = ("FOLDER", "_FILE", "URL", "CONN", "KEY", "SECRET", "HOST", "PORT")
    same = [name for name in here if not name.endswith(places)]
    assert len(same) > 12
    assert {name: here[name] for name in same} == {name: laptop[name] for name in same}


@pytest.mark.parametrize("name", sorted(DOCKERFILES))
def test_what_is_copied_into_an_image_is_there_and_not_ignored(name: str) -> None:
    ignored = ignore_patterns()
    copied = [word for kind, rest in instructions(DOCKERFILES[name]) if kind == "COPY" for word in rest.split()[:-1]]
    sources = [word for word in copied if not word.startswith("--")]
    assert sources
    for source in sources:
        assert (REPO / source).exists(), source
        assert not any(fnmatch.fnmatch(source.rstrip("/"), pattern) for pattern in ignored), source


@pytest.mark.parametrize("secret", [".env", ".state", ".git", "landing", ".env.local"])
def test_what_no_image_may_hold_is_ignored(secret: str) -> None:
    assert any(fnmatch.fnmatch(secret, pattern) for pattern in ignore_patterns())


@pytest.mark.parametrize("name", sorted(DOCKERFILES))
def test_images_run_as_a_user_and_install_by_hash(name: str) -> None:
    found = instructions(DOCKERFILES[name])
    assert [rest for kind, rest in found if kind == "USER"][-1] in ("lakehouse", "astro")
    for kind, rest in found:
        if kind == "RUN" and "pip install" in rest:
            assert "--require-hashes" in rest


def ignore_patterns() -> list[str]:
    lines = (REPO / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line.rstrip("/") for line in lines if line and not line.startswith("#")]
