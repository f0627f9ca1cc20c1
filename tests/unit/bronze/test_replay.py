"""A replay delivers every line to its day, with its bytes unchanged."""

from __future__ import annotations

import gzip
import json
import lzma
import zipfile
from datetime import date
from pathlib import Path

import pytest

from feeds.daily_replay import ReplayRefused, main, replay

HEADER = b"Order Id,order date (DateOrders),Note\r\n"
LINES = [
    b"1,1/31/2018 22:56,\xe1\r\n",
    b"2,02-01-2018 10:00,month first too\n",
    b'3,2/1/2018 0:00,"a quoted\r\nline 1/5/2018, with ""break"""\r\n',
    b'4,"1/31/2018 1:00",last\r\n',
]


def days(landing: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(landing.glob("*/orders.csv"))}


@pytest.mark.parametrize("kind", ["csv", "xz", "gz", "zip"])
def test_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    content = HEADER + b"".join(LINES)
    data = tmp_path / f"data.{kind}"
    match kind:
        case "csv":
            data.write_bytes(content)
        case "xz":
            data.write_bytes(lzma.compress(content))
        case "gz":
            data.write_bytes(gzip.compress(content))
        case "zip":
            with zipfile.ZipFile(data, "w") as archive:
                archive.writestr("logs.csv", "a,b\n")
                archive.writestr("orders/data.csv", content)
    result = replay(data, tmp_path / "landing", manifest=True)
    assert (result.days, result.lines, result.undated) == (2, 5, 0)
    assert (result.first, result.last) == (date(2018, 1, 31), date(2018, 2, 1))
    assert days(tmp_path / "landing") == {
        "dt=2018-01-31": HEADER + LINES[0] + LINES[3],
        "dt=2018-02-01": HEADER + LINES[1] + LINES[2],
    }
    manifest = json.loads((tmp_path / "landing/dt=2018-02-01/_manifest.json").read_text())
    assert manifest == {"files": {"orders.csv": 3}}
    assert sorted(path.name for path in (tmp_path / "landing").iterdir()) == ["dt=2018-01-31", "dt=2018-02-01"]


def test_a_day_that_has_landed_is_not_withdrawn_by_a_file_without_orders_of_it(tmp_path: Path) -> None:
    landing, data = tmp_path / "landing", tmp_path / "data.csv"
    for lines in (b"1,1/30/2018 1:00,\n", b"2,1/28/2018 1:00,\n3,1/31/2018 1:00,\n"):
        data.write_bytes(HEADER + lines)
        replay(data, landing)
    counts = {name: content.count(b"\n") - 1 for name, content in days(landing).items()}
    assert counts == {"dt=2018-01-28": 1, "dt=2018-01-29": 0, "dt=2018-01-30": 1, "dt=2018-01-31": 1}
    data.write_bytes(HEADER + b"1,1/30/2018 1:00,\n2,1/31/2071 1:00,\n")
    replay(data, tmp_path / "other")
    assert list(days(tmp_path / "other")) == ["dt=2018-01-30", "dt=2071-01-31"], "one of the dates is wrong"


def test_no_line_is_lost(tmp_path: Path) -> None:
    lines = [b"0,never,first\r\n", b"\r\n", *LINES[:2], b"x\r\n", b'5,"1/31/2018,open\r\n', b"6,1/31/2018 1:00,no end"]
    data = tmp_path / "data.csv"
    data.write_bytes(HEADER + b"".join(lines))
    result = replay(data, tmp_path / "landing", budget=1)
    assert (result.lines, result.undated) == (6, 2)
    assert days(tmp_path / "landing") == {
        "dt=2018-01-31": HEADER + lines[0] + lines[2] + lines[5] + lines[6],
        "dt=2018-02-01": HEADER + lines[3] + lines[4],
    }


def test_records_of_null_words_hold_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_bytes(HEADER + LINES[0] + b'NULL,,"nan"\r\nNone,None,None\r\n')
    result = replay(data, tmp_path / "default", manifest=True)
    assert (result.lines, result.blank, result.undated) == (2, 1, 1)
    assert main(["--data", str(data), "--landing", str(tmp_path / "set"), "--null-words=None"]) == 0
    assert days(tmp_path / "set") == {"dt=2018-01-31": HEADER + LINES[0] + b'NULL,,"nan"\r\n'}


def test_a_day_is_replaced_and_others_stay(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    for name in ("dt=2018-01-31", "dt=2018-01-30"):
        (landing / name).mkdir(parents=True)
        (landing / name / "old.csv").write_bytes(b"")
    data = tmp_path / "data.csv"
    data.write_bytes(HEADER + LINES[0])
    replay(data, landing)
    assert sorted(str(path.relative_to(landing)) for path in landing.glob("*/*")) == [
        "dt=2018-01-30/old.csv",
        "dt=2018-01-31/orders.csv",
    ]


def test_line_ends_across_chunks(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_bytes(HEADER.replace(b"\r\n", b"\r") + LINES[0] + LINES[3].replace(b"\r\n", b"\r") + LINES[1])
    assert replay(data, tmp_path / "landing", chunk=1).lines == 3
    assert days(tmp_path / "landing")["dt=2018-01-31"].count(b"\r\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.xz", lzma.compress(HEADER + b"".join(LINES) * 1000)[:-30], "is damaged"),
        ("cut.gz", gzip.compress(HEADER + b"".join(LINES), mtime=0)[:-12], "is damaged"),
        ("no.xz", b"not packed", "is damaged"),
        ("no.zip", b"not packed", "is damaged"),
        ("other.csv", b"a,b\r\n1,2\r\n", "no column 'order date"),
        ("undated.csv", HEADER + b"1,2,3\r\n", "no line with a date"),
        ("empty.csv", b"", "no column"),
    ],
)
def test_refusals_leave_nothing(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    data = tmp_path / name
    data.write_bytes(content)
    with pytest.raises(ReplayRefused, match=message):
        replay(data, tmp_path / "landing")
    assert list((tmp_path / "landing").iterdir()) == []


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.csv"
    data.write_bytes(HEADER + b"".join(LINES))
    assert main(["--data", str(data), "--landing", str(tmp_path / "landing")]) == 0
    assert "replayed 5 lines into 2 days, 2018-01-31 to 2018-02-01" in capsys.readouterr().out
    assert main(["--data", str(tmp_path / "none.csv"), "--landing", str(tmp_path / "landing")]) == 1
    assert "none.csv" in capsys.readouterr().err
