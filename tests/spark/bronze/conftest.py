"""Builds order files line by line, and runs bronze over a landing folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

DAY = date(2018, 1, 1)
DAYS_AHEAD = 30
"""How many days the order of a valid line lies after DAY, which is allowed here."""
KEY = b"a key that no plan may show"
VALID: dict[str, str] = {
    "Type": "DEBIT",
    "Days for shipping (real)": "3",
    "Days for shipment (scheduled)": "4",
    "Benefit per order": "91.25",
    "Sales per customer": "314.6400146",
    "Delivery Status": "Advance shipping",
    "Late_delivery_risk": "0",
    "Category Id": "73",
    "Category Name": "Sporting Goods",
    "Customer City": "Caguas",
    "Customer Country": "Puerto Rico",
    "Customer Email": " Jane.Doe@Example.com ",
    "Customer Fname": "Jane",
    "Customer Id": "20755",
    "Customer Lname": "Doe",
    "Customer Password": "hunter2",
    "Customer Segment": "Consumer",
    "Customer State": "PR",
    "Customer Street": "5365 Noble Nectar Island",
    "Customer Zipcode": "725",
    "Department Id": "2",
    "Department Name": "Fitness",
    "Latitude": "18.2514534",
    "Longitude": "-66.03705597",
    "Market": "Pacific Asia",
    "Order City": "Bekasi",
    "Order Country": "Indonesia",
    "Order Customer Id": "20755",
    "order date (DateOrders)": "1/31/2018 22:56",
    "Order Id": "77202",
    "Order Item Cardprod Id": "1360",
    "Order Item Discount": "13.10999966",
    "Order Item Discount Rate": "0.039999999",
    "Order Item Id": "180517",
    "Order Item Product Price": "327.75",
    "Order Item Profit Ratio": "0.289999992",
    "Order Item Quantity": "1",
    "Sales": "327.75",
    "Order Item Total": "314.6400146",
    "Order Profit Per Order": "91.25",
    "Order Region": "Southeast Asia",
    "Order State": "Java Occidental",
    "Order Status": "COMPLETE",
    "Order Zipcode": "",
    "Product Card Id": "1360",
    "Product Category Id": "73",
    "Product Description": "",
    "Product Image": "http://images.acmesports.sports/Smart+watch ",
    "Product Name": "Smart watch ",
    "Product Price": "327.75",
    "Product Status": "0",
    "shipping date (DateOrders)": "2/3/2018 22:56",
    "Shipping Mode": "Standard Class",
}
COLUMNS = list(VALID)


def make_line(changes: dict[str, str] | None = None, columns: list[str] = COLUMNS) -> str:
    """A valid line but for the changes, whose values are put in as they are, quotes and all."""
    values = VALID | (changes or {})
    return ",".join(values[column] for column in columns)


def run_bronze(spark: Any, landing: Path, encoding: str = "windows-1252", **settings: Any) -> tuple[Any, Any]:
    """All landed lines of DAY as one DataFrame, and what has landed."""
    from spark_jobs.layers.bronze.landed_lines import BuildStamp, landed_lines
    from spark_jobs.layers.bronze.row_rules import bronze_row_rules
    from spark_jobs.runtime.interval import Interval
    from spark_jobs.storage.landed_text import read_lines
    from spark_jobs.storage.landing import landed_files
    from spark_jobs.tables.source import SourceFormat

    source_format = SourceFormat(encoding, **({"max_order_days_ahead": DAYS_AHEAD} | settings))
    landing_now = landed_files(landing, Interval(DAY, date(2018, 1, 2)), source_format=source_format)
    frame = landed_lines(
        read_lines(spark, landing, landing_now.files),
        landing_now.files,
        bronze_row_rules(),
        KEY,
        BuildStamp("1_0", "1", "0.1.0", datetime(2020, 1, 1, tzinfo=UTC)),
        source_format,
    )
    return frame, landing_now


def mark(row: Any) -> int:
    """The number that the tests give a line by its zip code (zip7 is 7), be it valid or in quarantine; 0 without."""
    found = re.search(r"zip(\d+)", row.order_zipcode or row.line or "")
    return int(found[1]) if found else 0


class Landed:
    """The rows of a run, by file name."""

    def __init__(self, frame: Any, landing: Any) -> None:
        self.frame, self.landing = frame, landing
        self.rows = frame.collect()

    def rows_of(self, name: str) -> list[Any]:
        path = f"dt=2018-01-01/{name}"
        return sorted((row for row in self.rows if row.source_file == path), key=mark)

    def reasons(self, name: str) -> list[list[str]]:
        return [row.reasons for row in self.rows_of(name)]


@pytest.fixture(scope="module")
def land(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Landed]:
    """Lands files (name to bytes) on DAY and runs bronze over them; landed = valid + quarantined is always checked."""

    def run(files: dict[str, bytes], encoding: str = "windows-1252", **settings: Any) -> Landed:
        landing = tmp_path_factory.mktemp("landing")
        folder = landing / "dt=2018-01-01"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        landed = Landed(*run_bronze(spark, landing, encoding, **settings))
        for file in landed.landing.files:
            assert len(landed.rows_of(file.path.rpartition("/")[2])) == file.lines, file.path
        assert len(landed.rows) == landed.landing.lines
        for row in landed.rows:
            assert (row.line is None) == (row.reasons == []), row.reasons
        return landed

    return run
