"""The README names the columns that there are, and the targets that there are."""

import re
import subprocess

import pytest

from machine.state_folder import REPO
from spark_jobs.layers.registry import TABLES

README = (REPO / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", sorted(TABLES))
def test_the_columns_of_each_table(table: str) -> None:
    paragraph = next(line for line in README.splitlines() if line.startswith(f"**`{table}`**"))
    named = [name for name in re.findall(r"`([\w.]+)`", paragraph)[1:] if "." not in name]
    columns = [field.name for field in TABLES[table].schema.fields]
    if table == "gold.orders_enriched":
        columns = columns[len(TABLES["silver.orders"].schema.fields) :]
    assert named == columns


def test_the_targets_of_make() -> None:
    listed = subprocess.run(["make", "help"], cwd=REPO, capture_output=True, text=True).stdout
    targets = set(re.findall(r"make ([a-z]+) ", listed))
    assert {"demo", "test", "up", "down", "status", "run", "replay", "feed", "query", "bench", "clean"} <= targets
    assert set(re.findall(r"make ([a-z]+)\b", "\n".join(re.findall(r"`(make [^`]*)`", README)))) <= targets
