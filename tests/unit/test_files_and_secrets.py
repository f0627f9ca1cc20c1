"""The ops volume's files, secrets, and the version of the code."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from machine.state_folder import REPO
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.errors import ParameterRefused, SecretMissing
from spark_jobs.runtime.secret_store import SECRETS_FOLDER, secret
from spark_jobs.storage.ops_volume import OpsVolume, verdict_file


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    ops = OpsVolume(tmp_path)
    assert ops.read_json(verdict_file("bronze", "1")) is None
    ops.write_json(verdict_file("bronze", "1"), {"success": True})
    assert ops.read_json(verdict_file("bronze", "1")) == {"success": True}
    with pytest.raises(TypeError):
        ops.write_json(verdict_file("bronze", "1"), {("no", "key"): 1})  # type: ignore[dict-item]
    assert ops.read_json(verdict_file("bronze", "1")) == {"success": True}


def test_jobs_that_end_at_the_same_time_record_their_progress(tmp_path: Path) -> None:
    ops = OpsVolume(tmp_path)

    def record(seq: int) -> None:
        for _ in range(100):
            ops.record_progress("silver", seq, seq)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(1, 9)))
    progress = ops.read_json("progress_silver.json")
    assert progress
    assert progress["seq"] == progress["upstream_seq"]
    assert [file.name for file in tmp_path.iterdir()] == ["progress_silver.json"]


def test_what_a_killed_job_did_not_finish_is_removed_with_old_records(tmp_path: Path) -> None:
    ops = OpsVolume(tmp_path)
    ops.record_progress("silver", 1, 1)
    for name in (".progress_silver.json.1.unfinished", ".progress_silver.json.2.unfinished"):
        (tmp_path / name).touch()
    os.utime(tmp_path / ".progress_silver.json.1.unfinished", (0, 0))
    os.utime(tmp_path / "progress_silver.json", (0, 0))
    assert ops.remove_records(datetime(2018, 1, 1, tzinfo=UTC), ()) == 1
    left = [".progress_silver.json.2.unfinished", "progress_silver.json"]
    assert sorted(file.name for file in tmp_path.iterdir()) == left


@pytest.mark.parametrize("path", ["../x.json", "a/../../x", "/etc/passwd", ".hidden", "a//b"])
def test_no_path_leads_out_of_the_volume(tmp_path: Path, path: str) -> None:
    with pytest.raises(ParameterRefused):
        OpsVolume(tmp_path).write_json(path, {})


def test_secrets_are_read_by_name_from_files_that_only_their_owner_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRETS_FOLDER, str(tmp_path))
    file = tmp_path / "scope" / "key"
    file.parent.mkdir()
    file.write_text("s3cret\n")
    file.chmod(0o600)
    assert secret("scope/key") == b"s3cret"
    file.chmod(0o640)
    with pytest.raises(SecretMissing, match="others can read") as refusal:
        secret("scope/key")
    assert "s3cret" not in str(refusal.value)
    for name in ("scope/none", "key", "../scope/key", "scope/../../key"):
        with pytest.raises(SecretMissing):
            secret(name)


def test_the_code_version_is_a_hash_that_does_not_change_by_itself() -> None:
    assert len(code_version()) == 64
    first = code_version()
    code_version.cache_clear()
    assert code_version() == first


@pytest.mark.parametrize(
    "changed",
    [
        "spark_jobs/tasks/build.py",
        "spark_jobs/quality/data_docs.html",
        "gx/rules/silver.orders.yml",
        "gx/suites/bronze_rows.json",
    ],
)
def test_the_code_version_is_another_one_for_another_file_of_the_wheel(tmp_path: Path, changed: str) -> None:
    for package in ("gx", "spark_jobs"):
        shutil.copytree(REPO / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))

    def version() -> str:
        program = "from spark_jobs.runtime.code_version import code_version; print(code_version())"
        return subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    before = version()
    with (tmp_path / changed).open("a") as file:
        file.write("\n")
    assert version() != before
