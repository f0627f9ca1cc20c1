"""Dates are never silently wrong: what is landed, and the day of each order, or why its line is quarantined."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pyspark.sql import SparkSession

from feeds.daily_replay import replay
from spark_jobs.layers.bronze.dates import AFTER_LANDING, AMBIGUOUS
from spark_jobs.quality.rules import read_rules
from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.storage.build_record import Build
from spark_jobs.tables.source import SOURCE_NAMES
from spark_jobs.tables.stand_in_dates import DATES as STAND_INS
from spark_jobs.tables.stand_in_dates import FIRST_YEAR, LAST_YEAR
from tests.cases.landed import marked, reasons, rows_of
from tests.spark.publishing.lakehouse import Lakehouse, order_item

ORDERED, SHIPPED, DAYS = "order date (DateOrders)", "shipping date (DateOrders)", "Days for shipping (real)"
OLD = "ordered more than 7305 days before it was landed"
UNREADABLE = "order_date_dateorders does not parse as TIMESTAMP"


def stands_for_none(day: str, column: str = "order_date_dateorders") -> str:
    return f"{column} stands for no date: {day}"


class Line(NamedTuple):
    """A line with the right: the day of the order, or the reasons for quarantine."""

    ordered: str
    shipped: str
    days: str
    right: str | tuple[str, ...]


M, D = "month_first", "day_first"
# What it is, the landing date, and the lines of its one file.
AUTO: list[tuple[str, str, list[Line]]] = [
    (
        "a spreadsheet of another locale wrote dashes, month first",
        "2018-03-01",
        [
            Line("09-06-2017 12:07", "09-08-2017 12:07", "2", "2017-09-06"),
            Line("07-07-2016 16:34", "07-09-2016 16:34", "2", "2016-07-07"),
            Line("8/27/2017 16:41", "09-01-2017 16:41", "5", "2017-08-27"),
            Line("12-02-2015 20:01", "12-05-2015 20:01", "3", "2015-12-02"),
            Line("02-11-2016 17:39", "2/16/2016 17:39", "5", "2016-02-11"),
            Line("03-04-2016 17:39", "", "", "2016-03-04"),
        ],
    ),
    (
        "all day first",
        "2018-03-02",
        [
            Line("05/01/2018 10:00", "08/01/2018 10:00", "3", "2018-01-05"),
            Line("27/02/2018 10:00", "01/03/2018 10:00", "2", "2018-02-27"),
            Line("03-02-2018 10:00", "", "", "2018-02-03"),
        ],
    ),
    (
        "a part above 12 decides alone",
        "2018-03-03",
        [Line("13-02-2018 9:05", "", "", "2018-02-13"), Line("1/2/2018 9:05", "", "", "2018-02-01")],
    ),
    (
        "both orders, most month first: who has no evidence, or another, is ambiguous",
        "2018-01-05",
        [
            Line("1/5/2018 10:00", "1/8/2018 10:00", "3", "2018-01-05"),
            Line("1/4/2018 10:00", "1/8/2018 10:00", "4", "2018-01-04"),
            Line("05/01/2018 10:00", "08/01/2018 10:00", "3", (AMBIGUOUS, AFTER_LANDING)),
            Line("1/3/2018 10:00", "", "", (AMBIGUOUS,)),
            Line("1/1/2018 10:00", "", "", "2018-01-01"),
            Line("12/31/2017 10:00", "", "", "2017-12-31"),
        ],
    ),
    (
        "as much evidence for either",
        "2018-03-05",
        [
            Line("2/5/2018 10:00", "2/8/2018 10:00", "3", (AMBIGUOUS,)),
            Line("5/2/2018 10:00", "8/2/2018 10:00", "3", (AMBIGUOUS,)),
        ],
    ),
    (
        "no evidence at all",
        "2018-05-05",
        [Line("2/5/2018 10:00", "", "", (AMBIGUOUS,)), Line("5/5/2018 10:00", "", "", "2018-05-05")],
    ),
    ("an order is not placed after it landed", "2018-03-07", [Line("3/7/2018 10:00", "", "", "2018-03-07")]),
    ("the same, day first", "2018-03-08", [Line("8/3/2018 10:00", "3/4/2018 10:00", "9", "2018-03-08")]),
    (
        "evidence in the other columns is for the shipping date too",
        "2018-03-09",
        [Line("3/9/2018 10:00", "3/12/2018 10:00", "3", "2018-03-09")],
    ),
    (
        "stand-ins are named",
        "2018-03-10",
        [
            *(Line(f"{d} 0:00", "3/10/2018 1:00", "3", (stands_for_none(d),)) for d in ("12/31/9999", "1/1/1970")),
            Line("31-12-9999 00:00", "3/10/2018 1:00", "3", (stands_for_none("31-12-9999"),)),
            Line("30-12-1899 00:00", "3/10/2018 1:00", "3", (stands_for_none("30-12-1899"),)),
            Line("1/1/0001 0:00", "3/10/2018 1:00", "3", (stands_for_none("1/1/0001"),)),
            Line("1/1/1900", "3/10/2018 1:00", "3", (UNREADABLE, stands_for_none("1/1/1900"))),
            Line("0000-00-00 00:00:00", "", "", (UNREADABLE, stands_for_none("0000-00-00"))),
            Line("1970-01-01T00:00:00", "", "", (UNREADABLE, stands_for_none("1970-01-01"))),
            Line("3/10/2018 1:00", "1/1/1900 0:00", "", (stands_for_none("1/1/1900", "shipping_date_dateorders"),)),
        ],
    ),
    (
        "too far from the landing date",
        "2018-03-11",
        [
            Line("3/12/2018 0:00", "3/13/2018 0:00", "1", (AFTER_LANDING,)),
            Line("3/11/2018 23:59", "3/13/2018 0:00", "2", "2018-03-11"),
            Line("3/12/1998 0:00", "3/13/1998 0:00", "1", "1998-03-12"),
            Line("3/10/1998 0:00", "3/11/1998 0:00", "1", (OLD,)),
        ],
    ),
    (
        "other ways of writing are refused, not guessed",
        "2018-03-12",
        [
            *(
                Line(text, "3/13/2018 0:00", "1", (UNREADABLE,))
                for text in (
                    *("2018-03-12 00:00", "12.03.2018 00:00", "3/12/18 0:00", "43171.5", "3/12/2018 1:00 PM"),
                    *("20180312", "3/12-2018 0:00", "12-Mar-2018 0:00", "1520812800", "3/12/2018 0:00:00"),
                    # As in github.com/apache/spark/pull/13169, where 29 February of any year is a day.
                    *("2/29/2018 0:00", "29-02-2018 00:00", "2/30/2018 0:00", "3/12/2018 24:00"),
                )
            )
        ],
    ),
    (
        # As in github.com/NHSDigital/manage-vaccinations-in-schools/pull/3410.
        "no-break spaces, as a spreadsheet leaves them, hide no evidence",
        "2018-03-13",
        [
            Line("\xa005/02/2018 10:00", "08/02/2018\xa010:00", "3\xa0", "2018-02-05"),
            Line("\xa027/02/2018 10:00", "", "", "2018-02-27"),
            Line("03/02/2018 10:00\xa0", "", "", "2018-02-03"),
        ],
    ),
]


def item(number: int, line: Line) -> dict[str, str]:
    changes: dict[str, Any] = {ORDERED: line.ordered, SHIPPED: line.shipped, DAYS: line.days}
    return order_item(number, **changes, **{"Order State": f"#{number}"})


def found(lakehouse: Lakehouse, build: Build) -> dict[tuple[str, str], str | tuple[str, ...]]:
    """Return by landing date and mark the day of the order, or the reasons."""
    return {
        (str(row.landing_date), marked(row)): reasons(row) or str(row.order_date_dateorders.date())
        for row in rows_of(lakehouse, build)
    }


def land(lakehouse: Lakehouse, cases: list[tuple[str, str, list[Line]]]) -> dict[Any, Any]:
    """Land the cases, and return what is right in the form of `found`."""
    for _, day, lines in cases:
        lakehouse.land(day, *(item(number, line) for number, line in enumerate(lines)))
    return {(day, f"#{n}"): line.right for _, day, lines in cases for n, line in enumerate(lines)}


def test_the_order_of_day_and_month_is_found_for_each_file(lakehouse: Lakehouse) -> None:
    right = land(lakehouse, AUTO)
    build = lakehouse.build("bronze", "2018-01-01", "2018-06-01", allow_missing_dates="true")
    assert found(lakehouse, build) == right


@pytest.mark.parametrize(
    ("order", "right"),
    [
        (M, ["2018-02-01", "2018-01-13", (UNREADABLE,), (AFTER_LANDING,)]),
        (D, ["2018-01-02", (UNREADABLE,), "2018-01-13", "2018-01-04"]),
    ],
)
def test_an_order_that_is_set_holds_for_every_line(
    new_lakehouse: Callable[[], Lakehouse], order: str, right: list[Any]
) -> None:
    lakehouse = new_lakehouse()
    texts = ("2/1/2018 1:00", "1/13/2018 1:00", "13-01-2018 01:00", "04-01-2018 01:00")
    lines = [Line(text, "", "", one) for text, one in zip(texts, right, strict=True)]
    expected = land(lakehouse, [("", "2018-03-31", lines)])
    build = lakehouse.build("bronze", "2018-03-31", "2018-04-01", date_order=order)
    assert found(lakehouse, build) == expected


def test_an_order_that_is_not_known_is_refused(lakehouse: Lakehouse) -> None:
    with pytest.raises(ParameterRefused, match="auto, month_first, day_first"):
        lakehouse.build("bronze", date_order="mdy")


@pytest.mark.parametrize(
    ("texts", "setting", "days"),
    [
        # Each text with its shipping date and days; the day of each, None: delivered with the line before it.
        (
            [("09-06-2017 12:07", "09-08-2017 12:07", 2), ("8/27/2017 1:00", "", 0)],
            "auto",
            ["2017-09-06", "2017-08-27"],
        ),
        ([("05/01/2018 10:00", "08/01/2018 10:00", 3), ("3/2/2018 1:00", "", 0)], "auto", ["2018-01-05", "2018-02-03"]),
        ([("27/2/2018 1:00", "", 0), ("5/2/2018 1:00", "", 0)], "auto", ["2018-02-27", "2018-02-05"]),
        ([("2/27/2018 1:00", "", 0), ("27/2/2018 1:00", "", 0), ("5/2/2018 1:00", "", 0)], "auto", ["2018-02-27"] * 3),
        ([("5/2/2018 1:00", "", 0), ("27/2/2018 1:00", "", 0)], "month_first", ["2018-05-02"] * 2),
        (
            [
                ("\xa05/2/2018 1:00", "8/2/2018 1:00", "3\xa0"),
                ("\u30001/3/2018\xa01:00", "", 0),
                ("3/2/2018 1:00", "", 0),
            ],
            "auto",
            ["2018-02-05", "2018-03-01", "2018-02-03"],
        ),
        (
            [("1/31/2018 1:00", "", 0), ("12/31/9999 0:00", "", 0), ("1/1/1970 0:00", "", 0), ("2/3/2018 0:00", "", 0)],
            "month_first",
            ["2018-01-31"] * 3 + ["2018-02-03"],
        ),
    ],
)
def test_replay_reads_dates_as_bronze_does(tmp_path: Path, texts: Any, setting: str, days: list[str]) -> None:
    lines = [
        order_item(n, **{ORDERED: ordered, SHIPPED: shipped, DAYS: stated, "Order State": f"#{n}"})
        for n, (ordered, shipped, stated) in enumerate(texts)
    ]
    data = tmp_path / "DataCo.csv"
    data.write_text("\r\n".join([",".join(SOURCE_NAMES), *(",".join(x[c] for c in SOURCE_NAMES) for x in lines)]))
    replay(data, tmp_path / "landing", date_order=setting)
    delivered: dict[str, str] = {}
    files = list((tmp_path / "landing").glob("dt=*/orders.csv"))
    landed = {date.fromisoformat(file.parent.name.removeprefix("dt=")) for file in files}
    assert len(landed) == (max(landed) - min(landed)).days + 1, "a day without orders has a file with a header only"
    for file in files:
        with file.open(newline="") as stream:
            delivered |= {row["Order State"]: file.parent.name.removeprefix("dt=") for row in csv.DictReader(stream)}
    assert [delivered[f"#{n}"] for n in range(len(days))] == days


def test_the_gate_names_dates_that_contradict_each_other(new_lakehouse: Callable[[], Lakehouse]) -> None:
    lakehouse = new_lakehouse()
    lines = [
        Line("1/10/2018 10:00", "1/9/2018 10:00", "3", ""),
        Line("1/10/2018 10:00", "1/14/2018 10:00", "3", ""),
        Line("1/10/2018 10:00", "1/13/2018 1:00", "3", ""),
        Line("1/10/2018 10:00", "", "3", ""),
    ]
    lakehouse.land("2018-01-10", *(item(number, line) for number, line in enumerate(lines, 1)))
    verdict = lakehouse.audit(lakehouse.build("bronze", "2018-01-10", "2018-01-11"))
    assert verdict.success
    numbers = {warning.rule: warning.bad_rows for warning in verdict.warnings}
    assert numbers == {
        "nothing_is_shipped_before_it_is_ordered": 1,
        "days_for_shipping_are_those_between_the_dates": 2,
    }
    (shipped, _) = (warning.message for warning in verdict.warnings)
    assert "2018-01-09" in shipped
    assert "order_item_id 1" in shipped


def test_the_gate_knows_every_stand_in(spark: SparkSession) -> None:
    """The audit judges them by a rule of its own, which reads dates where the build reads texts."""
    (rule,) = (rule for rule in read_rules("bronze.order_items").rules if rule.name == "no_date_stands_for_none")
    days = [*STAND_INS, date(FIRST_YEAR - 1, 12, 31), date(LAST_YEAR + 1, 1, 1), date.min, date.max]
    good = [date(FIRST_YEAR, 1, 1), date(LAST_YEAR, 12, 31), date(2018, 1, 1)]
    frame = spark.createDataFrame(
        [(day, None) for day in [*days, *good]], "order_date_dateorders DATE, shipping_date_dateorders DATE"
    )
    bad = {row[0] for row in frame.where(rule.fails_when).collect()}
    assert bad == set(days)


def segments(day: int, **orders: str) -> list[dict[str, str]]:
    """Land orders of customer 1 and 2, by the date of the order; the segment is the day's."""
    segment = ("Consumer", "Corporate", "Home Office")[day % 3]
    return [
        order_item(day * 10 + n, customer=1 + n % 2, segment=segment, **{ORDERED: text, SHIPPED: "", DAYS: ""})
        for n, text in enumerate(orders.values())
    ]


