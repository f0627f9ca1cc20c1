"""What counts as an anomaly: each property of the bands by itself."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pytest

from spark_jobs.quality.anomalies import (
    LASTING_DATES,
    LEAST_DATES,
    Anomaly,
    AnomalySettings,
    Measured,
    expected,
    find_anomalies,
)
from spark_jobs.runtime.errors import ParameterRefused

START = date(2018, 1, 1)  # a Monday
Row = tuple[date, str, str, Any]


def at(number: int) -> date:
    return START + timedelta(days=number)


def counts(values: list[int], metric: str = "orders", dimension: str = "") -> list[Row]:
    return [(at(number), metric, dimension, Decimal(value)) for number, value in enumerate(values)]


def usual(days: int, level: float = 100, seed: int = 1) -> list[int]:
    """Counts around a level, as independent events would give them."""
    draw = Random(seed)
    return [round(draw.gauss(level, level**0.5)) for _ in range(days)]


def judged(rows: list[Row], *numbers: int, settings: AnomalySettings | None = None) -> list[Anomaly]:
    measured = Measured.of(rows)
    return find_anomalies(measured, {at(number) for number in numbers} or set(measured.dates), settings)


def test_a_drop_is_found_and_said_with_numbers() -> None:
    (found,) = judged(counts([*usual(100), 55]), 100)
    assert (found.metric, found.dimension, found.value, found.severity) == ("orders", "", 55, "warning")
    assert found.lower is not None
    assert found.upper is not None
    assert 55 < found.lower < 90 < found.expected < 110 < found.upper
    assert found.message.startswith("2018-04-11: 55 orders, expected 7")
    assert found.message.endswith("for a Wednesday")


def test_metrics_that_a_setting_names_are_critical() -> None:
    rows = counts([*usual(100), 55]) + counts([*usual(100, 300), 100], "valid_lines")
    settings = AnomalySettings.from_texts("orders, profit", "")
    assert {one.metric: one.severity for one in judged(rows, 100, settings=settings)} == {
        "orders": "critical",
        "valid_lines": "warning",
    }


def test_a_band_knows_neither_its_date_nor_later_ones() -> None:
    values = usual(120)
    for number in (57, 90, 119):
        levels = [
            expected(Measured.of(counts(some))).level[number, 0]
            for some in (values, values[: number + 1], [*values[:number], 5_000])
        ]
        assert len(set(levels)) == 1
        assert np.isfinite(levels[0])


def test_there_is_no_band_before_there_are_enough_dates() -> None:
    values = [*usual(LEAST_DATES - 1), 0]
    assert judged(counts(values)) == []
    assert [one.landing_date for one in judged(counts([*usual(LEAST_DATES), 0]))] == [at(LEAST_DATES)]


@pytest.mark.parametrize(("metric", "most"), [("valid_lines", 0.5), ("orders", 2.5)])
def test_usual_dates_are_no_anomalies(metric: str, most: float) -> None:
    years = 12
    rows = [counts(usual(LEAST_DATES + 365, seed=seed), metric) for seed in range(years)]
    assert sum(len(judged(one)) for one in rows) <= most * years


def test_only_the_bad_side_of_a_share_counts() -> None:
    orders = counts([200] * 101)
    shares = [Decimal(round(110 + 5 * (number % 3))) / 200 for number in range(100)]
    for last, expected_number in ((Decimal("0.1"), 0), (Decimal("0.9"), 1)):
        late = [(at(number), "late_share", "", share) for number, share in enumerate([*shares, last])]
        found = [one for one in judged(orders + late, 100) if one.metric == "late_share"]
        assert len(found) == expected_number
    assert found[0].message.startswith("2018-04-11: 90.0 % of the orders late, expected at most ")


def test_small_changes_are_quiet_however_steady_a_metric_is() -> None:
    steady = [1_000 + number % 2 for number in range(100)]
    assert judged(counts([*steady, 850]), 100) == []
    assert len(judged(counts([*steady, 790]), 100)) == 1


def test_days_of_the_week_have_levels_of_their_own() -> None:
    values = [round(value * (0.3 if number % 7 >= 5 else 1)) for number, value in enumerate(usual(210))]
    assert judged(counts(values, "valid_lines")) == []
    (found,) = judged(counts([*values[:206], 30], "valid_lines"), 206)  # as on a Sunday
    assert found.message.endswith("for a Thursday")
    (found,) = judged(counts([*values[:209], 90], "valid_lines"), 209)  # as on a weekday
    assert found.message.endswith("for a Sunday")


def test_an_unusual_date_does_not_widen_later_bands() -> None:
    values = usual(120)
    clean, poisoned = counts(values), counts([*values[:90], 400, *values[91:]])
    confirmed = AnomalySettings.from_texts("", str(at(90)))
    bands = [expected(Measured.of(rows), incidents) for rows, incidents in (
        (clean, ()), (poisoned, ()), (poisoned, confirmed.incidents), (clean, confirmed.incidents)
    )]  # fmt: skip
    lasts = [(float(band.level[119, 0]), float(band.factor[119, 0])) for band in bands]
    assert lasts[1] == lasts[2] == lasts[3]
    assert lasts[1] == pytest.approx(lasts[0], rel=0.05)


def test_what_lasts_is_the_new_normal_after_a_week() -> None:
    values = [*usual(100), *usual(100, level=40)]
    found = judged(counts(values, "valid_lines"))
    assert [one.landing_date for one in found] == [at(100 + number) for number in range(LASTING_DATES // 2)]
    (again,) = judged(counts([*values, 5], "valid_lines"), 200)
    assert again.expected == pytest.approx(Decimal(40), abs=Decimal(5))


def test_a_market_that_is_missing_has_no_row_and_is_found() -> None:
    rows = counts(usual(101)) + counts(usual(100, 30), dimension="Europe")
    (found,) = judged(rows, 100)
    assert found.message.startswith("2018-04-11: 0 orders (Europe), expected 1")


def test_a_market_that_comes_and_goes_is_judged_while_it_is_there() -> None:
    stay = usual(80, 30)
    rows = counts(usual(421), "valid_lines") + [
        (at(number), "orders", "Europe", Decimal(value))
        for begin in (60, 240)
        for number, value in enumerate(stay, begin)
    ]
    gone = [one.landing_date for one in judged(rows) if not one.value]
    ends = [at(begin + len(stay)) for begin in (60, 240)]
    weeks = [[end + timedelta(days=number) for number in range(LASTING_DATES // 2)] for end in ends]
    assert set(ends) <= set(gone) <= {day for week in weeks for day in week}, "an end is one for a week"


def test_a_day_of_the_week_may_have_nothing() -> None:
    values = [0 if number % 7 == 6 else value for number, value in enumerate(usual(210))]
    assert judged(counts(values, "valid_lines")) == []
    (found,) = judged(counts([*values[:209], 60], "valid_lines"), 209)
    assert found.message.endswith("for a Sunday")


def test_what_is_rare_is_judged_by_how_many_there_could_be() -> None:
    lines = counts([200] * 101, "valid_lines")

    def nulls(last: str) -> list[Row]:
        shares = [Decimal(number % 20 == 0) / 200 for number in range(100)]
        return [(at(n), "null_share", "order_city", share) for n, share in enumerate([*shares, Decimal(last)])]

    assert judged(lines + nulls("0.02"), 100) == []
    (found,) = judged(lines + nulls("0.1"), 100)
    assert found.message.startswith(
        "2018-04-11: 10.0 % of the order items without a value (order_city), expected at most"
    )


def test_a_new_reason_for_quarantine_is_found_where_it_hits_more_than_a_few_lines() -> None:
    landed = counts([500] * 101, "landed_lines") + counts([0] * 101, "quarantined_lines")
    one = [(at(100), "quarantined_lines", "market is null", Decimal(4))]
    assert judged(landed + one, 100) == []
    many = [(at(100), "quarantined_lines", "market is null", Decimal(25))]
    (found,) = judged(landed + many, 100)
    assert found.message.startswith("2018-04-11: 25 quarantined lines (market is null), expected at most ")


def test_metrics_that_are_not_known_are_left_out() -> None:
    assert judged(counts([*usual(100), 0], "of another version")) == []


@pytest.mark.parametrize(
    ("critical", "incidents", "says"),
    [("orders,turnover", "", "'turnover', which is no metric"), ("", "2018-01-32", "incident_dates is '2018-01-32'")],
)
def test_settings_that_nobody_knows_are_refused(critical: str, incidents: str, says: str) -> None:
    with pytest.raises(ParameterRefused, match=says):
        AnomalySettings.from_texts(critical, incidents)
