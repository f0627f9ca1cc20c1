"""Which skips CI may have, and what any other one does to a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ALLOWED_SKIPS, is_allowed_skip

REPO = Path(__file__).resolve().parents[2]
SKIPPING = """
import pytest

def test_skips() -> None:
    pytest.skip("nobody knows why")

@pytest.mark.xfail
def test_fails_as_expected() -> None:
    raise AssertionError
"""


def test_a_skip_is_allowed_by_test_and_reason() -> None:
    test = "tests/bundle/test_cli.py::test_deploy[dev]"
    assert is_allowed_skip(test, "Skipped: the Databricks CLI is not installed")
    assert not is_allowed_skip(test, "Skipped: too slow")
    assert not is_allowed_skip("tests/dags/test_gate.py::test_gate", "Skipped: the Databricks CLI is not installed")


def test_every_allowed_skip_names_tests_that_exist_and_says_why() -> None:
    for skip in ALLOWED_SKIPS:
        assert (REPO / skip.tests).exists(), skip
        assert skip.why, skip


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_any_other_skip_fails_in_ci_and_is_named_elsewhere(tmp_path: Path, ci: str, code: int) -> None:
    (tmp_path / "test_that_skips.py").write_text(SKIPPING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--rootdir={tmp_path}", str(tmp_path)],
        cwd=REPO,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CI": ci},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("CI must not skip this (nobody knows why)" in done.stdout) == bool(ci)
    assert ("skips that fail in CI" in done.stdout) == (not ci)
    assert "1 xfailed" in done.stdout
