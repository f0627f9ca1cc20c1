"""One running lakehouse for all end-to-end tests: three days, and what plain Python reads of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from laptop.services import DAG
from tests.e2e.lake import Day, Lake, days_of, running_lake

FIRST, DAYS = date(2018, 1, 1), 3
SPOILED = FIRST + timedelta(days=DAYS)


@dataclass(frozen=True)
class Source:
    """The slice of the real data set, and the days after it."""

    header: bytes
    days: dict[date, Day]

    @property
    def landed(self) -> list[Day]:
        return [self.days[FIRST + timedelta(days=number)] for number in range(DAYS)]

    @property
    def rows(self) -> list[dict[str, str]]:
        return [row for day in self.landed for row in day.rows]


@pytest.fixture(scope="session")
def source(dataco: Path) -> Source:
    return Source(*days_of(dataco, {FIRST + timedelta(days=number) for number in range(DAYS + 1)}))


@pytest.fixture(scope="session")
def lake(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    landed = source.header + b"".join(line for day in source.landed for line in day.lines)
    settings = {"LAKEHOUSE_LANDING_RETRIES": "60", "LAKEHOUSE_SPARK_FEW_ROWS": "true"}
    with running_lake(tmp_path_factory.mktemp("e2e"), landed, settings) as lake:
        lake.client.unpause(DAG)
        yield lake
