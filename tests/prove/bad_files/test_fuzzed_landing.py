"""Whole files and manifests broken at random: a typed refusal that shows no secret, or the right number of lines."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from spark_jobs.runtime.errors import LandingRefused, ManifestMismatch
from spark_jobs.runtime.interval import Interval
from spark_jobs.storage import landing
from spark_jobs.tables.source import SOURCE_NAMES, SourceFormat
from tests.prove.bad_files.corpus import HEADER, WHOLE
from tests.prove.bad_files.days import DAY, deliver
from tests.prove.bad_files.judgement import physical_lines
from tests.prove.bad_files.mutations import SPECIAL, STRAIGHT
from tests.prove.budget import examples

INTERVAL = Interval.parse(DAY, "2018-01-02")
MANIFEST = b'{"files": {"a.csv": 4}}'


@pytest.mark.timed
@pytest.mark.parametrize("encoding", ["windows-1252", "utf-8"])
def test_a_broken_file_is_counted_or_refused(tmp_path: Path, encoding: str) -> None:
    rng = random.Random(encoding)
    deliver(tmp_path, {"a.csv": b""})
    file = tmp_path / f"dt={DAY}" / "a.csv"
    loaded = 0
    for _ in range(number := examples(1500, seconds=3)):
        chunk = rng.choice((1, 7, 64, 1 << 20))
        start = HEADER.encode()
        if rng.random() < 0.7:
            start = rng.choice(STRAIGHT)(rng, start, WHOLE)
        ends = rng.choices((b"\n", b"\r", b"\r\n", b"\n \t\r", b"\x00", b"\xef\xbb\xbf\n", b""), k=4)
        parts = [rng.choice((b"", b" \t", b"x", rng.choice(SPECIAL), WHOLE[-40:])) for _ in ends]
        content = rng.choice((b"", b"\xef\xbb\xbf", b" \r\n", rng.choice(SPECIAL))) + start
        content += rng.choice(ends) + b"".join(part + end for part, end in zip(parts, ends, strict=True))
        file.write_bytes(content)
        try:
            landed = landing.landed_files(tmp_path, INTERVAL, source_format=SourceFormat(encoding), chunk=chunk)
            (found,) = landed.files
        except LandingRefused as error:
            message = str(error)
        else:
            message = ""
        if message:
            assert "a.csv" in message
            assert "hunter2" not in message
            assert "@" not in message
            continue
        physical = physical_lines(content, encoding)
        header = physical[0] if physical else None
        assert (found.lines, found.headers[:1], found.size) == (len(physical[1:]), tuple(physical[:1]), len(content))
        if header is not None:
            names = [" ".join(name.strip('"').split()).lower() for name in header.decode(encoding).split(",")]
            assert [names[place] for place in found.positions] == [name.lower() for name in SOURCE_NAMES], header
            loaded += 1
    assert number // 10 < loaded < number


@pytest.mark.timed
def test_a_broken_manifest_is_right_or_refused(tmp_path: Path) -> None:
    rng = random.Random(0)
    deliver(tmp_path, {"a.csv": WHOLE})
    manifest = tmp_path / f"dt={DAY}" / "_manifest.json"
    accepted = set()
    for _ in range(examples(1000, seconds=2)):
        content = MANIFEST
        for _ in range(rng.randrange(1, 3)):
            content = rng.choice(STRAIGHT)(rng, content or b" ", MANIFEST)
        manifest.write_bytes(content)
        try:
            landing.landed_files(tmp_path, INTERVAL)
        except ManifestMismatch:
            continue
        accepted.add(content)
    promised = {b"".join(content.removeprefix(b"\xef\xbb\xbf").split()) for content in accepted}
    assert MANIFEST.replace(b" ", b"") in promised
    assert all(b'"files":{"a.csv":4}' in content for content in promised), promised
