"""Lines broken at random: bronze makes of every one what plain Python makes of it."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from spark_jobs.tables.source import NAMES
from tests.prove.bad_files.days import bronze
from tests.prove.bad_files.judgement import differences, judge_file, physical_lines
from tests.prove.bad_files.mutations import Fuzzed, fuzzed_file
from tests.prove.budget import rounds
from tests.spark.bronze.conftest import KEY

LINES = 600
FILES = {"windows-1252": 4, "utf-8": 1}


@pytest.fixture
def small_partitions(spark: Any) -> Iterator[None]:
    """Every file is read in several parts, whose borders fall anywhere in a line."""
    name = "spark.sql.files.maxPartitionBytes"
    before = spark.conf.get(name)
    spark.conf.set(name, "70000")
    yield
    spark.conf.set(name, before)


@pytest.mark.timed
def test_every_line_becomes_what_plain_python_says(
    spark: Any, small_partitions: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    landed = valid = 0
    for number in rounds():
        for encoding, count in FILES.items():
            seeds = range(number * count, (number + 1) * count)
            files = {f"{seed}.csv": fuzzed_file(seed, LINES, encoding) for seed in seeds}
            folder = tmp_path_factory.mktemp("fuzzed")
            rows = bronze(spark, folder, {name: file.content for name, file in files.items()}, encoding)
            for name, file in files.items():
                check(rows[name], file, f"{encoding}, {name}", encoding)
            landed += sum(map(len, rows.values()))
            valid += sum(1 for found in rows.values() for row in found if not row.reasons)
            hashes = defaultdict(set)
            for row in (row for found in rows.values() for row in found if not row.reasons):
                hashes[row.row_hash].add(tuple(row[name] for name in NAMES))
            assert all(len(different) == 1 for different in hashes.values())
            assert len(hashes) == len(set().union(*hashes.values()))
            shutil.rmtree(folder)
    print(f"\n{number + 1} rounds, {landed} lines: {valid} valid, {landed - valid} in quarantine")


def check(rows: list[Any], file: Fuzzed, name: str, encoding: str) -> None:
    assert len(rows) == len(physical_lines(file.content, encoding)) - 1, name
    wrong = list(differences(rows, judge_file(file.content, KEY, encoding)))
    assert not wrong, "\n".join([name, *wrong])
    for row in rows:
        shown = repr([value for value in row if isinstance(value, str)]).lower()
        leaked = [secret for secret in file.secrets if secret in shown]
        assert not leaked, (name, leaked, row)
