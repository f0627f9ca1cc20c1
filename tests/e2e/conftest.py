"""One running lakehouse for all end-to-end tests: three days, and what plain Python reads of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from laptop.follow import RunResult, failure_reasons
from laptop.services import DAG
from tests.e2e.lake import Day, Lake, days_of, line_total, running_lake

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


@pytest.fixture(scope="session")
def first_run(lake: Lake) -> RunResult:
    result = lake.run(FIRST, FIRST + timedelta(days=DAYS))
    assert result.succeeded, "\n".join(failure_reasons(lake.client, result))
    return result


def assert_the_tables_agree(lake: Lake, rows: list[dict[str, str]]) -> None:
    """With what plain Python makes of the landed rows."""
    assert lake.sql("SELECT sum(landed_lines) FROM bronze.landed_files") == [(len(rows),)]
    assert lake.sql("SELECT count(*) FROM bronze.order_items") == [(len(rows),)]
    assert lake.sql("SELECT count(*) FROM bronze.quarantine") == [(0,)]
    counts = "SELECT count(*), count(DISTINCT order_id), sum(line_total) FROM silver.orders"
    total = sum(map(line_total, rows), Decimal(0))
    assert lake.sql(counts) == [(len(rows), len({row["Order Id"] for row in rows}), total)]
    customers = {row["Customer Id"] for row in rows}
    assert lake.sql("SELECT count(*), count(DISTINCT customer_id) FROM gold.customers360") == [(len(customers),) * 2]
    assert lake.sql("SELECT count(*) FROM gold.products360") == [(len({row["Product Card Id"] for row in rows}),)]
    counted = [row for row in rows if row["Order Status"] not in ("CANCELED", "SUSPECTED_FRAUD")]
    revenue = sum(map(line_total, counted), Decimal(0))
    assert lake.sql("SELECT sum(total_revenue) FROM gold.customers360") == [(revenue,)]
    assert lake.sql("SELECT sum(total_revenue) FROM gold.products360") == [(revenue,)]
