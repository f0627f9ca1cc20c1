"""A small invented feed of the source's shape, for trying the project without the real data.

    python -m spark_jobs.sample_feed --landing DIR --start 2018-01-01 --days 14 --orders-per-day 60 --seed 7

Same arguments, same bytes, on any machine: all chance comes from random.Random(seed).random(). The rows keep every row
rule, so nothing goes to quarantine; some customers move or change segment and some products change price or run out as
the days pass, so that the dimensions have history. Names, addresses and passwords are made up.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import shutil
import struct
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TypeVar

from spark_jobs.bronze.schema import SOURCE_NAMES
from spark_jobs.errors import LakehouseError, ParameterRefused
from spark_jobs.replay import FILE_NAME, deliver

_T = TypeVar("_T")

_FIRST_NAMES = (
    "Ada",
    "Bruno",
    "Carmen",
    "Dario",
    "Edda",
    "Felix",
    "Greta",
    "Hugo",
    "Inés",
    "Jonas",
    "Kira",
    "Liam",
    "Mara",
    "Noé",
    "Olga",
    "Pablo",
    "Rosa",
    "Søren",
)
_LAST_NAMES = (
    "Abbott",
    "Bélanger",
    "Castillo",
    "Dvorak",
    "Eriksen",
    "Fuchs",
    "Garza",
    "Hoffmann",
    "Ibáñez",
    "Jansen",
    "Keller",
    "Lowe",
    "Müller",
    "Nuñez",
)
_STREETS = (
    "Amber Bend",
    "Cinder Mall",
    "Dusty Impasse",
    "Easy Isle",
    "Golden Hollow",
    "Quiet  Terrace",
    "Silver Grove",
)
_SEGMENTS = ("Consumer", "Consumer", "Corporate", "Home Office")
# city, state, country, zip codes, latitude, longitude of stores
_STORES = (
    ("Caguas", "PR", "Puerto Rico", ("725", "727"), 18.2514534, -66.03705597),
    ("Los Angeles", "CA", "EE. UU.", ("90027", "90046", "90255"), 34.12594605, -118.2910156),
    ("Chicago", "IL", "EE. UU.", ("60640", "60625"), 41.97412872, -87.66506958),
    ("Miami", "FL", "EE. UU.", ("33161", "33142"), 25.8932724, -80.18232727),
)
# market, region, country, state, city, zip code of deliveries
_PLACES = (
    ("Europe", "Western Europe", "Francia", "Isla de Francia", "París", ""),
    ("Europe", "Northern Europe", "Lituania", "Šiauliai", "Šiauliai", ""),
    ("Europe", "Eastern Europe", "Eslovaquia", "Žilina", "Žilina", ""),
    ("LATAM", "Central America", "México", "Puebla", "Puebla", ""),
    ("LATAM", "South America", "Brasil", "São Paulo", "São Paulo", ""),
    ("Pacific Asia", "South Asia", "Bangladés", "Chittagong", "Cox’s Bazar", ""),
    ("Pacific Asia", "Oceania", "Australia", "Queensland", "Townsville", ""),
    ("USCA", "West of USA ", "Estados Unidos", "California", "Los Angeles", "90032"),
    ("USCA", "East of USA", "Estados Unidos", "Nueva York", "New York City", "10024"),
    ("Africa", "East Africa", "Kenia", "Nairobi", "Nairobi", ""),
)
# id, name, category id, category, department id, department, price in cents
_PRODUCTS = (
    (101, "Trail Tent 3", 11, "Camping & Hiking", 2, "Fan Shop", 29998),
    (102, "Trail Tent 5", 11, "Camping & Hiking", 2, "Fan Shop", 39999),
    (103, "Paddle Jacket", 12, "Water Sports", 2, "Fan Shop", 19999),
    (104, "Inland Kayak ", 12, "Water Sports", 2, "Fan Shop", 59995),
    (201, "Court Shoe", 21, "Men's Footwear", 3, "Footwear", 12999),
    (202, "Road Shoe", 22, "Women's Footwear", 3, "Footwear", 9999),
    (301, "Dry Polo", 31, "Golf Gloves", 4, "Golf", 5000),
    (302, "Tour Glove", 31, "Golf Gloves", 4, "Golf", 1999),
    (401, "Dumbbell  Set", 41, "Strength Training", 5, "Fitness", 15999),
    (402, "Smart watch ", 42, "Sporting Goods", 5, "Fitness", 32775),
    (501, "Hockey Stick", 51, "Hockey", 6, "Outdoors", 4999),
    (502, "Garden Hammock", 52, "Garden", 6, "Outdoors", 3999),
    (601, "Field Camera", 61, "Cameras ", 7, "Technology", 45204),
    (602, "Web Camera", 61, "Cameras ", 7, "Technology", 2995),
    (701, "Adult dog supplies", 71, "Pet Supplies", 8, "Pet Shop", 8327),
    (801, "Crime Novel", 81, "Books ", 9, "Book Shop", 1499),
)
# Way of payment and the statuses that go with it, with how often they occur.
_STATUSES: dict[str, tuple[tuple[str, int], ...]] = {
    "DEBIT": (("COMPLETE", 80), ("PROCESSING", 10), ("ON_HOLD", 10)),
    "TRANSFER": (("PENDING", 45), ("PROCESSING", 35), ("SUSPECTED_FRAUD", 8), ("CANCELED", 8), ("PAYMENT_REVIEW", 4)),
    "PAYMENT": (("PENDING_PAYMENT", 100),),
    "CASH": (("CLOSED", 100),),
}
_MODES = (("Standard Class", 4), ("Standard Class", 4), ("Second Class", 2), ("First Class", 1), ("Same Day", 0))
_TYPES = ("DEBIT", "DEBIT", "TRANSFER", "TRANSFER", "PAYMENT", "CASH")
_DISCOUNTS = (0, 1, 2, 3, 4, 5, 7, 9, 10, 12, 13, 15, 16, 17, 18, 20, 25)  # per cent


@dataclass
class _Customer:
    id: int
    first_name: str
    last_name: str
    email: str
    password: str
    street: str
    segment: str
    store: tuple[str, str, str, tuple[str, ...], float, float]
    zip_code: str


@dataclass
class _Product:
    id: int
    name: str
    category_id: int
    category: str
    department_id: int
    department: str
    cents: int
    not_available: bool = False


@dataclass(frozen=True)
class SampleFeed:
    """What was generated."""

    days: int
    orders: int
    lines: int


class _Generator:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a sample, no secret
        self._customers: list[_Customer] = []
        self._products = [_Product(*values) for values in _PRODUCTS]
        self._order_id = self._item_id = 0

    def day(self, day: date, orders: int) -> list[dict[str, str]]:
        """The rows of one day, in order of their ids."""
        for product in self._products:
            if self._chance(0.04):
                product.cents = max(99, product.cents * (90 + self._below(25)) // 100)
            if self._chance(0.02):
                product.not_available = not product.not_available
        minutes = sorted(self._below(24 * 60) for _ in range(orders))
        return [row for minute in minutes for row in self._order(datetime.combine(day, time()), minute)]

    def _order(self, day: datetime, minute: int) -> list[dict[str, str]]:
        self._order_id += 1
        customer = self._customer()
        moment = day + timedelta(minutes=minute)
        mode, scheduled = self._one_of(_MODES)
        real = self._below(7)
        kind = self._one_of(_TYPES)
        status = self._one_of([name for name, weight in _STATUSES[kind] for _ in range(weight)])
        late = 0
        if status in ("CANCELED", "SUSPECTED_FRAUD"):
            delivery = "Shipping canceled"
        elif real > scheduled:
            delivery, late = "Late delivery", 1
        else:
            delivery = "Shipping on time" if real == scheduled else "Advance shipping"
        market, region, country, state, city, zip_code = self._one_of(_PLACES)
        order = {
            "Type": kind,
            "Days for shipping (real)": str(real),
            "Days for shipment (scheduled)": str(scheduled),
            "Delivery Status": delivery,
            "Late_delivery_risk": str(late),
            "Customer City": customer.store[0],
            "Customer Country": customer.store[2],
            "Customer Email": customer.email,
            "Customer Fname": customer.first_name,
            "Customer Id": str(customer.id),
            "Customer Lname": customer.last_name,
            "Customer Password": customer.password,
            "Customer Segment": customer.segment,
            "Customer State": customer.store[1],
            "Customer Street": customer.street,
            "Customer Zipcode": customer.zip_code,
            "Latitude": _float32(customer.store[4]),
            "Longitude": _float32(customer.store[5]),
            "Market": market,
            "Order City": city,
            "Order Country": country,
            "Order Customer Id": str(customer.id),
            "order date (DateOrders)": _moment(moment),
            "Order Id": str(self._order_id),
            "Order Region": region,
            "Order State": state,
            "Order Status": status,
            "Order Zipcode": zip_code,
            "Product Description": "",
            "shipping date (DateOrders)": _moment(moment + timedelta(days=real)),
            "Shipping Mode": mode,
        }
        available = [product for product in self._products if not product.not_available] or self._products
        return [order | self._item(self._one_of(available)) for _ in range(1 + self._below(3))]

    def _item(self, product: _Product) -> dict[str, str]:
        self._item_id += 1
        quantity = 1 + self._below(5)
        rate = self._one_of(_DISCOUNTS)
        sales = product.cents * quantity
        discount = (sales * rate + 50) // 100
        total = sales - discount
        ratio = self._below(70) - 20  # per cent
        profit = _money((total * ratio + 50) // 100)
        return {
            "Benefit per order": profit,
            "Sales per customer": _money(total),
            "Category Id": str(product.category_id),
            "Category Name": product.category,
            "Department Id": str(product.department_id),
            "Department Name": product.department,
            "Order Item Cardprod Id": str(product.id),
            "Order Item Discount": _money(discount),
            "Order Item Discount Rate": _float32(rate / 100),
            "Order Item Id": str(self._item_id),
            "Order Item Product Price": _money(product.cents),
            "Order Item Profit Ratio": _float32(ratio / 100),
            "Order Item Quantity": str(quantity),
            "Sales": _money(sales),
            "Order Item Total": _money(total),
            "Order Profit Per Order": profit,
            "Product Card Id": str(product.id),
            "Product Category Id": str(product.category_id),
            "Product Image": f"http://images.example.com/{product.name.strip().replace(' ', '+')} ",
            "Product Name": product.name,
            "Product Price": _money(product.cents),
            "Product Status": str(int(product.not_available)),
        }

    def _customer(self) -> _Customer:
        """A new customer, or a known one, who now and then has moved or changed segment."""
        if not self._customers or self._chance(0.3):
            first, last, store = self._one_of(_FIRST_NAMES), self._one_of(_LAST_NAMES), self._one_of(_STORES)
            number = len(self._customers) + 1
            customer = _Customer(
                number,
                first,
                last,
                f"customer{number}@example.com",
                f"secret-{self._below(10**6):06d}",
                f"{1 + self._below(9999)} {self._one_of(_STREETS)}",
                self._one_of(_SEGMENTS),
                store,
                self._one_of(store[3]),
            )
            self._customers.append(customer)
            return customer
        customer = self._one_of(self._customers)
        if self._chance(0.06):
            customer.segment = self._one_of(_SEGMENTS)
        if self._chance(0.06):
            customer.zip_code = self._one_of(customer.store[3])
        return customer

    def _below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _one_of(self, values: Sequence[_T]) -> _T:
        return values[self._below(len(values))]


def _float32(number: float) -> str:
    """The number as the source writes it: what single precision makes of it, in ten digits."""
    (single,) = struct.unpack("<f", struct.pack("<f", number))
    return f"{round(single, 9):.10g}"


def _money(cents: int) -> str:
    return _float32(cents / 100)


def _moment(moment: datetime) -> str:
    return f"{moment.month}/{moment.day}/{moment.year} {moment.hour}:{moment.minute:02d}"


def generate(landing: Path, start: date, days: int, orders_per_day: int, seed: int) -> SampleFeed:
    """Writes the feed: a folder a day, replacing what landed for these days. Raises ParameterRefused."""
    if days < 1 or orders_per_day < 0:
        raise ParameterRefused("a sample feed needs at least one day, and no negative number of orders")
    landing.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".sample-", dir=landing))
    generator = _Generator(seed)
    lines = 0
    try:
        staging.chmod(0o755)
        for number in range(days):
            day = start + timedelta(days=number)
            folder = staging / f"dt={day.isoformat()}"
            folder.mkdir()
            if rows := generator.day(day, orders_per_day):
                text = io.StringIO(newline="")
                writer = csv.DictWriter(text, SOURCE_NAMES, lineterminator="\r\n")
                writer.writeheader()
                writer.writerows(rows)
                (folder / FILE_NAME).write_bytes(text.getvalue().encode("windows-1252"))
                lines += len(rows)
        deliver(staging, landing)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return SampleFeed(days, days * orders_per_day, lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m spark_jobs.sample_feed", description=__doc__.splitlines()[0])
    parser.add_argument("--landing", type=Path, required=True, help="the landing root to deliver to")
    parser.add_argument("--start", type=date.fromisoformat, default=date(2018, 1, 1), help="the first day")
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--orders-per-day", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    try:
        feed = generate(options.landing, options.start, options.days, options.orders_per_day, options.seed)
    except (LakehouseError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"generated {feed.lines:,} lines of {feed.orders:,} orders in {feed.days} days from {options.start}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
