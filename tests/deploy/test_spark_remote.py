"""SPARK_REMOTE: the suite's Spark part on a session elsewhere, by `make test` too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def planned() -> str:
    """What pytest would set up and skip for tests/spark with a Spark on another machine; nothing is run."""
    environment = os.environ | {"SPARK_REMOTE": "sc://spark.example:443/;token=none"}
    done = subprocess.run(
        [sys.executable, "-m", "laptop.checks", "test"],
        cwd=REPO,
        env=environment | {"ARGS": "tests/spark --setup-plan -q -rs -p no:cacheprovider"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


def test_make_test_hands_it_on_and_tests_that_share_files_with_spark_are_skipped() -> None:
    plan = planned()
    skipped = set(re.findall(r"SKIPPED .*(tests/spark/[\w/]+\.py): Spark at spark\.example cannot read", plan))
    set_up = set(re.findall(r"^ +(tests/spark/[\w/]+\.py)::.*fixtures used:.*\bspark\b", plan, re.MULTILINE))
    assert {"tests/spark/bronze/test_landed_lines.py", "tests/spark/publishing/test_publish.py"} <= skipped
    assert {"tests/spark/silver/test_silver_tables.py", "tests/spark/gold/test_gold_rules.py"} <= set_up
    assert not [path for path in set_up if "publishing" in path]
