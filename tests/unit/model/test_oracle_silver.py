"""The oracle of silver against cases worked out by hand."""

# ruff: noqa: DTZ001 - instants in UTC are naive in Python where Spark hands them over

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.model import cases, oracle
from tests.unit.model.cases import History, bronze_row


@pytest.mark.parametrize("history", cases.HISTORIES, ids=lambda history: history.name)
@pytest.mark.parametrize("backwards", [False, True])
def test_versions(history: History, backwards: bool) -> None:
    rows = history.rows[::-1] if backwards else history.rows
    versions = oracle.dim_customers(rows)
    assert [
        (
            version["valid_from"],
            version["valid_to"],
            version["customer_segment"],
            version["customer_zipcode"],
            version["customer_firstname"],
            version["customer_lastname"],
        )
        for version in versions
    ] == history.versions
    assert [version["is_current"] for version in versions] == [False] * (len(versions) - 1) + [True]


def test_newest_delivery_by_landing_date_then_file_then_hash() -> None:
    rows = [
        bronze_row(landing_date=date(2018, 1, 2), source_file="a", row_hash="a", sales=Decimal(1)),
        bronze_row(landing_date=date(2018, 1, 1), source_file="z", row_hash="z", sales=Decimal(2)),
        bronze_row(landing_date=date(2018, 1, 2), source_file="b", row_hash="a", sales=Decimal(3)),
        bronze_row(landing_date=date(2018, 1, 2), source_file="b", row_hash="b", sales=Decimal(4)),
        bronze_row(order_item_id=2, sales=Decimal(5)),
    ]
    assert sorted(row["sales"] for row in oracle.newest(rows)) == [4, 5]


def test_products_track_price_category_and_availability_but_not_the_name() -> None:
    rows = [
        bronze_row(order_item_id=day, order_date_dateorders=datetime(2018, 1, day), **changed)
        for day, changed in enumerate(
            (
                dict[str, Any](),
                {"product_name": "ball"},
                {"product_price": Decimal("11.00")},
                {"product_price": Decimal("11.00"), "category_id": 2},
                {"product_price": Decimal("11.00"), "category_id": 2, "category_name": "Sports"},
                {
                    "product_price": Decimal("11.00"),
                    "category_id": 2,
                    "category_name": "Sports",
                    "product_status": True,
                },
            ),
            start=1,
        )
    ]
    versions = oracle.dim_products(rows)
    assert [version["valid_from"].day for version in versions] == [1, 3, 4, 5, 6]
    assert versions[0]["product_name"] == "ball"
    assert [version["is_notavailable"] for version in versions] == [False, False, False, False, True]


def test_surrogate_key() -> None:
    # printf '7:1000001' | sha256sum
    assert (
        oracle.surrogate_key(7, datetime(1970, 1, 1, 0, 0, 1, 1))
        == "274c9b1ad271d2af0662f786e623228d19e31e4debda149f1d202ef5f717e7b9"
    )
