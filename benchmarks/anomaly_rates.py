"""How often the bands of metrics are wrong, on synthetic feeds, whose truth is known. It starts no Spark.

- **False alarms**: anomalies of clean feeds, for each metric and dimension by year.
- **Found**: of the days of an incident, the share with an anomaly that the clean feed does not have on that day. The
  bands are those of the clean feed, which has no earlier day of the incident. So each day is the first day of an
  incident.

The metrics are counted by DuckDB (sql/metrics.sql) from the files of the feed; a test compares them with those of
bronze.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from benchmarks.duckdb_alternative import bronze, recode, run_sql
from benchmarks.hardware import hardware
from benchmarks.measurement import order_files
from feeds.daily_replay import replay
from feeds.synthetic.calibration import parameters
from feeds.synthetic.feed import generate
from feeds.synthetic.feed_settings import INCIDENTS, MISSING_MARKET, FeedSettings, Incident, day_number
from spark_jobs.quality.anomalies import Anomaly, Bands, Measured, expected, find_anomalies
from spark_jobs.tables.metric_definitions import METRICS, NULL_COLUMNS

START, DAYS = date(2016, 1, 1), 3 * 365 + 1
SEEDS = {"1": (6, 2), "1.5": (4, 2), "3": (3, 1)}
"""Scale of the feed (multiples of DataCo's daily volume) -> number of feeds, and of those with incidents."""
MISSING = "0.01"
"""Share of the lines without a value in a column; an incident makes it 10 %."""


def bench_anomalies(days: int = DAYS, seeds: Mapping[str, tuple[int, int]] = SEEDS) -> dict[str, Any]:
    """Measure all feeds; return the results as they are written."""
    results: dict[str, Any] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": hardware(),
        "days": days,
        "scales": {},
    }
    for scale, (feeds, with_incidents) in seeds.items():
        measured = [
            _of_feed(
                FeedSettings.parse(str(seed), scale, missing=MISSING),
                days,
                INCIDENTS if seed <= with_incidents else (),
            )
            for seed in range(1, feeds + 1)
        ]
        results["scales"][scale] = {"feeds": feeds, "with_incidents": with_incidents, **_mean(measured)}
    print("\n".join(summary(results)), flush=True)
    return results


def _of_feed(settings: FeedSettings, days: int, incidents: Sequence[str]) -> dict[str, Any]:
    clean = measured(settings, days)
    bands = expected(clean)
    known = np.isfinite(bands.level)
    is_alarm = _outside(bands, clean) & known
    years = known.sum(axis=0) / 365
    alarms = {
        f"{metric}{f' ({dimension})' if dimension else ''}": float(is_alarm[:, column].sum() / years[column])
        for column, (metric, dimension) in enumerate(clean.series)
        if years[column]
    }
    begin = int(np.argmax(known.any(axis=1)))
    found: dict[str, float] = {}
    for kind in incidents:
        incident = Incident(kind, day_number(START), day_number(START) + days - 1)
        faulty = _aligned(measured(replace(settings, incidents=(incident,)), days), clean)
        is_found = np.any(_outside(bands, faulty) & known & ~is_alarm, axis=1)[begin:]
        found[kind] = float(is_found.mean())
        if kind == MISSING_MARKET:
            markets = list(parameters()["places"])
            numbers = np.array([day_number(day) for day in clean.dates[begin:]]) % len(markets)
            found |= {f"{kind} ({market})": float(is_found[numbers == n].mean()) for n, market in enumerate(markets)}
    return {"false_alarms": alarms, "found": found}


def _outside(bands: Bands, measured: Measured) -> np.ndarray[Any, np.dtype[np.bool_]]:
    lower, upper = bands.limits(measured)
    return np.asarray((measured.values < lower) | (measured.values > upper))


def _aligned(faulty: Measured, clean: Measured) -> Measured:
    """Return the metrics of a feed in the columns of another feed; what the first lacks is 0 or not measured."""
    place = {key: column for column, key in enumerate(faulty.series)}
    empty = np.zeros(len(clean.dates))
    columns = [
        faulty.values[:, place[key]]
        if key in place
        else (empty if METRICS[key[0]].is_zero_without_rows else empty * np.nan)
        for key in clean.series
    ]
    return Measured(clean.dates, clean.series, np.stack(columns, axis=1))


def measured(settings: FeedSettings, days: int) -> Measured:
    """Return the metrics of the days of a feed."""
    with tempfile.TemporaryDirectory() as folder:
        landing, utf8 = Path(folder) / "landing", Path(folder) / "utf8"
        generate(landing, START, days, settings)
        return measured_files(landing, utf8)


def measured_files(landing: Path, utf8: Path) -> Measured:
    """Return the metrics of all that has landed; `utf8` is the folder for the same files in another encoding."""
    for file in order_files(landing):
        recode(file, utf8 / file.relative_to(landing))
    with duckdb.connect() as database:
        bronze(database, utf8, "no secret")
        database.execute("set variable null_columns = $1", [list(NULL_COLUMNS)])
        run_sql(database, "metrics")
        return Measured.of(database.sql("from bronze.metrics").fetchall())


def anomalies_of_file(data: Path) -> list[Anomaly]:
    """Replay one large file day by day, and return the anomalies of all days. Raises ReplayRefused."""
    with tempfile.TemporaryDirectory() as folder:
        landing, utf8 = Path(folder) / "landing", Path(folder) / "utf8"
        replay(data, landing)
        found = measured_files(landing, utf8)
    return find_anomalies(found, set(found.dates))


def _mean(measured: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the mean of the feeds for each figure."""
    figures: dict[str, dict[str, list[float]]] = {"false_alarms": defaultdict(list), "found": defaultdict(list)}
    for one in measured:
        for name, values in figures.items():
            for key, value in one[name].items():
                values[key].append(value)
    return {
        name: {key: round(sum(found) / len(found), 3) for key, found in sorted(values.items())}
        for name, values in figures.items()
    }


def summary(results: dict[str, Any]) -> list[str]:
    """Return two Markdown tables: the share found of each incident, and the false alarms of each metric."""
    scales = results["scales"]
    head = [f"scale {scale}" for scale in scales]
    found = list(dict.fromkeys(kind for one in scales.values() for kind in one["found"]))
    lines = _table(
        ["incident, found on its first day", *head],
        [
            [kind.replace("_", " "), *(f"{one['found'][kind]:.1%}".replace("%", " %") for one in scales.values())]
            for kind in found
        ],
    )
    lines += ["", *_table(["false alarms per year", *head], _false_alarms(scales))]
    return lines


def _false_alarms(scales: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, metric in METRICS.items():
        for by in ("", metric.by) if metric.by else ("",):
            cells = []
            for one in scales.values():
                values = [
                    v
                    for key, v in one["false_alarms"].items()
                    if key.partition(" (")[0] == name and ("(" in key) == bool(by)
                ]
                cells.append(f"{max(values):.2f}" if values else "")
            if any(cells):
                rows.append([f"`{name}`" + (f", the worst {by}" if by else ""), *cells])
    rows.append(["all together", *(f"{sum(one['false_alarms'].values()):.1f}" for one in scales.values())])
    return rows


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
