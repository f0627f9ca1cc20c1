"""Hand-written and random bronze rows, which the oracle's tests and those of the Spark functions share."""

# ruff: noqa: DTZ001 - instants in UTC are naive in Python where Spark hands them over

import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.unit.model import oracle

Row = dict[str, Any]

# The columns of bronze that silver reads.
COLUMNS = sorted(
    set(oracle.ORDER_COLUMNS.values())
    | set(oracle.CUSTOMER_TRACKED.values())
    | set(oracle.CUSTOMER_UNTRACKED.values())
    | set(oracle.PRODUCT_TRACKED.values())
    | set(oracle.PRODUCT_UNTRACKED.values())
)


def bronze_row(**values: Any) -> Row:
    """A bronze row: a plain item, delivered on its order's day, with the given columns instead."""
    row: Row = dict.fromkeys(COLUMNS)
    row |= {
        "order_item_id": 1,
        "order_id": 1,
        "customer_id": 1,
        "product_card_id": 1,
        "order_date_dateorders": datetime(2018, 1, 1, 12),
        "shipping_date_dateorders": datetime(2018, 1, 3, 12),
        "order_status": "COMPLETE",
        "customer_segment": "Consumer",
        "customer_zipcode": "725",
        "customer_fname": "Ann",
        "customer_lname": "Lee",
        "customer_email": "e1",
        "product_name": "Ball",
        "category_id": 1,
        "category_name": "Sport",
        "product_price": Decimal("10.00"),
        "product_status": False,
        "order_item_quantity": 1,
        "order_item_total": Decimal("10.00"),
        "order_profit_per_order": Decimal("1.00"),
        "late_delivery_risk": False,
        "source_file": "dt=2018-01-01/a.csv",
        "row_hash": "h",
    }
    assert values.keys() <= set(COLUMNS), values.keys() - set(COLUMNS)
    row |= values
    if row["landing_date"] is None:
        row["landing_date"] = row["order_date_dateorders"].date()
    # The pairs of columns that mean the same agree in bronze.
    row["order_item_product_price"] = row["product_price"]
    return row


@dataclass(frozen=True)
class History:
    """What was delivered of one customer, and the versions (from, to, segment, zip, first and last name)."""

    name: str
    rows: list[Row]
    versions: list[tuple[Any, ...]]


