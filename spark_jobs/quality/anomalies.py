"""Anomalies: metrics of a landing date that lie outside of what the landing dates before it lead one to expect.

A pure function of the metrics. The band of a date is taken from earlier dates only, never from the date itself:

- Its *level* is the mean of the last LEVEL_DATES landing dates, or of the whole WINDOW for what is rare, by the
  day of the week: how far days of the week differ is taken from the window, and shrunk towards no difference as
  far as chance alone explains it.
- Its *spread* is taken from how far the dates of the window were from what was expected of them. The variance follows
  the level (see Noise), so that a rare count has a wider band than its few past values would give it.
- A date that was far outside of its band is left out of later bands, and so are confirmed incidents. Where half of
  LASTING_DATES dates are outside, they are the new normal: earlier dates are forgotten.
- There is no band before LEAST_DATES landing dates.

docs/anomalies.md says how often this is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.tables.metric_definitions import ALL, METRICS, Metric, Noise

WINDOW, LEVEL_DATES = 400, 28
LEAST_DATES = 2 * LEVEL_DATES
LASTING_DATES = 14
LEFT_OUT, LASTING = 4.0, 3.0
"""Standard deviations: what lies further out than the first does not enter later bands; what lies further out than the
second counts as a lasting change."""
_WEEK = 7
_PRIOR_EVENTS, _PRIOR_FACTOR = 10.0, 5.0
"""Before anything is known of what is rare, its events are taken to come in clusters, as the items of an order do."""

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """Metrics of landing dates: one row per date, one column per metric and dimension. NaN where not measured."""

    dates: tuple[date, ...]
    series: tuple[tuple[str, str], ...]
    values: Numbers

    @classmethod
    def of(cls, rows: Iterable[tuple[date, str, str, Any]]) -> Measured:
        """Take the rows of `bronze.metrics`: landing_date, metric, dimension, value.

        A count or sum of a dimension that a date lacks is 0 there. Metrics that are not known are left out.
        """
        known = [row for row in rows if row[1] in METRICS]
        dates = tuple(sorted({row[0] for row in known}))
        series = tuple(sorted({(row[1], row[2]) for row in known}))
        at, place = ({key: number for number, key in enumerate(keys)} for keys in (dates, series))
        empty = [0.0 if METRICS[metric].is_zero_without_rows else np.nan for metric, _ in series]
        values = np.tile(np.array(empty), (len(dates), 1))
        for landing_date, metric, dimension, value in known:
            values[at[landing_date], place[metric, dimension]] = float(value)
        return cls(dates, series, values)

    def metrics(self) -> list[Metric]:
        """Return the metric of each column."""
        return [METRICS[name] for name, _ in self.series]

    def exposures(self) -> Numbers:
        """Return the number of which each value is a share, an average or a part; 1 where it is none of these."""
        place = {key: number for number, key in enumerate(self.series)}
        exposures = np.ones_like(self.values)
        for number, (name, dimension) in enumerate(self.series):
            if whole := METRICS[name].part_of:
                found = place.get((whole, dimension), place.get((whole, ALL)))
                exposures[:, number] = np.nan if found is None else self.values[:, found]
        return exposures


@dataclass(frozen=True)
class Bands:
    """What is expected of each date and series, by the dates before; NaN before there are enough of them."""

    level: Numbers
    factor: Numbers
    """Factor by which the variance is larger than that of independent events."""
    known: Numbers
    """Number of dates from which the factor is computed."""

    def limits(self, measured: Measured) -> tuple[Numbers, Numbers]:
        """Return the least and the greatest value of each that is no anomaly, in the units of the values.

        NaN where there is none.
        """
        metrics, exposures = measured.metrics(), measured.exposures()
        pairs = [METRICS[name].sides(dimension) for name, dimension in measured.series]
        sides = [np.array([np.nan if pair[side] is None else pair[side] for pair in pairs]) for side in (0, 1)]
        part = np.where([metric.is_part for metric in metrics], exposures, 1.0)
        least = np.array([metric.least for metric in metrics]) * np.where(
            [metric.noise is Noise.SHARE for metric in metrics], 1.0, np.abs(self.level)
        )
        limits = []
        for sign, deviations in zip((-1, 1), sides, strict=True):
            far = _bound(_noise(metrics), self.level, self.factor, self.known, exposures, sign, deviations)
            nearest = self.level + sign * least
            far = np.minimum(far, nearest) if sign < 0 else np.maximum(far, nearest)
            limits.append(far * part)
        return limits[0], limits[1]


@dataclass(frozen=True)
class AnomalySettings:
    """The settings of a run that are about anomalies."""

    critical: frozenset[str] = frozenset()
    """Metrics whose anomalies forbid publishing."""
    incidents: frozenset[date] = frozenset()
    """Landing dates that are known to be unlike others, and enter no band."""

    @classmethod
    def from_texts(cls, critical_metrics: str, incident_dates: str) -> AnomalySettings:
        """Parse lists that are separated by commas. Raises ParameterRefused."""
        names, days = (
            [word.strip() for word in text.split(",") if word.strip()] for text in (critical_metrics, incident_dates)
        )
        if unknown := [name for name in names if name not in METRICS]:
            raise ParameterRefused(
                f"critical_metrics has {unknown[0]!r}, which is no metric: it must list some of {', '.join(METRICS)}"
            )
        try:
            return cls(frozenset(names), frozenset(map(date.fromisoformat, days)))
        except ValueError:
            raise ParameterRefused(
                f"incident_dates is {incident_dates!r}: it must list landing dates, such as 2018-01-31,2018-02-01"
            ) from None

    def with_incidents(self, dates: Collection[date]) -> AnomalySettings:
        """Add landing dates that are known to be unlike others."""
        return replace(self, incidents=self.incidents | frozenset(dates))


@dataclass(frozen=True)
class Anomaly:
    """A metric that lies outside of its band."""

    landing_date: date
    metric: str
    dimension: str
    value: Decimal
    lower: Decimal | None
    upper: Decimal | None
    expected: Decimal
    severity: str
    message: str


def find_anomalies(
    measured: Measured, judged: Collection[date], settings: AnomalySettings | None = None
) -> list[Anomaly]:
    """Judge the dates `judged` of the measured ones by those before each; return the anomalies, by date and series."""
    settings = settings or AnomalySettings()
    bands = expected(measured, settings.incidents)
    lower, upper = bands.limits(measured)
    exposures, found = measured.exposures(), []
    for row, column in zip(*np.nonzero((measured.values < lower) | (measured.values > upper)), strict=True):
        if measured.dates[row] in judged:
            metric, dimension = measured.series[column]
            exposure = exposures[row, column] if METRICS[metric].is_part else 1.0
            found.append(
                _anomaly(
                    measured.dates[row],
                    METRICS[metric],
                    dimension,
                    float(measured.values[row, column]),
                    float(lower[row, column]),
                    float(upper[row, column]),
                    float(bands.level[row, column] * exposure),
                    "critical" if metric in settings.critical else "warning",
                )
            )
    return found


def expected(measured: Measured, incidents: Collection[date] = ()) -> Bands:
    """Return the bands of all dates, each from the dates before it."""
    exposures, history = measured.exposures(), _History(measured)
    is_part = np.array([metric.is_part for metric in measured.metrics()], dtype=np.bool_)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(is_part, measured.values / exposures, measured.values)
        for row, landing_date in enumerate(measured.dates):
            history.add(row, rates[row], is_incident=landing_date in incidents)
    return Bands(history.level, history.factor, history.known)


class _History:
    """The dates so far, and what was expected of each."""

    def __init__(self, measured: Measured) -> None:
        metrics, shape = measured.metrics(), measured.values.shape
        self._noise, self._is_rare = _noise(metrics), np.array([metric.is_rare for metric in metrics], dtype=np.bool_)
        has_dimension = np.array([dimension != ALL for _, dimension in measured.series], dtype=np.bool_)
        self._may_be_gone = has_dimension & ~self._is_rare
        """Whether 0 can mean that there is no such dimension, such as a market that has ended, or not begun."""
        self._weekdays = np.array([day.weekday() for day in measured.dates], dtype=np.int64)
        self._exposures = measured.exposures()
        self._sums = np.zeros(shape)
        """Rate x exposure: of counts and shares the number of events."""
        self._usual = np.zeros(shape)
        """What was expected, without the effect of the day of the week."""
        self._may_enter, self._enters = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        self._has_error, self._is_far = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        self.level, self.factor, self.known = (np.full(shape, np.nan) for _ in range(3))

    def add(self, row: int, rates: Numbers, *, is_incident: bool) -> None:
        exposures, weekday = self._exposures[row], self._weekdays[row]
        window = slice(max(0, row - WINDOW), row)
        enters = self._enters[window]
        with_error = self._has_error[window] & enters
        by_day, taken = self._weekday_effects(window, with_error)
        level = self._level(window, enters, by_day)
        count = with_error.sum(axis=0)
        # The effects were taken from the dates whose errors these are, and are themselves as uncertain.
        uncertain = (count + taken) / np.maximum(count - taken, 1)
        factor = self._factor(window, with_error, by_day) * uncertain
        # Not by the first dates after a long absence.
        is_present = self._is_rare | (enters[-LEVEL_DATES:].sum(axis=0) >= LEVEL_DATES // 2)
        is_known = is_present & (enters.sum(axis=0) >= LEAST_DATES) & (count >= LEVEL_DATES)
        self.level[row] = np.where(is_known, level * by_day[weekday], np.nan)
        self.factor[row], self.known[row] = factor, count
        valid = np.isfinite(rates) & np.isfinite(exposures) & (exposures > 0)
        is_out, self._is_far[row] = (
            valid & self._is_outside(rates, self.level[row], factor, count, exposures, deviations)
            for deviations in (LEFT_OUT, LASTING)
        )
        self._may_enter[row] = valid & (not is_incident) & ~(self._may_be_gone & (rates == 0))
        self._enters[row] = self._may_enter[row] & ~is_out
        self._sums[row] = np.where(valid, rates * exposures, 0)
        self._has_error[row] = valid & np.isfinite(level) & (enters.sum(axis=0) >= LEVEL_DATES)
        self._usual[row] = np.where(self._has_error[row], level * exposures, 0)
        self._begin_again(row)

    def _level(self, window: slice, enters: Flags, by_day: Numbers) -> Numbers:
        """Return the rate of the last dates, or of all dates for what is rare, on a weekday without an effect."""
        is_recent = np.arange(window.start, window.stop) >= window.stop - LEVEL_DATES
        used = enters & (self._is_rare | is_recent[:, None])
        weights = np.nan_to_num(self._exposures[window]) * by_day[self._weekdays[window]]
        level: Numbers = (self._sums[window] * used).sum(axis=0) / (weights * used).sum(axis=0)
        return level

    def _weekday_effects(self, window: slice, used: Flags) -> tuple[Numbers, Numbers]:
        """Return for each day of the week the factor by which it differs, as far as chance does not explain it.

        Return also the degrees of freedom that this takes: 7 where the effects are not shrunk.
        """
        weekdays, sums, usual = self._weekdays[window], self._sums[window] * used, self._usual[window] * used
        is_day = (weekdays == np.arange(_WEEK)[:, None]).astype(np.float64)
        usual_of_day = is_day @ usual
        rates = is_day @ sums / usual_of_day
        overall = sums.sum(axis=0) / usual.sum(axis=0)
        chance = is_day @ (sums - usual * rates[weekdays]) ** 2 / (usual_of_day * overall) ** 2
        differences = rates / overall - 1
        between = np.maximum(0, (differences**2 - chance).sum(axis=0) / (_WEEK - 1))
        kept = between / (between + chance)
        shrunk = 1 + differences * kept
        is_effect = np.isfinite(shrunk) & (shrunk >= 0) & ~self._is_rare
        return np.where(is_effect, shrunk, 1.0), np.where(is_effect, kept, 0.0).sum(axis=0)

    def _factor(self, window: slice, used: Flags, by_day: Numbers) -> Numbers:
        exposures, of_day = self._exposures[window], by_day[self._weekdays[window]]
        usual = self._usual[window] * of_day
        squares = np.where(used, (self._sums[window] - usual) ** 2, 0).sum(axis=0)
        variances = np.where(used, _variance(self._noise, usual / exposures) * exposures, 0).sum(axis=0)
        prior = np.where(self._is_rare, _PRIOR_EVENTS, 0)
        factor: Numbers = (squares + prior * _PRIOR_FACTOR) / (variances + prior)
        return factor

    def _is_outside(
        self,
        rates: Numbers,
        level: Numbers,
        factor: Numbers,
        known: Numbers,
        exposures: Numbers,
        deviations: float,
    ) -> Flags:
        lower, upper = (_bound(self._noise, level, factor, known, exposures, sign, deviations) for sign in (-1, 1))
        outside: Flags = (rates < lower) | (rates > upper)
        return outside

    def _begin_again(self, row: int) -> None:
        """Forget the dates before the last ones where half of these are outside of their bands."""
        begin = row + 1 - LASTING_DATES
        if begin < 0:
            return
        changed = self._is_far[begin : row + 1].sum(axis=0) * 2 >= LASTING_DATES
        if changed.any():
            self._enters[:begin, changed] = False
            self._enters[begin : row + 1, changed] = self._may_enter[begin : row + 1, changed]
            self._has_error[: row + 1, changed] = False
            self._is_far[: row + 1, changed] = False


def _noise(metrics: Sequence[Metric]) -> npt.NDArray[np.str_]:
    return np.array([metric.noise for metric in metrics])


def _variance(noise: npt.NDArray[np.str_], level: Numbers) -> Numbers:
    """Return the variance of a rate for an exposure of 1, but for its factor."""
    of_share = level * (1 - np.minimum(level, 1))
    return np.where(noise == Noise.CONSTANT, 1.0, np.where(noise == Noise.SHARE, of_share, np.maximum(level, 0)))


def _bound(
    noise: npt.NDArray[np.str_],
    level: Numbers,
    factor: Numbers,
    known: Numbers,
    exposures: Numbers,
    sign: int,
    deviations: Numbers | float,
) -> Numbers:
    """Return the rate that lies that many standard deviations from the level.

    Counts are skewed: the expansion of Cornish and Fisher, for a sum of events that come in clusters of `factor`. Of a
    factor from few dates, the deviations are those of Student's t.
    """
    wide = deviations + (deviations**3 + deviations) / (4 * np.maximum(known, 1))
    with np.errstate(divide="ignore", invalid="ignore"):  # of nothing there is no share
        spread = np.sqrt(factor * _variance(noise, level) / exposures)
        skew = np.where(noise == Noise.CONSTANT, 0.0, factor / exposures) * (deviations**2 - 1) / 6
        # Of few events the expansion does not hold below the level: there it may not move the bound far.
        return level + sign * wide * spread + (np.minimum(skew, wide * spread / 4) if sign < 0 else skew)


def _anomaly(
    landing_date: date,
    metric: Metric,
    dimension: str,
    value: float,
    lower: float,
    upper: float,
    level: float,
    severity: str,
) -> Anomaly:
    where = f" ({dimension})" if dimension else ""
    message = (
        f"{landing_date}: {_shown(metric, value)} {metric.unit}{where},"
        f" expected {_range(metric, lower, upper)} for a {landing_date:%A}"
    )
    return Anomaly(
        landing_date,
        metric.name,
        dimension,
        _decimal(value),
        _decimal(lower) if _says_something(metric, lower) else None,
        _decimal(upper) if np.isfinite(upper) else None,
        _decimal(level),
        severity,
        message,
    )


def _says_something(metric: Metric, lower: float) -> bool:
    return bool(np.isfinite(lower)) and (lower > 0 or metric.noise is Noise.CONSTANT)


def _range(metric: Metric, lower: float, upper: float) -> str:
    least = _shown(metric, lower, ROUND_CEILING) if _says_something(metric, lower) else ""
    most = _shown(metric, upper, ROUND_FLOOR) if np.isfinite(upper) else ""
    if least and most:
        return f"{least} to {most}"
    return f"at least {least}" if least else f"at most {most}"


def _shown(metric: Metric, value: float, rounding: str = ROUND_HALF_UP) -> str:
    is_percentage = metric.noise is Noise.SHARE and not metric.is_part
    number = _decimal(value).scaleb(2 if is_percentage else 0)
    return f"{number.quantize(Decimal(1).scaleb(-metric.places), rounding):,}{' %' if is_percentage else ''}"


def _decimal(value: float) -> Decimal:
    """Return the number as `bronze.metrics` stores values."""
    return Decimal(value).quantize(Decimal("0.000001"), ROUND_HALF_UP)
