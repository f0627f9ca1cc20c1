"""Files that cannot be replayed: one typed error that names the file, and a landing root as it was."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from feeds.daily_replay import ReplayRefused, replay
from tests.prove.bad_files.corpus import COMPRESSED, HEADER, PLAIN, WHOLE, zipped
from tests.prove.budget import examples

SUFFIXES = {"gzip": "gz", "xz": "xz", "zip": "zip"}
# An Excel workbook is a zip file.
LOOKS = {kind: f"looks like {kind}: unpack it" for kind in COMPRESSED} | {
    "zip": "looks like zip, or an Excel workbook: unpack it"
}
NO_DATES = "\n".join([HEADER, "x", "", "y"]).encode()
ENCRYPTED = zipped(WHOLE).replace(b"\x14\x00\x00\x00", b"\x14\x00\x01\x00")
UNKNOWN_METHOD = ENCRYPTED.replace(b"\x14\x00\x01\x00\x00\x00", b"\x14\x00\x00\x00\x63\x00")


def refusal(data: Path, landing: Path) -> str:
    with pytest.raises(ReplayRefused) as refused:
        replay(data, landing)
    assert str(data) in str(refused.value)
    assert list(landing.iterdir()) == []
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        *((f"{kind}.csv", content, LOOKS[kind]) for kind, content in COMPRESSED.items()),
        *((f"{kind}_cut.csv", content[:-99], LOOKS[kind]) for kind, content in COMPRESSED.items()),
        ("utf16.csv", WHOLE.decode().encode("utf-16"), "looks like UTF-16"),
        ("encrypted.zip", ENCRYPTED, "nothing was delivered"),
        ("unknown_method.zip", UNKNOWN_METHOD, "nothing was delivered"),
        ("twice.zip", zipped(zipped(WHOLE)), "exactly one .csv file"),
        ("long_name.csv", b"x" * 1_000_000, "no column"),
        ("long_quoted_name.csv", b'"' + b"x" * 1_000_000, "no column"),
        ("return_in_a_name.csv", b'"a" \r"b"\n', "no column"),
        ("nul.csv", b"\x00" * 1_000_000, "no column"),
        ("empty.csv", b"", "no column"),
        ("header_only.csv", HEADER.encode(), "no line with a date"),
        ("no_dates.csv", NO_DATES, "no line with a date"),
        ("year_0.csv", WHOLE.replace(b"/2018 22:56", b"/0000 22:56"), "no line with a date"),
        ("february_30.csv", WHOLE.replace(b"1/31/2018", b"2/30/2018"), "no line with a date"),
        ("year_10000.csv", WHOLE.replace(b"1/31/2018", b"1/31/10000"), "no line with a date"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    data = tmp_path / name
    data.write_bytes(content)
    assert words in refusal(data, tmp_path / "landing")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "none")
    for name in ("folder.csv", "dangling.csv", "missing.csv", "folder.csv/x.csv"):
        refusal(tmp_path / name, tmp_path / "landing")


@pytest.mark.timed
@pytest.mark.parametrize("kind", SUFFIXES)
def test_damage_anywhere_is_refused_or_harmless(tmp_path: Path, kind: str) -> None:
    """Cut anywhere, a file is refused; with a bit changed, it is refused or, where the format does not care, whole."""
    rng = random.Random(kind)
    whole, data, landing = COMPRESSED[kind], tmp_path / f"data.{SUFFIXES[kind]}", tmp_path / "landing"
    for number in range(examples(150, seconds=2)):
        damaged = bytearray(whole)
        if number % 3 == 0:
            del damaged[rng.randrange(len(whole) - 1) :]
        else:
            damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        data.write_bytes(damaged)
        if number % 3 == 0:
            refusal(data, landing)
            continue
        try:
            result = replay(data, landing)
        except ReplayRefused:
            assert list(landing.iterdir()) == []
        else:
            assert result.lines == len(PLAIN)
            assert (landing / "dt=2018-01-31" / "orders.csv").read_bytes() == WHOLE
            for path in (landing / "dt=2018-01-31" / "orders.csv", landing / "dt=2018-01-31"):
                path.unlink() if path.is_file() else path.rmdir()
