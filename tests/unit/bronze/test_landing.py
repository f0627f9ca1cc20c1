"""What has landed, and what is refused."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from spark_jobs.layers.bronze.bronze_tables import ORDER_ITEMS
from spark_jobs.runtime.errors import HeaderRefused, LandingRefused, ManifestMismatch, NothingLanded
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage.landing import Landing, landed_files
from spark_jobs.tables.source import COLUMNS, NAMES, SOURCE_NAMES

HEADER = ",".join(SOURCE_NAMES).encode()
ROW = b",".join(b"x" for _ in SOURCE_NAMES)
THREE_DAYS = Interval(date(2018, 1, 1), date(2018, 1, 4))


def land(root: Path, files: dict[str, bytes], *, interval: Interval = THREE_DAYS) -> Landing:
    for day in interval.dates():
        (root / f"dt={day}").mkdir(exist_ok=True)
        if not any(name.startswith(f"dt={day}/") and content for name, content in files.items()):
            (root / f"dt={day}" / "no_orders.csv").write_bytes(HEADER)
    for name, content in files.items():
        (root / name).write_bytes(content)
    return landed_files(root, interval)


def test_the_columns_and_their_names() -> None:
    assert len(COLUMNS) == 53
    assert len(ORDER_ITEMS.schema) == 61
    assert {"days_for_shipping_real", "order_date_dateorders", "late_delivery_risk"} <= set(NAMES)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", 0),
        (HEADER, 0),
        (b"\xef\xbb\xbf" + HEADER + b"\r\n", 0),
        (b"\n \t\r\n" + HEADER + b"\n" + ROW, 1),
        (HEADER + b"\r" + ROW + b"\r" + ROW + b"\r", 2),
        (HEADER + b"\r\n" + ROW + b"\r\n\r\n \t\r\n" + ROW, 2),
        (HEADER + b"\n" + (ROW + b"\r\n") * 30_000, 30_000),  # longer than one chunk
        (HEADER + b"\n" + b"x" * 3_000_000 + b"\n" + b"y", 2),
    ],
)
def test_landed_lines_are_counted_from_the_file(tmp_path: Path, content: bytes, lines: int) -> None:
    (file,) = [file for file in land(tmp_path, {"dt=2018-01-02/a.csv": content}).files if file.path.endswith("a.csv")]
    assert (file.path, file.landing_date, file.lines) == ("dt=2018-01-02/a.csv", date(2018, 1, 2), lines)
    assert file.headers == ((HEADER,) if content else ())


def test_missing_dates_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "dt=2018-01-02").mkdir()
    (tmp_path / "dt=2018-01-02" / "a.csv").write_bytes(HEADER)
    with pytest.raises(NothingLanded, match="2018-01-01, 2018-01-03: it has no folder"):
        landed_files(tmp_path, THREE_DAYS)
    landing = landed_files(tmp_path, THREE_DAYS, allow_missing=True)
    assert landing.missing == dict.fromkeys((date(2018, 1, 1), date(2018, 1, 3)), "it has no folder")
    assert (landing.dates, landing.lines) == ((date(2018, 1, 2),), 0)


def test_other_entries_are_refused_by_name(tmp_path: Path) -> None:
    for day in THREE_DAYS.dates():
        (tmp_path / f"dt={day}").mkdir()
        (tmp_path / f"dt={day}" / "a.csv").write_bytes(HEADER)
    (tmp_path / "dt=2018-01-01" / "folder.csv").mkdir()
    for name in ("a.csv.gz", "b.CSV", "c:d.csv", ".hidden", "_also_hidden.txt"):
        (tmp_path / "dt=2018-01-02" / name).write_bytes(b"x")
    (tmp_path / "dt=2018-01-03" / "dangling.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(LandingRefused) as refused:
        landed_files(tmp_path, THREE_DAYS)
    for name in ("folder.csv", "a.csv.gz", "b.CSV", "c:d.csv", "dangling.csv"):
        assert name in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_reordered_columns_are_found(tmp_path: Path) -> None:
    header = ",".join(f'"{name.upper()} "' for name in reversed(SOURCE_NAMES)).encode()
    file = land(tmp_path, {"dt=2018-01-01/a.csv": header}).files[0]
    assert file.positions == tuple(reversed(range(53)))


def test_wrong_headers_are_all_named_with_their_differences(tmp_path: Path) -> None:
    with pytest.raises(HeaderRefused) as refused:
        land(
            tmp_path,
            {
                "dt=2018-01-01/good.csv": HEADER,
                "dt=2018-01-01/renamed.csv": HEADER.replace(b"Order Id", b"OrderId"),
                "dt=2018-01-02/missing.csv": HEADER.replace(b"Market,", b""),
                "dt=2018-01-02/extra.csv": HEADER + b",Extra",
                "dt=2018-01-03/twice.csv": HEADER + b",market",
                "dt=2018-01-03/data.csv": b"bob@example.com,hunter2",
                "dt=2018-01-03/quote.csv": b'"' + HEADER,
            },
        )
    text = str(refused.value)
    assert "good.csv" not in text
    assert "dt=2018-01-01/renamed.csv: missing 'Order Id'; unexpected 'OrderId'" in text
    assert "dt=2018-01-02/missing.csv: missing 'Market'" in text
    assert "dt=2018-01-02/extra.csv: unexpected 'Extra'" in text
    assert "dt=2018-01-03/twice.csv: more than once 'Market'" in text
    assert "dt=2018-01-03/data.csv: its first line is no header" in text
    assert "dt=2018-01-03/quote.csv: the header cannot be read" in text
    assert "bob@" not in text
    assert "hunter2" not in text


def test_manifests_are_checked(tmp_path: Path) -> None:
    good = HEADER + b"\n" + ROW
    manifest = {"files": {"a.csv": 1, "b.csv": 2, "gone.csv": 3}}
    files = {f"dt=2018-01-01/{name}.csv": good for name in "abc"}
    with pytest.raises(ManifestMismatch) as refused:
        land(tmp_path, files | {"dt=2018-01-01/_manifest.json": json.dumps(manifest).encode()})
    for part in ("'gone.csv' is missing", "'c.csv' is not in the manifest", "'b.csv' has 1 lines instead of 2"):
        assert part in str(refused.value)
    with pytest.raises(ManifestMismatch, match="cannot be read"):
        land(tmp_path, {"dt=2018-01-01/_manifest.json": b"[1]"})
    manifest = {"files": {"a.csv": 1, "b.csv": 1, "c.csv": 1}}
    assert land(tmp_path, {"dt=2018-01-01/_manifest.json": json.dumps(manifest).encode()}).lines == 3
