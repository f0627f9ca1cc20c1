"""Render a day's orders as the lines of its file: the 53 columns in the source's order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feeds.synthetic.calibration import parameters
from feeds.synthetic.csv_text import constant, joined, numbers
from feeds.synthetic.customers import CustomerRows, Customers
from feeds.synthetic.draws import Flags, Integers, Stream, Weighted, below
from feeds.synthetic.feed_settings import DOUBLED_PRICES, FEWER_ORDERS, MISSING_MARKET, FeedSettings
from feeds.synthetic.order_book import MOST_ITEMS, Deliveries, OrderBook, Orders
from feeds.synthetic.products import Products
from feeds.synthetic.vocabulary import Vocabulary

CHUNK = 16_384
"""The usual number of orders in memory at a time."""
LOST_IN_THOUSANDTHS = 300
"""The share of the orders of a day with fewer_orders that do not land."""
_NOON = 12 * 60
_DAY = 24 * 60


@dataclass(frozen=True)
class Lines:
    """Lines of one day's file, in its order, each with its line end: one row per order item."""

    day: int
    text: pa.Array
    item_ids: Integers
    order_days: Integers
    is_late: Flags


@dataclass(frozen=True)
class _Items:
    orders: Integers
    """The position of their order."""
    ids: Integers
    products: Integers
    cents: Integers
    quantities: Integers
    discounts: Integers
    profit_ratios: Integers
    is_unavailable: Flags

    def where(self, kept: Flags) -> _Items:
        return _Items(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))


