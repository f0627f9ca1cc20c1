"""Dates as a person gives them to `make run`."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from laptop.landing_interval import landed_interval, parse_interval
from machine.command_line import UserError


def test_an_interval_is_midnight_to_midnight_in_utc() -> None:
    assert parse_interval("2018-01-01", " 2018-01-08 ") == (
        datetime(2018, 1, 1, tzinfo=UTC),
        datetime(2018, 1, 8, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2018-01-08", "2018-01-01", "must be after"),
        ("2018-01-01", "2018-01-01", "END=2018-01-02"),
        ("01/02/2018", "2018-01-03", "START=01/02/2018 is not a date"),
        ("2018-01-01", "2018-02-30", "END=2018-02-30 is not a date"),
        ("20180101", "2018-02-03", "is not a date"),
        ("", "2018-02-03", "START is missing"),
        ("2018-02-03", " ", "END is missing"),
        ("2018-01-01T05:00", "2018-02-03", "is not a date"),
    ],
)
def test_bad_dates_are_refused_with_a_sentence(start: str, end: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_interval(start, end)
    assert message in str(refused.value)


def test_the_span_covers_the_first_and_the_last_landed_date(tmp_path: Path) -> None:
    for name in ("dt=2018-01-03", "dt=2017-12-31", ".dt=2016-01-01", "dt=not-a-date", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "dt=2019-01-01").write_text("a file, not a folder")
    start, end = landed_interval(tmp_path)
    assert (start.date().isoformat(), end.date().isoformat()) == ("2017-12-31", "2018-01-04")


def test_an_empty_landing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing has landed"):
        landed_interval(tmp_path)
