"""An invalid setting is refused by its name before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workspace.conftest import REPO


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        ("LAKEHOUSE_WORKSPACE_PORT", "http", "a port number"),
        ("LAKEHOUSE_SPARK_PORT", "-1", "a port number"),
        ("LAKEHOUSE_SPARK_FEW_ROWS", "1", "true or false"),
    ],
)
def test_an_invalid_setting_is_refused(name: str, value: str, valid: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local_workspace", "--state", str(tmp_path / "state"), "serve"]
    ended = subprocess.run(
        command, cwd=REPO, env=os.environ | {name: value}, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 1
    assert ended.stderr.strip() == f"error: {name}={value}: it must be {valid}"
    assert not (tmp_path / "state").exists()
