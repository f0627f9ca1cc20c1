"""Write a feed's days as landing folders, and the truth about them.

    <landing>/dt=YYYY-MM-DD/orders.csv
    <truth>/dt=YYYY-MM-DD.jsonl         by default <landing>/_truth, which the jobs ignore

A day is written under a hidden name and renamed when it is finished, its truth first. The truth has one line of JSON
for each change of a tracked attribute on that day (`customer`, `product`: the key, the instant and the new values), and
one for each line that was delivered late or damaged (`late`, `repeated`, `corrupt`, `malformed`: the file, the number
of the line in it, 1 for the header, the order item, and the reasons that its quarantine must show). An incident has a
line for each of its days (`incident`: its kind, the landing date, and the market that is missing). The truth about
products does not hold the prices of a day on which all are doubled.
"""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from feeds.daily_replay import FILE_NAME, deliver_folder
from feeds.synthetic.calibration import parameters
from feeds.synthetic.csv_text import ENCODING, body, ends
from feeds.synthetic.faults import FaultInjector
from feeds.synthetic.feed_settings import MISSING_MARKET, FeedSettings, date_of, day_number
from feeds.synthetic.lines import CHUNK, Lines, LineWriter
from feeds.synthetic.order_book import LONGEST_LAG
from spark_jobs.runtime.errors import LandingRefused, ParameterRefused
from spark_jobs.storage.landing_names import folder_name
from spark_jobs.tables.source import SOURCE_NAMES

TRUTH = "_truth"
_HEADER = (",".join(SOURCE_NAMES) + "\r\n").encode(ENCODING)
# With fewer lines, starting another process takes longer than it saves.
_LINES_WORTH_A_PROCESS = 400_000


@dataclass(frozen=True)
class FeedResult:
    """The result of a feed."""

    first: date
    last: date
    days: int
    lines: int
    damaged: int
    """Lines that quarantine must hold."""

    def __str__(self) -> str:
        damaged = f", {self.damaged:,} of them damaged," if self.damaged else ""
        return f"generated {self.lines:,} lines{damaged} in {self.days:,} days, {self.first} to {self.last}"


