"""The page about configuration: every setting with its default, and none that does not exist."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
import yaml

from include.settings import Settings, load
from laptop import compose_env
from laptop.checks import FOR_TESTS
from laptop.laptop_state import PORT_VARIABLES
from machine.dag_settings import DAG_SETTINGS
from tests.docs.pages import DOCS, MARKDOWN, REPO
from tools.generate import setting_texts

PAGE = (DOCS / "configuration.md").read_text(encoding="utf-8")
CODE = ("include", "dags", "plugins", "spark_jobs", "feeds", "laptop", "machine", "local_workspace", "docker")
# Between the project's own processes, for nobody to set.
INTERNAL = {"LAKEHOUSE_SERVICES_OF", "LAKEHOUSE_SECRETS_DIR", "LAKEHOUSE_TASK_VALUES"}


def rows() -> dict[str, str]:
    """The first cell's names of every row of the tables, each with its second cell."""
    found: dict[str, str] = {}
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            for name in re.findall(r"`(\w+)`", cells[0]):
                assert name not in found, f"{name} has two rows"
                found[name] = cells[1]
    return found


def shown(value: Any) -> str:
    if value in (None, ""):
        return "none"
    if isinstance(value, timedelta):
        value = int(value.total_seconds())
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_a_setting_of_the_dags(name: str) -> None:
    variable = f"LAKEHOUSE_{name.upper()}"
    expected = shown(getattr(load({}), name))
    if variable in DAG_SETTINGS:
        expected += f" (one machine: `{DAG_SETTINGS[variable]}`)"
    assert rows().get(variable) == expected


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_the_default_that_a_docstring_gives(name: str) -> None:
    found = re.search(r"\(default ([^,:)]+)", setting_texts()[name])
    assert found, "the docstring names a default"
    default = shown(getattr(load({}), name)).strip("`")
    assert found[1] == default.removesuffix(".0")


BUNDLE = yaml.safe_load((REPO / "databricks.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(BUNDLE["variables"]))
def test_a_variable_of_the_bundle(name: str) -> None:
    row, variable = rows().get(name), BUNDLE["variables"][name]
    assert row, f"{name} has no row"
    default = variable.get("default")
    if isinstance(default, str):
        assert row.startswith(shown(re.sub(r"^\$\{var\.(\w+)\}$", r"\1", default)))
    if "lookup" in variable:
        assert all(f"`{named}`" in row for named in variable["lookup"].values())
        return
    for target, settings in BUNDLE["targets"].items():
        value = settings.get("variables", {}).get(name)
        if value and "${" not in value:
            assert f"`{value}`" in row
            assert f"`{target}`" in row
        elif target == "prod" and value is None and "default" not in variable:
            assert row == "required in `prod`"


def test_ports_and_what_the_tests_read() -> None:
    found = rows()
    for variable, default in PORT_VARIABLES.values():
        assert found[variable] == f"`{default}`"
    assert set(FOR_TESTS) <= set(found)


def test_all_of_env_is_explained() -> None:
    assert {*compose_env.SECRETS, compose_env.CONNECTION, "COMPOSE_FILE"} <= set(rows())


def test_no_variable_is_missing_and_none_is_made_up() -> None:
    text = "".join(path.read_text(encoding="utf-8") for folder in CODE for path in (REPO / folder).rglob("*.py"))
    text += "".join(path.read_text(encoding="utf-8") for path in REPO.glob("docker-compose*.y*ml"))
    used = set(re.findall(r"\bLAKEHOUSE_[A-Z][A-Z_]*[A-Z]\b", text)) - INTERNAL
    assert {name for name in rows() if name.startswith("LAKEHOUSE_")} == used
    for page in MARKDOWN:
        named = set(re.findall(r"\bLAKEHOUSE_[A-Z][A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
        assert named <= used, page
