"""Pages and hooks name commands that exist, pages every column, and no text uses a word that the glossary refuses."""

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


def test_no_text_uses_a_word_that_the_glossary_refuses() -> None:
    section = (DOCS / "glossary.md").read_text(encoding="utf-8").split("## Words to avoid everywhere")[1]
    refused = [words for cell in re.findall(r"^\| (.*?) \|", section, re.MULTILINE) for words in cell.split("**")[1::2]]
    assert len(refused) >= 8
    pattern = re.compile(rf"\b({'|'.join(word.replace(' ', chr(92) + 's+') for word in refused)})\b", re.IGNORECASE)
    listed = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    found = [
        f"{path}: {match[0]}"
        for path in map(Path, listed.splitlines())
        if path.suffix in (".py", ".md", ".yml", ".html", ".toml", ".sql") and path != Path("docs/glossary.md")
        for match in pattern.finditer((REPO / path).read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_the_columns_of_each_table(table: TableSpec) -> None:
    page = (DOCS / "tables.md").read_text(encoding="utf-8")
    section = page.split(f"\n### {table.name}\n")[1].split("\n### ")[0].split("\n<!-- ")[0]
    assert re.findall(r"^ +\| `(\w+)` \|", section, re.MULTILINE) == [field.name for field in table.schema.fields]