class LineWriter:
    """The lines of a feed, day by day."""

    def __init__(self, settings: FeedSettings, chunk: int = CHUNK) -> None:
        """Prepare the texts. `chunk` is the number of orders in memory at a time."""
        self._chunk = chunk
        self._settings = settings
        self.customers = Customers(settings)
        self.products = Products(settings)
        self.book = OrderBook(settings, self.customers)
        self._texts = Vocabulary(settings)
        content = parameters()
        self._discounts = Weighted([row[1] for row in content["discounts_in_thousandths"]])
        self._profit_ratios = Weighted([row[1] for row in content["profit_ratios_in_thousandths"]])
        self._choice, self._terms = (Stream(settings.seed, f"item {name}") for name in ("choice", "terms"))
        self._losses = Stream(settings.seed, "order losses")

    def lines(self, first_day: int, last_day: int) -> Iterator[Lines]:
        """Yield all lines delivered on some days, one after the other, in chunks that belong to one day each."""
        deliveries = self.book.delivered(first_day, last_day)
        for begin in range(0, len(deliveries.numbers), self._chunk):
            chunk = deliveries.where(slice(begin, begin + self._chunk))
            orders = self.book.orders(chunk)
            items = self._after_incidents(chunk, orders, self._items(chunk, orders))
            text = self._render(chunk, orders, items)
            delivered_on = chunk.delivered_on[items.orders]
            order_days, is_late = chunk.days[items.orders], chunk.is_late[items.orders]
            days, begins = np.unique(delivered_on, return_index=True)
            ends = np.append(begins[1:], len(delivered_on))
            for day, start, end in zip(days.tolist(), begins.tolist(), ends.tolist(), strict=True):
                part = slice(start, end)
                yield Lines(day, text[start:end], items.ids[part], order_days[part], is_late[part])

    def _items(self, deliveries: Deliveries, orders: Orders) -> _Items:
        order = np.repeat(np.arange(len(orders.items)), orders.items)
        number = np.arange(len(order)) - np.repeat(np.cumsum(orders.items) - orders.items, orders.items)
        ids = deliveries.numbers[order] * MOST_ITEMS + number + 1
        what, quantity = self._choice.halves(ids)
        discount, profit = self._terms.halves(ids)
        days, delivered_on = deliveries.days[order], deliveries.delivered_on[order]
        catalogue = self.products.catalogue(int(deliveries.days.min()), int(deliveries.days.max()))
        products = catalogue.pick(what, days, orders.is_new[order])
        # A line holds the values of the day of its delivery. The source has one price for item and product, so that is
        # the price of a late item, too.
        first = int(delivered_on.min())
        span = int(delivered_on.max()) - first + 1
        known, at = np.unique(products * span + delivered_on - first, return_inverse=True)
        rows, since = np.divmod(known, span)
        items = _Items(
            orders=order,
            ids=ids,
            products=products,
            cents=self.products.cents(rows, first + since)[at],
            quantities=1 + below(quantity, self.products.most[products % self.products.slots]),
            discounts=self._discounts.pick(discount),
            profit_ratios=self._profit_ratios.pick(profit),
            is_unavailable=self.products.is_unavailable(rows, first + since)[at],
        )
        return items.where(self._is_deliverable(deliveries, items))

    def market_lost_on(self, day: int) -> str:
        """Return the market whose orders are not in the file of a day with missing_market: a different one each day."""
        return self._texts.markets[day % len(self._texts.markets)]

    def _after_incidents(self, deliveries: Deliveries, orders: Orders, items: _Items) -> _Items:
        days = deliveries.delivered_on
        if not self._settings.incidents:
            return items
        drawn = below(self._losses.halves(deliveries.numbers)[0], 1000)
        lost = self._settings.has(FEWER_ORDERS, days) & (drawn < LOST_IN_THOUSANDTHS)
        markets = len(self._texts.markets)
        is_of_lost_market = self._texts.market_of_place[orders.places] == days % markets
        lost |= self._settings.has(MISSING_MARKET, days) & is_of_lost_market
        is_doubled = self._settings.has(DOUBLED_PRICES, days)[items.orders]
        return replace(items, cents=np.where(is_doubled, 2 * items.cents, items.cents)).where(~lost[items.orders])

    def _is_deliverable(self, deliveries: Deliveries, items: _Items) -> Flags:
        """Return whether an item may be delivered: all but those of orders whose earlier delivery had another price.

        A second delivery of such an order would either change the amount paid or revert the product's price.
        """
        again = deliveries.is_again[items.orders]
        days = deliveries.days[items.orders[again]]
        differ = self.products.cents(items.products[again], days) != items.cents[again]
        dropped = np.zeros(len(deliveries.numbers), dtype=np.bool_)
        dropped[items.orders[again][differ]] = True
        return ~dropped[items.orders]

    def _render(self, deliveries: Deliveries, orders: Orders, items: _Items) -> pa.Array:
        texts, count = self._texts, len(items.ids)
        products = texts.products(self.products, int(items.products.max(initial=0)) + 1)
        customers = self.customers.rows(orders.customers, deliveries.delivered_on)

        sales = items.cents * items.quantities
        discount = texts.discounts[items.discounts]
        # Both are rounded half-up independently, as in the source: their sum may exceed the sales by a cent.
        discounts = (sales * discount + 500) // 1000
        totals = (sales * (1000 - discount) + 500) // 1000
        ratio = texts.profit_ratios[items.profit_ratios]
        profits = np.sign(ratio) * ((totals * np.abs(ratio) + 500) // 1000)

        order_of_item, card = pa.array(items.orders), pa.array(items.products)
        price, total, profit = (texts.amounts.texts(column) for column in (items.cents, totals, profits))
        head, delivery, person, order, destination, end = (
            column.take(order_of_item) for column in self._order_columns(deliveries, orders, customers)
        )
        return joined(
            *(head, profit, total, delivery),
            *(products.categories.take(card), person, products.departments.take(card), order),
            *(products.ids.take(card), texts.amounts.texts(discounts)),
            texts.discount_texts.take(pa.array(items.discounts)),
            *(numbers(items.ids), constant(",", count), price),
            texts.profit_ratio_texts.take(pa.array(items.profit_ratios)),
            *(texts.small.take(pa.array(items.quantities)), texts.amounts.texts(sales)),
            *(total, profit, destination, products.cards.take(card), price),
            *(texts.small.take(pa.array(items.is_unavailable.astype(np.int64))), end),
        )

    def _order_columns(self, deliveries: Deliveries, orders: Orders, customers: CustomerRows) -> tuple[pa.Array, ...]:
        """Return what all lines of an order share, in the six pieces that are adjacent in a line."""
        texts, count = self._texts, len(deliveries.numbers)
        comma = constant(",", count)
        shipping = pa.array(orders.shippings)
        payment = pa.array(orders.payments)
        place = pa.array(orders.places)
        canceled = texts.is_canceled[orders.payments]
        delivery = np.where(canceled, 3, texts.delivery_of_shipping[orders.shippings])

        store = pa.array(customers.store)
        customer = numbers(customers.ids)
        street = joined(
            numbers(customers.house),
            _choose(customers.blanks == 2, "  ", " "),
            texts.streets.take(pa.array(customers.street)),
            texts.suffixes.take(pa.array(customers.suffix)),
            _choose(customers.blanks == 1, " ,", ","),
        )
        state, zip_code, city = (
            column.take(store) for column in (texts.store_states, texts.store_zip_codes, texts.store_cities)
        )
        country = texts.store_countries.take(store)
        if customers.zip_missing.any():
            # As in the source, the values are shifted by one column.
            missing = pa.array(customers.zip_missing)
            state, street, city, zip_code = (
                pc.if_else(missing, shifted, column)
                for shifted, column in ((zip_code, state), (city, street), (state, city), (comma, zip_code))
            )
        person = joined(
            *(city, country, constant("customer", count), customer, constant("@example.com,", count)),
            *(texts.first_names.take(pa.array(customers.first_name)), customer, comma),
            *(texts.last_names.take(pa.array(customers.last_name)), constant("XXXXXXXXX,", count)),
            *(texts.segments.take(pa.array(customers.segment)), state, street, zip_code),
        )

        first = int(deliveries.days.min())
        dates = texts.dates(first, int(deliveries.days.max()))
        from_noon = texts.shipping_hours[orders.shippings] % 24 // 12 * _NOON
        days_on, shipped_at = np.divmod(orders.minutes + from_noon, _DAY)
        shipped = deliveries.days + texts.shipping_hours[orders.shippings] // 24 + days_on
        order = joined(
            texts.positions.take(pa.array(texts.first_positions[customers.store] + customers.position)),
            *(texts.place_cities.take(place), customer, comma),
            dates.take(pa.array(deliveries.days - first)),
            texts.minutes.take(pa.array(orders.minutes)),
            *(numbers(deliveries.numbers + 1), comma),
        )
        destination = joined(
            texts.place_states.take(place), texts.statuses.take(payment), texts.place_zip_codes.take(place)
        )
        end = joined(
            dates.take(pa.array(shipped - first)),
            texts.minutes.take(pa.array(shipped_at)),
            texts.shipping_modes.take(shipping),
            constant("\r\n", count),
        )
        head = joined(texts.payment_types.take(payment), texts.shipping_days.take(shipping))
        return head, texts.deliveries.take(pa.array(delivery)), person, order, destination, end


def _choose(condition: Flags, yes: str, no: str) -> pa.Array:
    return pc.if_else(pa.array(condition), pa.scalar(yes.encode(), pa.binary()), pa.scalar(no.encode(), pa.binary()))
