"""Pages and hooks name commands that exist, and pages every column of every published table."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from spark_jobs.layers.registry import TABLES
from spark_jobs.tables.spec import TableSpec
from tests.docs.pages import DOCS, MARKDOWN, REPO


def test_commands_that_pages_name_are_targets_of_make() -> None:
    listed = subprocess.run(["make", "help"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"make ([a-z]+) ", listed))
    assert {"demo", "test", "up", "down", "status", "run", "replay", "feed", "query", "bench", "docs"} <= targets
    for page in MARKDOWN:
        text = page.read_text(encoding="utf-8")
        code = re.findall(r"`(make [^`]*)`", text) + re.findall(r"^ {4,}(make .*)$", text, re.MULTILINE)
        named = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(code)))
        assert named <= targets, f"{page.relative_to(REPO)} names targets that make does not have"


def test_the_hooks_of_pre_commit_run_what_exists() -> None:
    hooks = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    for hook in hooks:
        program, *arguments = shlex.split(hook["entry"])
        assert program.startswith(".state/venv/dev/bin/"), hook
        assert Path(sys.executable).with_name(Path(program).name).exists(), hook
        if arguments[:1] == ["-m"]:
            assert find_spec(arguments[1]), hook


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_the_columns_of_each_table(table: TableSpec) -> None:
    page = (DOCS / "tables.md").read_text(encoding="utf-8")
    section = page.split(f"\n### {table.name}\n")[1].split("\n### ")[0].split("\n<!-- ")[0]
    assert re.findall(r"^ +\| `(\w+)` \|", section, re.MULTILINE) == [field.name for field in table.schema.fields]