def at(day: int, hour: int = 12, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    """An instant of January 2018."""
    return datetime(2018, 1, day, hour, minute, second, micro)


def delivered(item: int, day: int, segment: str | None = "Consumer", landed: int | None = None, **more: Any) -> Row:
    """Item `item` of an order at noon of a day of January 2018, landed on that day or another."""
    more = {"order_id": item, "order_date_dateorders": at(day)} | more
    return bronze_row(
        order_item_id=item,
        customer_segment=segment,
        landing_date=date(2018, 1, landed or day),
        **more,
    )


ANN = ("725", "Ann", "Lee")
LAST = at(4, 23, 59, 59, 999999)

HISTORIES = [
    History("one row", [delivered(1, 1)], [(at(1), None, "Consumer", *ANN)]),
    History("equal neighbours are one version", [delivered(1, 1), delivered(2, 5)], [(at(1), None, "Consumer", *ANN)]),
    History(
        "a change",
        [delivered(1, 1), delivered(2, 5, "Corporate"), delivered(3, 7, "Corporate")],
        [(at(1), at(5), "Consumer", *ANN), (at(5), None, "Corporate", *ANN)],
    ),
    History(
        "a change and back",
        [delivered(1, 1), delivered(2, 5, "Corporate"), delivered(3, 7)],
        [
            (at(1), at(5), "Consumer", *ANN),
            (at(5), at(7), "Corporate", *ANN),
            (at(7), None, "Consumer", *ANN),
        ],
    ),
    History(
        "the other tracked attribute",
        [delivered(1, 1), delivered(2, 5, customer_zipcode="00725")],
        [(at(1), at(5), "Consumer", *ANN), (at(5), None, "Consumer", "00725", "Ann", "Lee")],
    ),
    History(
        "a late row counts for the start of its landing date, between two others",
        [delivered(1, 2), delivered(2, 1, "Corporate", landed=5), delivered(3, 7, "Home Office")],
        [
            (at(1), at(5, 0), "Consumer", *ANN),  # from the earliest order, which came late
            (at(5, 0), at(7), "Corporate", *ANN),
            (at(7), None, "Home Office", *ANN),
        ],
    ),
    History(
        "only a late row: valid from its order",
        [delivered(1, 1, landed=9)],
        [(at(1), None, "Consumer", *ANN)],
    ),
    History(
        "an item delivered again later counts for the day of that delivery",
        [delivered(1, 1), delivered(1, 1, "Corporate", landed=20)],
        [(at(1), at(20, 0), "Consumer", *ANN), (at(20, 0), None, "Corporate", *ANN)],
    ),
    History(
        "an early row counts for the last instant of its landing date",
        [delivered(1, 3), delivered(2, 9, "Corporate", landed=4), delivered(3, 5, "Corporate")],
        [(at(3), LAST, "Consumer", *ANN), (LAST, None, "Corporate", *ANN)],
    ),
    History(
        "only an early row: valid from before its order",
        [delivered(1, 9, landed=4)],
        [(LAST, None, "Consumer", *ANN)],
    ),
    History(
        "midnight belongs to its own day",
        [delivered(1, 4), delivered(2, 5, "Corporate", order_date_dateorders=at(5, 0), landed=4)],
        [(at(4), LAST, "Consumer", *ANN), (LAST, None, "Corporate", *ANN)],
    ),
    History(
        "of equal instants the greater item counts, the other does not",
        [delivered(3, 1), delivered(5, 4, "Corporate", order_id=4), delivered(4, 4, order_id=4), delivered(6, 6)],
        [
            (at(1), at(4), "Consumer", *ANN),
            (at(4), at(6), "Corporate", *ANN),
            (at(6), None, "Consumer", *ANN),
        ],
    ),
    History(
        "a row that is silent makes no version",
        [delivered(1, 1), delivered(2, 4, "Corporate"), delivered(3, 4)],
        [(at(1), None, "Consumer", *ANN)],
    ),
    History(
        "of equal instants the greater order counts, before the item",
        [delivered(9, 4, "Corporate", order_id=1), delivered(8, 4, order_id=2)],
        [(at(4), None, "Consumer", *ANN)],
    ),
    History(
        "of rows clamped to one instant the later order counts",
        [delivered(1, 3, landed=8), delivered(2, 2, "Corporate", landed=8)],
        [(at(2), None, "Consumer", *ANN)],
    ),
    History(
        "of one item clamped to one instant the later file counts, then the greater hash",
        [
            delivered(1, 1, "Corporate", landed=8, source_file="dt=2018-01-08/a.csv", row_hash="z"),
            delivered(1, 1, "Home Office", landed=8, source_file="dt=2018-01-08/b.csv", row_hash="b"),
            delivered(1, 1, "Consumer", landed=8, source_file="dt=2018-01-08/b.csv", row_hash="a"),
        ],
        [(at(1), None, "Home Office", *ANN)],
    ),
    History(
        "NULL is a value like any other",
        [delivered(1, 1, None), delivered(2, 2, None), delivered(3, 3), delivered(4, 4, None)],
        [(at(1), at(3), None, *ANN), (at(3), at(4), "Consumer", *ANN), (at(4), None, None, *ANN)],
    ),
    History(
        "all tracked attributes NULL from the start",
        [delivered(1, 1, None, customer_zipcode=None), delivered(2, 2, None, customer_zipcode=None)],
        [(at(1), None, None, None, "Ann", "Lee")],
    ),
    History(
        "untracked attributes are those of the version's last row, NULL included",
        [
            delivered(1, 1, customer_fname="An"),
            delivered(2, 2, customer_lname=None),
            delivered(3, 3, "Corporate", customer_fname="Bo"),
        ],
        [(at(1), at(3), "Consumer", "725", "Ann", None), (at(3), None, "Corporate", "725", "Bo", "Lee")],
    ),
]


def histories_in_one() -> tuple[list[Row], list[Row]]:
    """All HISTORIES as bronze rows of customers 1, 2, ..., and the versions expected (email and key aside)."""
    rows, expected = [], []
    for customer, history in enumerate(HISTORIES, start=1):
        rows += [
            row
            | {
                "customer_id": customer,
                "order_item_id": customer * 100 + row["order_item_id"],
                "order_id": customer * 100 + row["order_id"],
            }
            for row in history.rows
        ]
        for start, end, segment, zipcode, first, last in history.versions:
            expected.append(
                {
                    "customer_id": customer,
                    "customer_firstname": first,
                    "customer_lastname": last,
                    "customer_segment": segment,
                    "customer_zipcode": zipcode,
                    "valid_from": start,
                    "valid_to": end,
                    "is_current": end is None,
                }
            )
    return rows, expected


STATUSES = [
    "COMPLETE",
    "COMPLETE",
    "COMPLETE",
    "CLOSED",
    "PENDING",
    "PENDING_PAYMENT",
    "PROCESSING",
    "ON_HOLD",
    "PAYMENT_REVIEW",
    "CANCELED",
    "SUSPECTED_FRAUD",
]


def random_history(seed: int) -> list[Row]:
    """Deliveries of a few keys: attributes that change and change back, late and early items, items delivered
    again, on other days, in other files, for other customers, at equal times, withdrawn items, and NULLs."""
    chance = random.Random(seed)
    moments = [datetime(2017, 10, 20) + timedelta(hours=chance.randrange(24 * 100)) for _ in range(40)]
    rows = []
    for number in range(1, 121):
        item = seed * 1000 + number
        order = seed * 1000 + ((number + 1) // 2 if chance.random() < 0.8 else chance.randint(1, 60))
        ordered = moments[order % len(moments)] + chance.choice([timedelta(), timedelta(microseconds=1)])
        for delivery in range(chance.choice([0, 1, 1, 1, 2, 3])):
            moment = ordered + chance.choice([timedelta()] * 9 + [timedelta(days=2)])
            late = chance.choice([0, 0, 0, 1, 2, 30, -1]) + delivery * chance.choice([0, 1, 7])
            landing = (moment + timedelta(days=late)).date()
            cents = chance.choice([chance.randint(1, 20000), 10000, 1])
            rows.append(
                bronze_row(
                    order_item_id=item,
                    order_id=order,
                    customer_id=seed * 100 + chance.choice([order % 9, order % 9, chance.randint(0, 14)]),
                    product_card_id=seed * 100 + chance.choice([item % 6, item % 6, 6 + item % 3]),
                    order_date_dateorders=moment,
                    shipping_date_dateorders=chance.choice([None, moment + timedelta(hours=number)]),
                    landing_date=landing,
                    source_file=f"dt={landing}/{chance.choice('abc')}{delivery}.csv",
                    row_hash=f"{chance.randrange(16**8):08x}",
                    order_status=chance.choice(STATUSES),
                    customer_segment=chance.choice(["Consumer"] * 3 + ["Corporate", "Home Office", None]),
                    customer_zipcode=chance.choice(["725", "725", "00725", None]),
                    customer_fname=chance.choice(["Ann", "Anne", None]),
                    customer_lname=chance.choice(["Lee", None]),
                    customer_email=chance.choice(["e1", "e2", None]),
                    product_price=Decimal(chance.choice(["10.00", "12.50", "99.99"])),
                    category_id=chance.choice([1, 1, 2, None]),
                    category_name=chance.choice(["Sport", "Sport", "Sports", None]),
                    product_status=chance.choice([False, False, True, None]),
                    product_name=chance.choice(["Ball", "ball", None]),
                    order_item_quantity=chance.choice([1, 2, 5, None]),
                    order_item_total=chance.choice([Decimal(cents).scaleb(-2), Decimal("0.00"), None]),
                    order_profit_per_order=chance.choice([Decimal(chance.randint(-9000, 9000)).scaleb(-2), None]),
                    order_item_discount_rate=chance.choice([Decimal("0.0400"), Decimal("0.1234"), None]),
                    order_item_profit_ratio=chance.choice([Decimal("-2.7500"), Decimal("0.3333"), None]),
                    days_for_shipping_real=chance.choice([0, 2, 5, None]),
                    late_delivery_risk=chance.choice([True, False, None]),
                    latitude=Decimal("18.25145340"),
                )
            )
    return rows