def test_far_dates_break_no_law_and_make_nothing_negative(new_lakehouse: Callable[[], Lakehouse]) -> None:
    """Where settings let them pass, orders of any year are in the same versions, day by day and at once."""
    wide: dict[str, Any] = {
        "max_order_days_ahead": "9999999",
        "max_order_age_days": "9999999",
        "date_order": "month_first",
    }
    days = {
        "2018-01-01": segments(1, a="12/29/2098 10:00", b="1/1/2018 11:00", c="12/31/2098 23:59", d="1/3/1902 0:00"),
        "2018-01-02": segments(2, a="1/2/2018 10:00", b="1/2/2018 11:00"),
        "2018-01-03": segments(3, a="1/4/2018 10:00", b="1/1/1902 10:00"),
    }
    by_day, in_one_run = new_lakehouse(), new_lakehouse()
    for lakehouse in (by_day, in_one_run):
        for day, lines in days.items():
            lakehouse.land(day, *lines)
    for start, end in pairwise(("2018-01-01", "2018-01-02", "2018-01-03", "2018-01-04")):
        by_day.run(start, end, audited=start == "2018-01-03", **wide)
    in_one_run.run("2018-01-01", "2018-01-04", **wide)
    assert by_day.everything() == in_one_run.everything()
    customers = by_day.published("gold.customers360").collect()
    ages = {row.customer_id: row.days_since_last_order for row in customers}
    assert ages == {1: 0, 2: 2}, "as of 2018-01-04: ordered in 2098, and on 2018-01-02"
    by_day.maintain("2018-02-01")
