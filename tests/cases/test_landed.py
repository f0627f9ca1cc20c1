"""What has landed, and what has not: not landed is not empty."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from include.check_landing import CheckLanding
from include.failures import LandingIncomplete
from spark_jobs.runtime.errors import LandingChanged, NothingLanded
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.landing import check_unchanged, landed_files
from spark_jobs.storage.verdicts import Verdict
from spark_jobs.tables.source import SOURCE_NAMES
from tests.dags.tiny_workspace import LANDING, TinyWorkspace
from tests.spark.publishing.lakehouse import Lakehouse, order_item

HEADER = (",".join(SOURCE_NAMES) + "\r\n").encode()
ROWS = HEADER + b"x" * 40 + b"\r\n"
FIRST = Interval(date(2018, 1, 2), date(2018, 1, 3))
BY_NAME, BY_CONTENT = "only unfinished or hidden names", "only files without a header"

# Case, what the folder of 2018-01-02 holds (None: a folder), the words about it ("": it has landed).
FOLDERS: list[tuple[str, dict[str, bytes | None] | None, str]] = [
    ("no folder", None, "folder"),
    ("nothing", {}, "its folder is empty"),
    ("header only", {"orders.csv": HEADER}, ""),
    ("header without line end", {"orders.csv": HEADER.strip()}, ""),
    ("finished", {"orders.csv": ROWS}, ""),
    ("zero bytes", {"orders.csv": b""}, "only empty files ('orders.csv')"),
    ("zero bytes, twice", {"a.csv": b"", "b.csv": b""}, "only empty files ('a.csv', 'b.csv')"),
    ("_SUCCESS", {"_SUCCESS": b""}, BY_NAME),
    ("a manifest alone", {"_manifest.json": b'{"files": {"orders.csv": 3}}'}, BY_NAME),
    ("Spark's _temporary", {"_temporary": None, "_started_17": b""}, BY_NAME),
    ("rsync", {".orders.csv.Xa81sd": ROWS}, BY_NAME),
    ("rsync --partial-dir", {".rsync-partial": None}, BY_NAME),
    ("vim", {".orders.csv.swp": b"b0VIM"}, BY_NAME),
    ("emacs", {"#orders.csv#": ROWS, ".#orders.csv": b""}, BY_NAME),
    ("an editor's backup", {"orders.csv~": ROWS, "orders.csv.bak": ROWS}, BY_NAME),
    ("NFS, removed while open", {".nfs000000000a1b2c3d00000001": ROWS}, BY_NAME),
    ("GLib", {".goutputstream-8TX2Z1": ROWS}, BY_NAME),
    ("macOS on a foreign disk", {"._orders.csv": b"\0\x05\x16\x07", ".DS_Store": b"\0"}, BY_NAME),
    ("LibreOffice has it open", {".~lock.orders.csv#": b",me,"}, BY_NAME),
    ("Office has it open", {"~$orders.csv": b"me"}, BY_NAME),
    ("lftp", {".in.orders.csv": ROWS}, BY_NAME),
    ("an upload form", {".upload-1f0c": ROWS}, BY_NAME),
    ("Firefox", {"orders.csv": b"", "orders.csv.part": ROWS}, "and empty files ('orders.csv')"),
    ("Chrome", {"Unconfirmed 302155.crdownload": ROWS}, BY_NAME),
    ("Safari", {"orders.csv.download": None}, BY_NAME),
    ("WinSCP", {"orders.csv.filepart": ROWS}, BY_NAME),
    ("rclone", {"orders.csv.f8d1a2b3.partial": ROWS}, BY_NAME),
    ("MinIO", {"orders.csv.part.minio": ROWS}, BY_NAME),
    ("aws s3 cp", {"orders.csv.6EbC6e9D": ROWS}, BY_NAME),
    ("gsutil", {"orders.csv_.gstmp": ROWS}, BY_NAME),
    ("hdfs dfs -put", {"orders.csv._COPYING_": ROWS}, BY_NAME),
    ("write, then rename", {"orders.csv.tmp": ROWS}, BY_NAME),
    ("write, then rename, with a number", {"orders.csv.tmp-4711": ROWS}, BY_NAME),
    ("write, then rename, as .tmp.csv", {"orders.tmp.csv": ROWS, "more.uploading.csv": ROWS}, BY_NAME),
    ("write, then rename, as .upload", {"orders.csv.upload": ROWS, "more.csv_uploading": ROWS}, BY_NAME),
    ("write, then rename, as .in_transit", {"orders.csv.in_transit": ROWS}, BY_NAME),
    # As in github.com/duckdb/duckdb/pull/10459, and as in later versions.
    ("DuckDB", {"tmp_orders.csv": ROWS, "orders_tmp.csv": ROWS}, BY_NAME),
    # As in github.com/microsoft/WSL/issues/7456.
    ("WSL", {"orders.csv:Zone.Identifier": b"[ZoneTransfer]"}, BY_NAME),
    ("capitals", {"ORDERS.CSV.FILEPART": ROWS}, BY_NAME),
    ("Syncthing", {"~syncthing~orders.csv.tmp": ROWS}, BY_NAME),
    ("finished beside unfinished", {"orders.csv": ROWS, ".orders2.csv.Xa81sd": ROWS}, ""),
    ("finished beside where Windows got it from", {"orders.csv": ROWS, "orders.csv:Zone.Identifier": b""}, ""),
    ("finished beside empty", {"orders.csv": ROWS, "more.csv": b""}, ""),
    ("a part of Spark's", {"part-00000-6f1c.csv": ROWS, "_SUCCESS": b""}, ""),
]
# Only who reads a file sees these.
CONTENTS: list[tuple[str, dict[str, bytes | None], str]] = [
    ("blank lines only", {"orders.csv": b"\r\n \t\r\n"}, BY_CONTENT),
    ("a byte order mark only", {"orders.csv": b"\xef\xbb\xbf"}, BY_CONTENT),
]


def fill(landing: Path, holds: dict[str, bytes | None] | None) -> Path:
    if holds is not None:
        folder = landing / "dt=2018-01-02"
        folder.mkdir(parents=True)
        for name, content in holds.items():
            (folder / name).mkdir() if content is None else (folder / name).write_bytes(content)
    return landing


@pytest.mark.parametrize(("holds", "why"), [pytest.param(*case[1:], id=case[0]) for case in [*FOLDERS, *CONTENTS]])
def test_the_build_knows_what_has_not_landed(tmp_path: Path, holds: dict[str, bytes | None] | None, why: str) -> None:
    fill(tmp_path, holds)
    landing = landed_files(tmp_path, FIRST, allow_missing=True)
    assert list(landing.missing) == ([FIRST.start] if why else [])
    if why:
        with pytest.raises(NothingLanded) as refused:
            landed_files(tmp_path, FIRST)
        assert "2018-01-02: it" in str(refused.value)
        assert why in str(refused.value)
    beside = sorted(name for name in holds or {} if name.startswith(".orders2") or not (holds or {})[name])
    named = {note.removeprefix("dt=2018-01-02/").partition(" ")[0] for note in landing.notes if "cut off" not in note}
    assert why or named == set(beside) - {"_SUCCESS"}, "what stands beside a finished file is named"


@pytest.mark.parametrize(("holds", "why"), [pytest.param(*case[1:], id=case[0]) for case in FOLDERS])
def test_airflow_waits_for_the_same(workspace: TinyWorkspace, holds: dict[str, bytes | None] | None, why: str) -> None:
    workspace.folders[LANDING] = ["dt=2018-01-01"] + (["dt=2018-01-02"] if holds is not None else [])
    workspace.folders[f"{LANDING}/dt=2018-01-02"] = list(holds or {})
    workspace.files |= {f"{LANDING}/dt=2018-01-02/{name}": content or b"" for name, content in (holds or {}).items()}
    check = CheckLanding(task_id="check_landing")
    run = SimpleNamespace(
        data_interval_start=datetime(2018, 1, 1, tzinfo=UTC),
        data_interval_end=datetime(2018, 1, 3, tzinfo=UTC),
        logical_date=None,
        run_type="manual",
    )
    if why:
        with pytest.raises(LandingIncomplete, match="1 of 2 landing dates") as waits:
            check.execute({"dag_run": run})
        assert "2018-01-02" in str(waits.value)
        assert why in str(waits.value)
    else:
        assert check.execute({"dag_run": run})["landed"] == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dt=2018-1-2", "'dt=2018-1-2' should be 'dt=2018-01-02'"),
        ("dt=20180102", "'dt=20180102' should be 'dt=2018-01-02'"),
        ("DT=2018-01-02", "'DT=2018-01-02' should be 'dt=2018-01-02'"),
        ("2018-01-02", "'2018-01-02' should be 'dt=2018-01-02'"),
        ("dt=2018_01_02", "'dt=2018_01_02' should be 'dt=2018-01-02'"),
        ("dt=2018-01-02 ", "'dt=2018-01-02 ' should be 'dt=2018-01-02'"),
        ("dt%3D2018-01-02", "'dt%3D2018-01-02' should be 'dt=2018-01-02'"),
        ("date=2018-01-02", "'date=2018-01-02' should be 'dt=2018-01-02'"),
        ("dt=2018-01-02T00_00_00Z", "'dt=2018-01-02T00_00_00Z' should be 'dt=2018-01-02'"),
        ("02.01.2018", "'02.01.2018' should be 'dt=2018-01-02'"),
        ("dt=01-02-2018", "'dt=01-02-2018' should be 'dt=2018-01-02'"),
        ("orders_2018-01-02.csv", "'orders_2018-01-02.csv' should be 'dt=2018-01-02'"),
        ("dt=2018-01-02_uploading", "'dt=2018-01-02_uploading' seems unfinished"),
        ("year=2018", "'year=2018' is a folder of a year"),
        ("dt=2018-01-03", ""),
        ("dt=201801", ""),
        ("orders", ""),
        (".dt=2018-1-2", ""),
    ],
)
def test_a_near_miss_is_named(tmp_path: Path, workspace: TinyWorkspace, name: str, words: str) -> None:
    (tmp_path / name).mkdir()
    workspace.folders[LANDING] = [name]
    run = SimpleNamespace(
        data_interval_start=None, data_interval_end=None, logical_date=datetime(2018, 1, 2, tzinfo=UTC)
    )
    with pytest.raises(NothingLanded) as refused:
        landed_files(tmp_path, FIRST)
    with pytest.raises(LandingIncomplete) as waits:
        CheckLanding(task_id="check_landing").execute({"dag_run": run})
    for message in (str(refused.value), str(waits.value)):
        assert words in message
        assert words or repr(name) not in message


@contextmanager
def written_on(path: Path, every: float, seconds: float = 600) -> Iterator[None]:
    """Write blank lines to a file again and again, for some time, as a slow delivery does."""
    done, end = threading.Event(), time.monotonic() + seconds

    def write() -> None:
        while not done.wait(every) and time.monotonic() < end:
            with path.open("ab") as file:
                file.write(b"\r\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = fill(tmp_path, {"orders.csv": HEADER + b"x,y\r\n" * 100_000}) / "dt=2018-01-02" / "orders.csv"
    with written_on(path, 0.002), pytest.raises(LandingChanged, match=r"dt=2018-01-02/orders\.csv"):
        landed_files(tmp_path, FIRST)
    with written_on(path, 0.002, seconds=0.3):  # the second reading begins a second after the first one
        landing = landed_files(tmp_path, FIRST)
    assert landing.lines == 100_000
    path.write_bytes(ROWS + b"y\r\n")
    with pytest.raises(LandingChanged, match="changed while they were read"):
        check_unchanged(tmp_path, landing.files)


@pytest.mark.parametrize(
    ("content", "is_cut_off"),
    [
        (HEADER + b",".join([b"x"] * 53), False),
        (HEADER + b",".join([b"x"] * 53) + b"\r\n", False),
        (HEADER + b",".join([b"x"] * 53) + b"\r\nx,y,z", True),
        (HEADER + b"x,y,z\r\n", False),
        (HEADER.strip(), False),
        (HEADER + b",".join([b"x"] * 53) + b"\r\n\x1a", False),
        (HEADER + b",".join([b"x"] * 53) + b"\r\n,,", False),
    ],
)
def test_a_file_that_ends_within_a_record_is_noted(tmp_path: Path, content: bytes, is_cut_off: bool) -> None:
    landing = landed_files(fill(tmp_path, {"orders.csv": content}), FIRST)
    assert landing.notes == (("dt=2018-01-02/orders.csv ends within a record: was it cut off?",) if is_cut_off else ())


def test_a_file_whose_time_is_set_after_it_was_read_is_read_again(tmp_path: Path) -> None:
    landing = landed_files(fill(tmp_path, {"orders.csv": ROWS}), FIRST)
    os.utime(tmp_path / "dt=2018-01-02" / "orders.csv", (1, 1))
    with pytest.raises(LandingChanged):
        check_unchanged(tmp_path, landing.files)


# Landing date of January 2018: how many lines are published, what lands then (None: nothing, else file -> lines), how
# many are published after it, and what the gate says.
AGAIN: dict[int, tuple[int, dict[str, int | bytes] | None, int, str]] = {
    1: (20, {".orders.csv.Xa81sd": 20}, 20, "only unfinished or hidden names ('.orders.csv.Xa81sd')"),
    2: (4, {}, 4, "its folder is empty"),
    3: (4, {"orders.csv": b""}, 4, "only empty files ('orders.csv')"),
    4: (4, {"orders.csv": b"\r\n"}, 4, "only files without a header ('orders.csv')"),
    5: (4, {"_SUCCESS": b"", "_temporary": b""}, 4, "only unfinished or hidden names"),
    6: (4, None, 4, "it has no folder"),
    7: (4, {"orders.csv": 0}, 0, "landed 0, valid 0, quarantined 0, published 4"),
    8: (10, {"orders.csv": 4}, 4, "landed 4, valid 4, quarantined 0, published 10"),
    9: (10, {"orders.csv": 5}, 5, ""),
    10: (4, {"Bestellungen März.csv": 4, "bestellungen ma\u0308rz.csv": 1}, 5, ""),
    11: (0, {"orders.csv": 3}, 3, ""),
}


def day_of(number: int) -> str:
    return f"2018-01-{number:02}"


def land(lakehouse: Lakehouse, number: int, files: dict[str, int | bytes] | None) -> None:
    lakehouse.deliver(day_of(number), {})
    folder, item = lakehouse.landing / f"dt={day_of(number)}", 100 * number
    for name, content in (files or {}).items():
        lines = content if isinstance(content, int) else 0
        rows = [order_item(item + n, day=number) for n in range(lines)]
        text = "\r\n".join([",".join(SOURCE_NAMES), *(",".join(row[c] for c in SOURCE_NAMES) for row in rows), ""])
        (folder / name).write_bytes(text.encode("windows-1252") if isinstance(content, int) else content)
        item += lines
    if files is None:
        folder.rmdir()


@pytest.fixture(scope="module")
def again(new_lakehouse: Callable[[], Lakehouse]) -> tuple[Lakehouse, Verdict, Verdict]:
    """The lakehouse after all of AGAIN, the verdict on it, and the one where fewer lines are critical."""
    lakehouse = new_lakehouse()
    interval = (day_of(1), day_of(12))
    for number, (lines, _, _, _) in AGAIN.items():
        land(lakehouse, number, {"orders.csv": lines})
    lakehouse.run(*interval, layers=("bronze",))
    for number, (_, files, _, _) in AGAIN.items():
        land(lakehouse, number, files)
    with pytest.raises(NothingLanded, match="2018-01-06: it has no folder"):
        lakehouse.build("bronze", *interval)
    limits = {"allow_missing_dates": "true", "fewer_lines_critical_percent": "50"}
    strict = lakehouse.audit(lakehouse.build("bronze", *interval, **limits))
    build = lakehouse.build("bronze", *interval, allow_missing_dates="true")
    verdict = lakehouse.audit(build)
    assert verdict.success, verdict.lines()
    lakehouse.publish(build, verdict.fingerprint)
    return lakehouse, verdict, strict


def test_what_lands_again_withdraws_only_what_it_replaces(again: tuple[Lakehouse, Verdict, Verdict]) -> None:
    lakehouse, verdict, _ = again
    rows = lakehouse.published("bronze.order_items").groupBy("landing_date").count().collect()
    published = {row["landing_date"].day: row["count"] for row in rows}
    assert published == {number: after for number, (_, _, after, _) in AGAIN.items() if after}
    messages = {
        str(warning.landing_date): warning.message
        for warning in verdict.warnings
        if warning.table.endswith("landed_files")  # not about the dates of orders
    }
    assert sorted(messages) == [day_of(number) for number, (_, _, _, words) in AGAIN.items() if words]
    for number, (_, _, _, words) in AGAIN.items():
        assert words in messages.get(day_of(number), "")


def test_far_fewer_lines_are_critical_by_a_setting(again: tuple[Lakehouse, Verdict, Verdict]) -> None:
    _, _, strict = again
    assert not strict.success
    assert {(failure.rule, failure.landing_date) for failure in strict.failures} == {
        ("a_date_lands_again_with_enough_lines", day_of(7)),
        ("a_date_lands_again_with_enough_lines", day_of(8)),
    }


def test_a_file_that_changes_before_it_is_staged_is_not_judged(lakehouse: Lakehouse) -> None:
    land(lakehouse, 1, {"orders.csv": 3})
    orders = lakehouse.landing / "dt=2018-01-01" / "orders.csv"
    with written_on(orders, 0.05), pytest.raises(LandingChanged, match="changed while they were read"):
        lakehouse.build("bronze")
    build = lakehouse.build("bronze")
    assert lakehouse.audit(build).success
    assert build.rows["landed"] == 3
