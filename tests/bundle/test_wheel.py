"""The wheel in an environment that has nothing else: what it carries, what it requires, what runs from it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import tomllib
import zipfile
from itertools import product
from pathlib import Path
from shutil import copy, copytree

import pytest

from machine.state_folder import StateFolder
from tests.bundle.conftest import REPO
from tools.build_wheel import PACKAGES, PROJECT_FILES, ensure_wheel
from tools.environments import uv_environment

# Spark is the platform's: another one beside it would be loaded instead, or break it.
SPARK = {"pyspark", "pyspark-client", "pyspark-connect", "databricks-connect", "delta-spark", "py4j"}
RUN = """
import importlib.metadata, json, sys
wheel = importlib.metadata.distribution("ecommerce_lakehouse")
found = {"names": sorted(d.name.lower() for d in importlib.metadata.distributions()), "refusals": {}}
for entry_point in wheel.entry_points:
    sys.argv = [entry_point.name, "--no-such-parameter", "1"]
    try:
        entry_point.load()()
    except Exception as error:
        found["refusals"][entry_point.name] = f"{type(error).__module__}.{type(error).__name__}: {error}"
import feeds, gx, spark_jobs
found["from"] = [feeds.__file__, gx.__file__, spark_jobs.__file__]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sources as they are, in a separate folder."""
    folder = tmp_path_factory.mktemp("sources")
    for name in PROJECT_FILES:
        copy(REPO / name, folder / name)
    for name in PACKAGES:
        copytree(REPO / name, folder / name)
    return ensure_wheel(StateFolder.from_environment(), folder)


@pytest.fixture(scope="module", params=["this Python", "3.12"])
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A virtual environment with the wheel and what it requires, at the versions of the lock; its Python."""
    folder = tmp_path_factory.mktemp("empty")
    state = StateFolder.from_environment()
    base = str(state.python("dev"))
    if request.param != "this Python":
        find = [str(state.venv("tools") / "bin" / "uv"), "python", "find", "--no-python-downloads", request.param]
        located = subprocess.run(find, capture_output=True, text=True, check=False)
        if located.returncode:
            pytest.skip(f"Python {request.param}, which serverless environments of version 4 have, is not installed")
        base = located.stdout.strip()
    locked = ["-c", str(REPO / "requirements-dev.txt"), "--no-verify-hashes"]  # the wheel itself has none
    uv, python = str(state.venv("tools") / "bin" / "uv"), folder / "venv" / "bin" / "python"
    # The platform's part, without which no entry point can be imported: beside the environment, not in it.
    platform = folder / "platform"
    platform.mkdir()
    for name in ("pyspark", "py4j"):
        package = importlib.util.find_spec(name)
        assert package is not None
        assert package.submodule_search_locations
        (platform / name).symlink_to(package.submodule_search_locations[0])
    for words in (
        ["venv", "--quiet", "--python", base, str(folder / "venv")],
        ["pip", "install", "--quiet", "--python", str(python), *locked, str(wheel)],
        ["pip", "install", "--quiet", "--python", str(python), *locked, "--target", str(platform), "pyarrow"],
    ):
        done = subprocess.run([uv, *words], env=uv_environment(state), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return python


def test_it_carries_every_rule_and_module(wheel: Path) -> None:
    wanted = {
        path.relative_to(REPO).as_posix()
        for package, suffix in product(PACKAGES, (".html", ".json", ".py", ".yml"))
        for path in (REPO / package).rglob(f"*{suffix}")
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    assert packed == wanted
    required = {re.split(r"[<>=!~ ;\[]", line)[0] for line in re.findall(r"^Requires-Dist: (.*)$", metadata, re.M)}
    assert required == {"great-expectations", "jinja2", "pandas", "ruamel.yaml"}


def test_nothing_that_it_requires_brings_spark_and_its_entry_points_run(environment: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(environment), "-c", RUN],
        env={"PYTHONPATH": str(environment.parents[2] / "platform"), "PATH": "/nonexistent", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert {"ecommerce_lakehouse", "great_expectations", "pandas"} <= set(found["names"])
    assert not SPARK & set(found["names"])
    assert all(str(environment.parents[1]) in file for file in found["from"]), "not the repository's own files"
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert set(found["refusals"]) == set(project["entry-points"][project["name"]])
    for refusal in found["refusals"].values():
        assert refusal.startswith("spark_jobs.runtime.errors.ParameterRefused: ")
