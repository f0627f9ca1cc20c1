"""What an order file holds, by its bytes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from spark_jobs.storage.order_file import read_order_file
from spark_jobs.tables.source import SOURCE_NAMES, SourceFormat

HEADER = ",".join(SOURCE_NAMES)
BLANK = ["," * 52, " , \t,", '"",""', "NULL,nan", '"NULL", #N/A ,\xa0\\N', "\xa0", "NaT,", "\x1a", "#SPILL!,1.#QNAN"]
LINES = ["x", "NULL,x", "NULLS", "NULL NULL", "NU,LL", "None,NA", ",-,", "É,,"]


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-8"])
def test_records_without_a_value_are_told_from_lines(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes("\r\n".join([BLANK[0], HEADER, *BLANK, *LINES, "\x1a"]).encode(encoding))
    found = read_order_file(file, date(2018, 1, 1), SourceFormat(encoding))
    assert (found.lines, found.blank) == (len(LINES), 2 + len(BLANK))


def test_without_null_words_only_empty_records_hold_nothing(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes("\r\n".join([HEADER, *BLANK[:3], "NULL,nan", ""]).encode())
    found = read_order_file(file, date(2018, 1, 1), SourceFormat(null_words=()))
    assert (found.lines, found.blank) == (1, 3)
