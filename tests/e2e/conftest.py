"""One running lakehouse for all end-to-end tests: a real scheduler, real job runs, a slice of the real data set."""

from __future__ import annotations

import csv
import io
import lzma
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from laptop.airflow_client import AirflowClient
from laptop.follow import RunResult, TaskProgress, follow
from laptop.keys import ensure_secrets
from laptop.services import DAG, down, free_port, up
from laptop.spark import spark_session
from laptop.state import State, beside
from laptop.wheel import ensure_wheel
from spark_jobs.replay import replay

FIRST, DAYS = date(2018, 1, 1), 3
SPOILED = FIRST + timedelta(days=DAYS)
CENT = Decimal("0.01")


class Silent:
    """A screen for a run that nobody watches."""

    def show(self, tasks: list[TaskProgress], now: datetime) -> None: ...


@dataclass
class Lake:
    """The services, and the slice with what plain Python makes of it."""

    state: State
    rows: list[dict[str, str]]
    spoiled_day: list[bytes]
    """The header and the lines of the day after the slice."""
    session: ExitStack

    def __post_init__(self) -> None:
        self.client = AirflowClient(self.state)
        self.spark = self.session.enter_context(spark_session(self.state))

    def reconnect(self) -> None:
        """To a Spark that was started again."""
        with suppress(Exception):
            self.session.close()
        self.spark = self.session.enter_context(spark_session(self.state))

    def run(self, start: date, end: date) -> RunResult:
        return self.follow(self.trigger(start, end))

    def trigger(self, start: date, end: date) -> str:
        first, after = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (start, end))
        return self.client.trigger(DAG, first, after, "end-to-end test")

    def wait_for(self, run_id: str, task_id: str, state: str, seconds: float = 300) -> None:
        """Until the task of the run is in that state."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = {task["task_id"]: task["state"] for task in self.client.task_instances(DAG, run_id)}
            if found.get(task_id) == state:
                return
            time.sleep(0.5)
        raise AssertionError(f"{task_id} was not {state} within {seconds:.0f} s: {found}")

    def follow(self, run_id: str) -> RunResult:
        return follow(self.client, DAG, run_id, Silent(), timeout=900)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.spark.sql(query).collect()]


def line_total(row: dict[str, str]) -> Decimal:
    """The amount of a line, half-up to the cent from the source's float noise."""
    return Decimal(row["Order Item Total"]).quantize(CENT, ROUND_HALF_UP)


@pytest.fixture(scope="session")
def lake(dataco: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    main_state = State.from_environment()
    folder = tmp_path_factory.mktemp("e2e")
    state = beside(main_state, folder / "state", (free_port(), free_port(), free_port()))
    ensure_wheel(main_state)
    ensure_secrets(state)
    days = {FIRST + timedelta(days=number) for number in range(DAYS)}
    header, lines = _lines_of(dataco, days | {SPOILED})
    source = folder / "slice.csv"
    source.write_bytes(header + b"".join(line for day, line, _ in lines if day in days))
    replay(source, state.landing)
    rows = [row for day, _, row in lines if day in days]
    try:
        up(state)
        spoiled = [header, *(line for day, line, _ in lines if day == SPOILED)]
        with ExitStack() as session:
            lake = Lake(state, rows, spoiled, session)
            lake.client.unpause(DAG)
            yield lake
    finally:
        down(state)


def _lines_of(source: Path, days: set[date]) -> tuple[bytes, list[tuple[date, bytes, dict[str, str]]]]:
    found = []
    with lzma.open(source) as file:
        header = file.readline()
        names = next(csv.reader([header.decode("cp1252")]))
        place = names.index("order date (DateOrders)")
        wanted = tuple(f"{day.month}/{day.day}/{day.year} ".encode() for day in days)
        for line in file:
            if not any(text in line for text in wanted):
                continue
            values = next(csv.reader(io.StringIO(line.decode("cp1252"))))
            month, day, year = map(int, values[place].split()[0].split("/"))
            if date(year, month, day) in days:
                found.append((date(year, month, day), line, dict(zip(names, values, strict=True))))
    return header, found
