"""The parts of lines, as columns of text: made once per process from the parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from feeds.synthetic.calibration import names, parameters
from feeds.synthetic.csv_text import Amounts, constant, fields, float32_texts, joined, texts
from feeds.synthetic.draws import Integers, Stream, below
from feeds.synthetic.feed_settings import FeedSettings, date_of
from feeds.synthetic.order_book import CANCELED
from feeds.synthetic.products import HIGHEST_FACTOR, Products

# Degrees; a store's positions lie within half of it around the middle of its zip code area.
_AREA = 0.04
_LONGEST_SHIPPING = 7


class Vocabulary:
    """Columns of text, each value with the comma that follows it in a line."""

    def __init__(self, settings: FeedSettings) -> None:
        content, lists = parameters(), names()
        self.first_names = fields((name,) for name in lists["first_names"])
        self.last_names = fields((name,) for name in [*lists["last_names"], ""])
        self.streets = texts(lists["last_names"])
        self.suffixes = texts(f" {suffix}" for suffix in lists["street_suffixes"])
        self.segments = fields((row[0],) for row in content["segments"])

        stores = content["stores"]
        self.store_countries, self.store_states, self.store_cities, self.store_zip_codes = (
            fields((row[column],) for row in stores) for column in range(4)
        )
        self.first_positions, self.positions = _positions(settings, stores)

        places = list(_places(content["places"]))
        self.markets = list(content["places"])
        self.market_of_place = np.array([self.markets.index(place[0]) for place in places])
        self.place_cities = fields((market, city, country) for market, _, country, _, city, _ in places)
        self.place_states = fields((region, state) for _, region, _, state, _, _ in places)
        self.place_zip_codes = fields((place[5],) for place in places)

        self.payment_types = fields((row[0],) for row in content["payments"])
        self.statuses = fields((row[1],) for row in content["payments"])
        self.is_canceled = np.array([row[1] in CANCELED for row in content["payments"]])
        shipping = content["shipping"]
        self.shipping_days = fields((real, scheduled) for _, scheduled, real, _, _ in shipping)
        self.shipping_hours = np.array([int(row[3]) for row in shipping])
        self.shipping_modes = texts(row[0] for row in shipping)
        # Delivery status and lateness: by the sign of real days minus scheduled days, and last for canceled orders.
        self.deliveries = fields(
            (("Advance shipping", "0"), ("Shipping on time", "0"), ("Late delivery", "1"), ("Shipping canceled", "0"))
        )
        self.delivery_of_shipping = 1 + np.sign([int(row[2]) - int(row[1]) for row in shipping])

        self.discounts = np.array([row[0] for row in content["discounts_in_thousandths"]])
        self.discount_texts = _rates((self.discounts + 5) // 10)
        self.profit_ratios = np.array([row[0] for row in content["profit_ratios_in_thousandths"]])
        self.profit_ratio_texts = _rates(np.sign(self.profit_ratios) * ((np.abs(self.profit_ratios) + 5) // 10))
        dearest = max(int(row[7] * HIGHEST_FACTOR + 1) * row[8] for row in content["products"])
        self.amounts = Amounts(-dearest, dearest)
        self.small = fields((str(number),) for number in range(10))
        self.minutes = fields((f"{minute // 60}:{minute % 60:02d}",) for minute in range(24 * 60))
        self._products: ProductTexts | None = None

    def dates(self, first_day: int, last_day: int) -> pa.Array:
        """Return the dates from the first day to the last possible day of shipping for the last day."""
        days = map(date_of, range(first_day, last_day + _LONGEST_SHIPPING + 1))
        return texts(f"{each.month}/{each.day}/{each.year} " for each in days)

    def products(self, products: Products, rows: int) -> ProductTexts:
        """Return the texts of at least this many products, by row."""
        if self._products is None or len(self._products.ids) < rows:
            self._products = ProductTexts(products, rows)
        return self._products


class ProductTexts:
    """The parts of lines about products, without price and availability."""

    def __init__(self, products: Products, count: int) -> None:
        rows = np.arange(-(-count // products.slots) * products.slots)
        content = [parameters()["products"][slot] for slot in (rows % products.slots).tolist()]
        ids = products.ids(rows).tolist()
        years = [date_of(max(0, day)).year for day in products.joined(rows).tolist()]
        self.names = [
            row[1] if number < products.slots else f"{row[1].strip()} {year}"
            for number, (row, year) in enumerate(zip(content, years, strict=True))
        ]
        self.content = content
        self.ids = fields((str(number),) for number in ids)
        self.categories = fields((str(row[3]), row[4]) for row in content)
        self.departments = fields((str(row[5]), row[6]) for row in content)
        # product id, category id, description (always empty), image, name
        self.cards = fields(
            (str(number), str(row[3]), "", row[2], name)
            for number, row, name in zip(ids, content, self.names, strict=True)
        )


def _rates(hundredths: Integers) -> pa.Array:
    return joined(float32_texts(hundredths / 100), constant(",", len(hundredths)))


def _places(tree: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield market, region, country, state, city and zip code of all places."""
    for name, branch in tree.items():
        if isinstance(branch, dict):
            yield from _places(branch, (*above, name))
        else:
            yield (*above, name) if len(above) == 5 else (*above, name, "")


def _positions(settings: FeedSettings, stores: list[list[Any]]) -> tuple[Integers, pa.Array]:
    """Return the index of each store's first position in the list of all, and that list: latitude and longitude."""
    counts = np.array([row[7] for row in stores])
    store = np.repeat(np.arange(len(stores)), counts)
    north, east = Stream(settings.seed, "store positions").halves(np.arange(len(store)))
    # In millionths of a degree, so that nothing depends on how a machine rounds.
    half = round(_AREA * 500_000)
    moved = [below(draw, 2 * half) - half for draw in (north, east)]
    latitude, longitude = (
        np.array([row[column] for row in stores])[store] * 10_000 + distance
        for column, distance in zip((5, 6), moved, strict=True)
    )
    comma = constant(",", len(store))
    columns = joined(float32_texts(latitude / 1e6), comma, float32_texts(longitude / 1e6), comma)
    return np.cumsum(counts) - counts, columns
