"""The locked requirements: what pyproject.toml asks for, each with hashes, and the same versions everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("packaging")
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

REPO = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
FILES = {
    "airflow": "requirements.txt",
    "workspace": "requirements-workspace.txt",
    "postgres": "requirements-postgres.txt",
    "dev": "requirements-dev.txt",
}
PYTHONS = ("3.11", "3.12", "3.13")
RENEW = "run `make lock`"


def asked(group: str) -> list[Requirement]:
    """What a dependency group asks for, with the groups that it includes."""
    found: list[Requirement] = []
    for item in PROJECT["dependency-groups"][group]:
        found += asked(item["include-group"]) if isinstance(item, dict) else [Requirement(item)]
    return found


def entries(file: str) -> list[tuple[Requirement, int]]:
    """The requirements of a file, each with the number of its hashes."""
    text = (REPO / file).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [(Requirement(line.split(" --hash")[0].strip()), line.count("--hash=sha256:")) for line in lines]


def versions(file: str, python: str) -> dict[str, Version]:
    """Package to version, on Linux with this Python; raises on a package that has two."""
    environment = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux"}
    environment |= {"platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
    environment |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    found: dict[str, Version] = {}
    for requirement, _ in entries(file):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{file} has two versions of {name} for Python {python}"
            found[name] = Version(next(iter(requirement.specifier)).version)
    return found


@pytest.mark.parametrize("file", [*FILES.values(), "tools/requirements-tools.txt"])
def test_every_package_is_pinned_with_hashes(file: str) -> None:
    found = entries(file)
    assert found
    for requirement, hashes in found:
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", requirement
        assert hashes >= 1, requirement


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("group", sorted(FILES))
def test_the_lock_has_what_pyproject_asks_for(group: str, python: str) -> None:
    found = versions(FILES[group], python)
    for requirement in asked(group):
        version = found.get(canonicalize_name(requirement.name))
        assert version, f"{FILES[group]} lacks {requirement}; {RENEW}"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} is {version}; {RENEW}"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_files_agree_with_one_another(python: str) -> None:
    everything = versions(FILES["dev"], python)
    for group in ("airflow", "workspace", "postgres"):
        for name, version in versions(FILES[group], python).items():
            assert everything.get(name) == version, f"{FILES[group]} and {FILES['dev']} differ in {name}; {RENEW}"


def test_what_they_were_compiled_for_is_what_pyproject_names() -> None:
    """The comments of the file name the packages that were asked for: one that is asked for no more shows."""
    for group, file in FILES.items():
        text = (REPO / file).read_text(encoding="utf-8")
        named = set()
        for block in re.split(r"\n(?=\S)", text):
            if re.search(r"#\s+(?:via )?.*ecommerce-lakehouse \(pyproject\.toml:", block):
                named.add(canonicalize_name(re.split(r"[=\[ ]", block, maxsplit=1)[0]))
        assert named == {canonicalize_name(requirement.name) for requirement in asked(group)}, f"{file}; {RENEW}"


def test_the_airflow_side_has_no_spark_and_the_job_side_no_airflow() -> None:
    for python in PYTHONS:
        assert not {"pyspark", "great-expectations", "delta-spark"} & set(versions(FILES["airflow"], python))
        assert not [name for name in versions(FILES["workspace"], python) if name.startswith("apache-airflow")]


def test_the_wheel_asks_for_what_the_lock_has() -> None:
    project: dict[str, Any] = PROJECT["project"]
    for python in PYTHONS:
        assert SpecifierSet(project["requires-python"]).contains(python)
        found = versions(FILES["workspace"], python)
        for item in project["dependencies"]:
            requirement = Requirement(item)
            assert requirement.specifier.contains(found[canonicalize_name(requirement.name)])