def generate(
    landing: Path,
    start: date,
    days: int,
    settings: FeedSettings,
    *,
    truth: Path | None = None,
    processes: int | None = None,
    batch: int = CHUNK,
) -> FeedResult:
    """Deliver the feed's days from `start` on, each replacing what had landed for it.

    By default as many `processes` as there are processors, if that saves time; each works on days of about `batch`
    orders at a time. Raises ParameterRefused, and LandingRefused where the folders cannot be written; days that are
    finished by then stay.
    """
    if days < 1:
        raise ParameterRefused(f"a feed of {days} days is empty: give 1 or more")
    if processes is not None and processes < 1:
        raise ParameterRefused(f"{processes} processes cannot make a feed: give 1 or more")
    first = day_number(start)
    orders = max(parameters()["orders_per_weekday_in_thousandths"]) * settings.scale // 1_000_000 + 1
    step = max(1, batch // orders)
    batches = [(begin, min(begin + step, first + days) - 1) for begin in range(first, first + days, step)]
    if processes is None:
        processes = max(1, min(os.cpu_count() or 1, orders * days * 3 // _LINES_WORTH_A_PROCESS))
    truth = truth or landing / TRUTH
    lines = damaged = 0
    try:
        with _hidden(landing) as folder, _hidden(truth) as truths:
            (folder / "replaced").mkdir()
            work = functools.partial(_write_days, settings, folder, truths)
            for written in _results(work, batches, min(processes, len(batches))):
                for day, counted, wrong in written:
                    name = folder_name(date_of(day))
                    (truths / f"{name}.jsonl").replace(truth / f"{name}.jsonl")
                    deliver_folder(folder / name, landing, folder / "replaced")
                    shutil.rmtree(folder / "replaced" / name, ignore_errors=True)
                    lines, damaged = lines + counted, damaged + wrong
    except OSError as error:
        raise LandingRefused(
            f"the feed could not be written to {landing} or {truth}: {error}; days that have landed are complete, so"
            " repeat it once the cause is removed"
        ) from error
    return FeedResult(start, start + timedelta(days=days - 1), days, lines, damaged)


@contextlib.contextmanager
def _hidden(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".feed-", dir=folder))
    try:
        staging.chmod(0o755)
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _results(work: Any, batches: list[tuple[int, int]], processes: int) -> Iterator[list[tuple[int, int, int]]]:
    if processes == 1:
        yield from map(work, batches)
        return
    # Arrow has threads, so its process must not be forked.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, batches)


@functools.lru_cache(maxsize=1)
def _writer(settings: FeedSettings) -> tuple[LineWriter, FaultInjector]:
    return LineWriter(settings), FaultInjector(settings)


def _write_days(
    settings: FeedSettings, folder: Path, truths: Path, span: tuple[int, int]
) -> list[tuple[int, int, int]]:
    """Write a folder and a truth file for each of these days. Return the day, its lines and its damaged lines."""
    writer, injector = _writer(settings)
    days = {day: _DayFile(day, folder, truths) for day in range(span[0], span[1] + 1)}
    for day in days:
        days[day].truth += [_incident(writer, kind, day) for kind in settings.incidents_on(day)]
    for day, entry in _changes(writer, *span):
        days[day].truth.append(entry)
    for lines in writer.lines(*span):
        days[lines.day].add(lines, injector)
        for day in [day for day in days if day < lines.day]:
            days[day].finish()
    for file in days.values():
        file.finish()
    return [(day, file.lines, file.damaged) for day, file in days.items()]


class _DayFile:
    """The file of a day and its truth, while they are being written. One without lines has a header only."""

    def __init__(self, day: int, folder: Path, truths: Path) -> None:
        self.name = folder_name(date_of(day))
        self.truth: list[str] = []
        self.lines = self.damaged = 0
        self._truths = truths
        self._folder = folder / self.name
        self._stream: BinaryIO | None = None
        self._is_finished = False

    def add(self, lines: Lines, injector: FaultInjector) -> None:
        stream = self._open()
        replaced, injected = injector.inject(lines)
        text, bounds = body(lines.text), ends(lines.text)
        extra = np.zeros(len(lines.item_ids) + 1, dtype=np.int64)
        written = 0
        for position, replacement in replaced.items():
            begin, end = int(bounds[position] - bounds[0]), int(bounds[position + 1] - bounds[0])
            stream.write(text[written:begin])
            stream.writelines(replacement)
            written = end
            extra[position + 1] = len(replacement) - 1
        stream.write(text[written:])
        shift = np.cumsum(extra)
        # Line 1 of a file is the header.
        places = self.lines + 2 + np.arange(len(lines.item_ids)) + shift[:-1]
        for fault in injected:
            self._add_truth(
                fault.kind,
                int(places[fault.position]) + fault.offset,
                int(lines.item_ids[fault.position]),
                fault=fault.fault,
                reasons=fault.reasons,
            )
        for position in np.flatnonzero(lines.is_late).tolist():
            order_date = date_of(int(lines.order_days[position])).isoformat()
            self._add_truth("late", int(places[position]), int(lines.item_ids[position]), order_date=order_date)
        self.lines += len(lines.item_ids) + int(shift[-1])
        self.damaged += len(injected)

    def _open(self) -> BinaryIO:
        if self._stream is None:
            self._folder.mkdir()
            self._stream = (self._folder / FILE_NAME).open("wb")
            self._stream.write(_HEADER)
        return self._stream

    def _add_truth(self, kind: str, line: int, item: int, **rest: Any) -> None:
        place = {"kind": kind, "file": f"{self.name}/{FILE_NAME}", "line": line, "order_item_id": item}
        self.truth.append(json.dumps(place | rest, ensure_ascii=False))

    def finish(self) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        self._open().close()
        text = "".join(f"{entry}\n" for entry in self.truth)
        (self._truths / f"{self.name}.jsonl").write_text(text, encoding="utf-8")
        self.truth.clear()


def _changes(writer: LineWriter, first_day: int, last_day: int) -> Iterator[tuple[int, str]]:
    """Yield the truth about customers and products: the day of each change, and its line of JSON."""
    customers, products = writer.customers, writer.products
    days = np.arange(first_day, last_day + 1)
    # All who may be in a file: regular customers, and those who left since the oldest order not yet delivered.
    joined = writer.book.regulars_before(days)
    gone = writer.book.regulars_before(np.maximum(days - LONGEST_LAG, 0)) - customers.regulars
    changes = customers.changed(np.arange(gone[0], joined[-1]), first_day, last_day)
    segments = [row[0] for row in parameters()["segments"]]
    day_index = changes.days - first_day
    is_in_feed = (changes.ids > customers.regular_id(gone[day_index] - 1)) & (
        changes.ids <= customers.regular_id(joined[day_index] - 1)
    )
    for day, number, segment, code in zip(
        *(column[is_in_feed].tolist() for column in (changes.days, changes.ids, changes.segments, changes.zip_codes)),
        strict=True,
    ):
        values = {"customer_segment": segments[segment], "customer_zipcode": code or None}
        yield day, _change("customer", "customer_id", number, day, values)
    rows, days = products.changed(days)
    columns = (days, rows, products.ids(rows), products.cents(rows, days), products.is_unavailable(rows, days))
    for day, row, number, cents, unavailable in zip(*(column.tolist() for column in columns), strict=True):
        content = parameters()["products"][row % products.slots]
        values = {
            "product_price": f"{cents // 100}.{cents % 100:02d}",
            "category_id": content[3],
            # As in bronze: trimmed, inner blanks collapsed.
            "category_name": " ".join(content[4].split()),
            "is_notavailable": unavailable,
        }
        yield day, _change("product", "product_id", number, day, values)


def _incident(writer: LineWriter, incident: str, day: int) -> str:
    entry = {"kind": "incident", "incident": incident, "landing_date": date_of(day).isoformat()}
    if incident == MISSING_MARKET:
        entry["market"] = writer.market_lost_on(day)
    return json.dumps(entry, ensure_ascii=False)


def _change(kind: str, key: str, number: int, day: int, values: dict[str, Any]) -> str:
    at = f"{date_of(day).isoformat()}T00:00:00"
    return json.dumps({"kind": kind, key: number, "at": at, **values}, ensure_ascii=False)
