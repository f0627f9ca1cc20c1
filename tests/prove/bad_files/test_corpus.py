"""Bad files through a real build of bronze: quarantined lines with their reasons, or a refusal before any write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from spark_jobs.runtime.errors import HeaderRefused, LandingRefused, ManifestMismatch
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.landing import landed_files
from spark_jobs.storage.staging import staged_rows
from tests.prove.bad_files.corpus import JUDGED, JUDGED_UTF8, REFUSED, WHOLE, Judged, Refused
from tests.prove.bad_files.days import DAY, bronze, by_file, deliver
from tests.prove.bad_files.judgement import differences, judge_file, physical_lines
from tests.spark.bronze.conftest import DAYS_AHEAD, KEY

START, END = DAY, "2018-01-02"
INTERVAL = Interval.parse(START, END)


def test_a_build_takes_every_line_or_quarantines_it_with_its_reasons(new_lakehouse: Callable[[], Any]) -> None:
    lakehouse = new_lakehouse()
    deliver(lakehouse.landing, {file.name: file.content for file in JUDGED})
    build = lakehouse.build("bronze", START, END, max_order_days_ahead=str(DAYS_AHEAD))
    lines = lakehouse.staging_root / Path(build.staged["bronze.order_items"].folder).parent
    rows = by_file(lakehouse.spark.read.parquet(str(lines)).collect())
    check(rows, JUDGED, "windows-1252", b"a key for tests")
    counted = staged_rows(lakehouse.jobs, "bronze.landed_files", build.staged["bronze.landed_files"]).collect()
    assert {row.source_file: row.landed_lines for row in counted} == {
        f"dt={START}/{file.name}": len(file.reasons) for file in JUDGED
    }
    assert build.rows["landed"] == build.rows["valid"] + build.rows["quarantined"]


def test_files_in_utf_8(spark: Any, tmp_path: Path) -> None:
    rows = bronze(spark, tmp_path, {file.name: file.content for file in JUDGED_UTF8}, "utf-8")
    check(rows, JUDGED_UTF8, "utf-8", KEY)


def check(rows: dict[str, list[Any]], files: list[Judged], encoding: str, key: bytes) -> None:
    """landed = valid + quarantined in every file, and every row is what its line should become."""
    wrong = []
    for file in files:
        found, landed = rows.pop(file.name, []), max(len(physical_lines(file.content, encoding)) - 1, 0)
        assert landed == len(found) == len(file.reasons), file.name
        wrong += [f"{file.name}: {text}" for text in differences(found, judge_file(file.content, key, encoding))]
    assert not wrong, "\n".join(wrong)
    assert not rows
    print(f"\n{encoding}: {len(files)} files, {sum(len(file.reasons) for file in files)} lines")


@pytest.mark.parametrize("case", REFUSED, ids=[case.name.strip() for case in REFUSED])
def test_a_bad_file_is_refused_by_name(tmp_path: Path, case: Refused) -> None:
    folder = tmp_path / f"dt={START}"
    folder.mkdir()
    if not case.is_alone:
        (folder / "good.csv").write_bytes(WHOLE)
    case.deliver(folder)
    with pytest.raises(case.error) as refused:
        landed_files(tmp_path, INTERVAL)
    message = str(refused.value)
    assert f"dt={START}" in message
    assert [word for word in case.words if word not in message] == [], message
    assert len(message) < 5_000
    assert "hunter2" not in message
    assert "@" not in message
    assert message.replace("\n", "").isprintable()


def test_nothing_is_written_before_a_refusal(new_lakehouse: Callable[[], Any]) -> None:
    lakehouse = new_lakehouse()
    deliver(lakehouse.landing, {"good.csv": WHOLE, "bad.csv": b"\x1f\x8b"})
    schemas = lakehouse.spark.sql("SHOW SCHEMAS").collect()
    with pytest.raises(HeaderRefused, match=r"bad\.csv"):
        lakehouse.build("bronze", START, END)
    assert lakehouse.spark.sql("SHOW SCHEMAS").collect() == schemas
    assert lakehouse.staging() == []
    assert not Path(lakehouse.ops.root).exists()


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A landing root with a file and a manifest, outside of pytest's folders, which are root's alone."""
    with TemporaryDirectory(dir="/tmp") as name:
        root = Path(name)
        folder = root / f"dt={START}"
        folder.mkdir()
        (folder / "a.csv").write_bytes(WHOLE)
        (folder / "_manifest.json").write_text('{"files": {"a.csv": 4}}')
        modes = {root: 0o755, folder: 0o755, folder / "a.csv": 0o644, folder / "_manifest.json": 0o644}
        for path, mode in modes.items():  # whatever the umask is
            path.chmod(mode)
        user = os.geteuid()
        yield root
        os.seteuid(user)
        for path in (root, folder):
            path.chmod(0o755)


@pytest.mark.parametrize(
    ("entry", "mode", "error"),
    [
        ("", 0o000, LandingRefused),
        (f"dt={START}", 0o000, LandingRefused),
        (f"dt={START}", 0o444, LandingRefused),
        (f"dt={START}", 0o111, LandingRefused),
        (f"dt={START}/a.csv", 0o000, LandingRefused),
        (f"dt={START}/_manifest.json", 0o000, ManifestMismatch),
    ],
)
def test_what_may_not_be_read_is_named(forbidden: Path, entry: str, mode: int, error: type[LandingRefused]) -> None:
    assert landed_files(forbidden, INTERVAL).lines == 4
    (forbidden / entry).chmod(mode)
    if os.geteuid() == 0:
        os.seteuid(65_534)  # root reads everything
    with pytest.raises(error, match="cannot be read") as refused:
        landed_files(forbidden, INTERVAL)
    assert (entry or str(forbidden)) in str(refused.value)
