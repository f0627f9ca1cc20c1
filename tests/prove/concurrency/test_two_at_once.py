"""Runs that overlap, while readers look: equal tables at the end, and never a state that no publication describes."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from pyspark.sql import SparkSession

from spark_jobs.layers.registry import tables_of
from spark_jobs.runtime.errors import PublicationConflict
from spark_jobs.runtime.table_names import LAYERS
from tests.prove.budget import minutes, rounds
from tests.spark.publishing.conftest import email_key  # noqa: F401
from tests.spark.publishing.lakehouse import Lakehouse, order_item

TRIES = 3


def name_of(day: int) -> str:
    return f"2018-01-{day:02d}"


def land(lakehouse: Lakehouse, days: int) -> None:
    """Each day a new item of each customer, a segment that changes, and an item of the day before again."""
    for day in range(1, days + 1):
        segment = ("Consumer", "Corporate", "Home Office")[day % 3]
        items = [order_item(10 * day + n, customer=n, product=5 + n % 2, segment=segment, day=day) for n in (1, 2, 3)]
        again = [order_item(10 * (day - 1) + 1, customer=1, status="CANCELED", day=day - 1)] if day > 1 else []
        lakehouse.land(name_of(day), *items, *again)


def run(lakehouse: Lakehouse, start: str, end: str) -> None:
    """As Airflow does: a publish to which too many others came first is tried again."""
    for layer in LAYERS:
        build = lakehouse.build(layer, start, end)
        # In the suite only what is built again is audited.
        verdict = lakehouse.audit(build) if minutes() else lakehouse.approve(build)
        assert verdict.success, verdict.lines()
        for attempt in range(TRIES):
            try:
                lakehouse.publish(build, verdict.fingerprint)
            except PublicationConflict:
                if attempt == TRIES - 1:
                    raise
            else:
                break


class Reader(threading.Thread):
    """Reads in a loop: the heads of all tables, and each layer by its newest publication."""

    def __init__(self, lakehouse: Lakehouse) -> None:
        super().__init__(daemon=True)
        self._lakehouse = lakehouse
        self._stop_reading = threading.Event()
        self.seen: dict[str, set[int]] = defaultdict(set)
        self.looks = 0
        self.errors: list[str] = []

    def run(self) -> None:
        while not self._stop_reading.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - a reader's thread must not die unseen
                self.errors.append(repr(error)[:2000])
            time.sleep(1 if minutes() else 3)  # a look costs Spark as much as a third of a run

    def _look(self) -> None:
        for layer, publication in self._lakehouse.publications.newest_by_layer().items():
            heads = self._lakehouse.heads(layer)
            for table in [spec.name for spec in tables_of(layer)]:
                self.seen[table].add(heads[table])
                rows = self._lakehouse.at(table, publication.tables[table]).count()
                if rows != publication.row_counts[table]:
                    counted = publication.row_counts[table]
                    self.errors.append(f"{table}: {rows} rows, publication {publication.seq} counts {counted}")
            self.looks += 1

    def end(self) -> None:
        self._stop_reading.set()
        self.join()


@pytest.mark.timed
def test_overlapping_runs_end_in_the_tables_of_one_and_readers_see_publications_only(
    spark: SparkSession,
    email_key: None,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for round_ in rounds():
        chance = Random(round_)
        days = 4 if minutes() else 2
        beside, single = (
            Lakehouse(spark, tmp_path_factory.mktemp("beside"), f"beside{round_}_{name}_") for name in "ab"
        )
        for lakehouse in (beside, single):
            land(lakehouse, days)
        single.run(name_of(1), name_of(days + 1), audited=False)
        # Each day for itself, and all of them by a double trigger; in the suite one day and all.
        each = [(day, day + 1) for day in range(1, days + 1)]
        intervals = [*each, (1, days + 1), (1, days + 1)] if minutes() else [each[0], (1, days + 1)]
        chance.shuffle(intervals)
        reader = Reader(beside)
        reader.start()
        with ThreadPoolExecutor(len(intervals)) as pool:
            runs = [pool.submit(run, beside, name_of(start), name_of(end)) for start, end in intervals]
            for finished in runs:
                finished.result()
        reader.end()
        assert reader.errors == []
        assert beside.everything() == single.everything()
        published = defaultdict(set)
        for layer in LAYERS:
            for publication in beside.publications.since(layer, 0):
                for table, version in publication.tables.items():
                    published[table].add(version)
        undone = {table: sorted(seen - published[table] - {0}) for table, seen in reader.seen.items()}
        print(
            f"round {round_}: {len(intervals)} runs side by side, {reader.looks} looks by readers;"
            f" heads that were undone again: { {table: heads for table, heads in undone.items() if heads} }"
        )
        beside.drop()
        single.drop()
