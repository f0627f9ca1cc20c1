"""A disk that is full for half a minute, at any moment of a DAG run: the run ends right, and everybody is told."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest

from laptop.services import DAG
from tests.e2e.lake import Lake, days_of, running_lake
from tests.prove.budget import only_in_make_prove, rounds

pytestmark = [pytest.mark.timed, only_in_make_prove("tests/cases fills the disk of a single service")]

FIRST, DAYS = date(2018, 1, 1), 2
NO_SCHEDULE = {"LAKEHOUSE_SCHEDULE_END": "2000-01-01", "LAKEHOUSE_SPARK_FEW_ROWS": "true"}


def test_a_disk_that_is_full_for_half_a_minute(dataco: Path, tmp_path: Path) -> None:
    header, days = days_of(dataco, {FIRST + timedelta(days=number) for number in range(DAYS)})
    source = header + b"".join(line for day in days.values() for line in day.lines)
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", str(disk)]).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        with running_lake(disk, source, NO_SCHEDULE) as lake:
            lake.client.unpause(DAG)
            lake.run_to_success(FIRST, FIRST + timedelta(days=DAYS))
            expected = lake.contents()
            for round_ in rounds():
                run_id = lake.trigger(FIRST, FIRST + timedelta(days=DAYS))
                moment = Random(round_).uniform(2, 60)
                time.sleep(moment)
                news = full_for(30, disk / "filler", lake)
                lake.follow_to_success(run_id)
                lake.reconnect()
                assert any("the disk of" in line and "is full" in line for line in news), news
                assert lake.contents() == expected, f"round {round_}: full after {moment:.0f} s"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def full_for(seconds: float, filler: Path, lake: Lake) -> list[str]:
    """Fill the disk, and make room again; what `make run` would say meanwhile."""
    news = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(b"\0" * 2**16)
        news += lake.news()
        time.sleep(0.5)
    filler.unlink()
    return news + lake.news()  # once there is room, so that the next full disk is news again
