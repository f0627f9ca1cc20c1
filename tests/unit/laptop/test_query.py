"""How query results become text."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from subprocess import run

import pytest

from laptop.query import csv_lines, json_lines, json_of, text_of
from machine.command_line import UserError
from machine.state_folder import REPO


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (Decimal("33054402.04"), "33054402.04"),
        (Decimal("1.50"), "1.50"),
        (datetime(2018, 1, 1, 5, 6), "2018-01-01 05:06:00"),  # noqa: DTZ001
        (date(2018, 1, 1), "2018-01-01"),
        (["a", None], '["a", null]'),
        (b"\x01\xff", "01ff"),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    assert text_of(value) == text


def test_csv_is_quoted_and_has_a_header() -> None:
    assert "".join(csv_lines(["a", "b"], [(1, 'x,"y"'), (None, "é")])) == 'a,b\n1,"x,""y"""\n,é\n'


def test_json_keeps_every_digit_of_a_decimal() -> None:
    exact = Decimal("12345678901234567890.1234567890")
    assert json_of({"d": exact, "n": float("nan")}) == '{"d": 12345678901234567890.1234567890, "n": "nan"}'
    text = "".join(json_lines(["a", "b"], [(1, Decimal("1.50")), (None, "é")]))
    assert json.loads(text, parse_float=Decimal) == [{"a": 1, "b": Decimal("1.50")}, {"a": None, "b": "é"}]
    assert json.loads("".join(json_lines(["a"], []))) == []


def test_json_refuses_two_columns_of_one_name() -> None:
    with pytest.raises(UserError, match="same name"):
        list(json_lines(["a", "a"], [(1, 2)]))


def test_make_passes_values_unchanged(tmp_path: Path) -> None:
    sql = "select '$x $(pwd) `date` \"q\" #1 %' as a -- $$"
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"include {REPO}/Makefile\nshow:\n\t@printenv SQL\n")
    done = run(["make", "-f", str(makefile), "show", f"SQL={sql}"], cwd=REPO, capture_output=True, text=True)
    assert done.stdout.rstrip("\n") == sql, done.stderr
