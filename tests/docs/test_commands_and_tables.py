"""Pages name the targets of make that exist, and every column of every published table."""

from __future__ import annotations

import re
import subprocess

import pytest

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


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_the_columns_of_each_table(table: TableSpec) -> None:
    page = (DOCS / "tables.md").read_text(encoding="utf-8")
    section = page.split(f"\n### {table.name}\n")[1].split("\n### ")[0].split("\n<!-- ")[0]
    assert re.findall(r"^ +\| `(\w+)` \|", section, re.MULTILINE) == [field.name for field in table.schema.fields]
