"""A masked line is found again in its file in linear time, however many fields are masked."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from spark_jobs.quality.quarantine_reasons import quarantine_reasons


@pytest.mark.parametrize("masks", [1, 26, 52])
def test_a_line_with_many_masks_costs_no_more_than_one_with_few(tmp_path: Path, masks: int) -> None:
    """Equal but for its end, no line fits but the last; an expression with a wildcard for each mask would try them all
    ways."""
    header = ",".join(f"c{number}" for number in range(53))
    lines = [",".join(["a,b"] * 40 + [str(number)]) for number in range(300)]
    masked = ",".join(["***"] * masks + ["b"] * (52 - masks) + ["299"])
    (tmp_path / "dt=2018-01-01").mkdir()
    (tmp_path / "dt=2018-01-01" / "orders.csv").write_text("\n".join([header, *lines, ""]))
    begun = time.process_time()
    row = ("dt=2018-01-01/orders.csv", masked, ["wrong number of fields: found 81"])
    (found,) = quarantine_reasons([row], tmp_path, "utf-8")
    assert time.process_time() - begun < 2
    assert re.match("wrong number of fields", found.reason)
