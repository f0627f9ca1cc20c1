"""The inputs that rules may name: tables as they would be after publication, and what an incremental audit judges.

Inputs of every layer, so that a new table needs no Python:

- `<table>`: each table of the layer as it would be after publication, and each upstream table as the build read it.
- `<table>_changes`: what the build stages of it: the table's columns and `_deleted`; empty where it stages nothing.
- `<table>_published`: the table as published; empty before the first publication.
- `baseline_<table>`: the published rows from which an incremental audit of sums starts; empty where everything is
  judged, so that sums over `baseline_<table>` and what differs are the sums of the table in both cases.

An incremental audit judges the rows of some keys, found apart from the build; where everything is judged (first
publication, weekly maintenance) these inputs are whole tables:

- `judged_<table>`: its rows of the judged keys: those that the build derived again, and all that it stages.
- `<upstream>_of_judged_<table>`: the rows upstream of the same keys.
- `order_items_of_delivered_orders`, `delivered_orders`: the rows of the items of which bronze has had deliveries
  since silver was built before, or that silver stages.
- `orders_with_other_versions`: order_item_id, customer_id, product_id, order_date and landing_date of the orders that
  changed, or were placed while a version of their customer or product does not hold as it is published.
- `orders_of_changed_orders_enriched`, `changed_orders_enriched`: the rows of the items that changed in silver since
  gold was built before, or that gold stages.
- `order_differences`: DIFFERENCE_COLUMNS of all items of the orders of which an item changed, with `sign` -1 as they
  were and 1 as they are.
- `changed_customers`: the customer_id of everyone who has, or had, such an order, or whose versions changed; empty
  where all are. `orders_of_changed_customers`: their orders.

Bronze is judged on the landing dates of the interval. `missing_dates` has those that have not landed (landing_date,
reason), where a setting allows it, and `landed_files_published` the files of these dates as they are published.
`anomalies` has the metrics of these dates that lie outside of their bands (landing_date, severity, sentence).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, TypeVar

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.storage.changes import DELETED
from spark_jobs.storage.key_filter import KeyFilter
from spark_jobs.storage.local_relation import Relation, fetch, local_relation
from spark_jobs.storage.overlay import Overlay

if TYPE_CHECKING:
    from spark_jobs.quality.checkpoint import Input

Value = TypeVar("Value")
DIFFERENCE_COLUMNS = (
    "order_id",
    "customer_id",
    "product_id",
    "order_status",
    "order_date",
    "quantity",
    "line_total",
    "line_profit",
)
"""Few columns, so that a large day's items are few enough to fetch."""
_VERSION_COLUMNS = ("order_item_id", "customer_id", "product_id", "order_date", "landing_date")
_DIMENSIONS = {"dim_customers": "customer_id", "dim_products": "product_id"}


def once(make: Callable[[], Value]) -> Callable[[], Value]:
    """Return a function that calls `make` at its first call and never again, whatever thread calls."""
    lock = threading.Lock()
    made: list[Value] = []

    def value() -> Value:
        with lock:
            if not made:
                made.append(make())
        return made[0]

    return value


def table_inputs(changes: Mapping[str, Callable[[], Overlay]], *, incremental: bool) -> dict[str, Input]:
    """Return the inputs of a layer's own tables; `changes` has each by its name without the schema."""
    inputs: dict[str, Input] = {}
    for name, change in changes.items():
        inputs |= _inputs_of(name, change, incremental)
    return inputs


def _inputs_of(name: str, change: Callable[[], Overlay], incremental: bool) -> dict[str, Input]:
    def nothing() -> DataFrame:
        return change().rows().where("false")

    return {
        name: lambda: change().rows(),
        f"{name}_changes": lambda: _staged(change()),
        f"{name}_published": lambda: _published(change()),
        f"baseline_{name}": lambda: _published(change()) if incremental else nothing(),
    }


def _staged(change: Overlay) -> DataFrame:
    if change.staged is not None:
        return change.staged.frame
    return change.rows().withColumn(DELETED, F.lit(False)).where("false")


def _published(change: Overlay) -> DataFrame:
    return change.rows().where("false") if change.published is None else change.published


@dataclass(frozen=True)
class SilverAudit:
    """What a silver build is judged by.

    `order_items` holds the rows of bronze.order_items that the build read, or at least those that can be the newest of
    their item. `judged` has the columns order_item_id, customer_id and product_card_id: the bronze rows that came,
    went or differ. `delivered` has the column order_item_id: the items of the landing dates that were published since
    silver was built before, found apart from the build. None judges everything.
    """

    order_items: Callable[[], DataFrame]
    changes: Mapping[str, Callable[[], Overlay]]
    judged: Callable[[], Relation | None]
    delivered: Callable[[], Relation | None]

    def inputs(self, *, incremental: bool) -> dict[str, Input]:
        """Return the inputs by name; nothing is read before one is called."""
        orders = self.changes["orders"]
        judged = once(lambda: _judged_keys(orders(), self.judged(), "order_item_id"))
        delivered = once(lambda: _judged_keys(orders(), self.delivered(), "order_item_id"))
        inputs = {
            "order_items": self.order_items,
            **table_inputs(self.changes, incremental=incremental),
            "judged_orders": lambda: _rows_after(orders(), judged()),
            "order_items_of_judged_orders": lambda: _rows(judged(), self.order_items()),
            "delivered_orders": lambda: _rows_after(orders(), delivered()),
            "order_items_of_delivered_orders": lambda: _rows(delivered(), self.order_items()),
            "orders_with_other_versions": once(lambda: self._orders_with_other_versions(judged())),
        }
        for table, natural, source in (
            ("dim_customers", "customer_id", "customer_id"),
            ("dim_products", "product_id", "product_card_id"),
        ):
            inputs |= self._of_dimension(table, natural, source)
        return inputs

    def _of_dimension(self, table: str, natural: str, source: str) -> dict[str, Input]:
        change = self.changes[table]

        def judged_keys() -> KeyFilter | None:
            judged = self.judged()
            named = None if judged is None else judged.distinct(source).renamed(natural)
            return _judged_keys(change(), named, natural)

        keys = once(judged_keys)

        def delivered() -> DataFrame:
            found = keys()
            rows = self.order_items()
            if found is None:
                return rows
            return rows.join(F.broadcast(found.keys.renamed(source).frame), source, "left_semi")

        return {
            f"judged_{table}": lambda: _rows_after(change(), keys()),
            f"order_items_of_judged_{table}": delivered,
        }

    def _orders_with_other_versions(self, judged: KeyFilter | None) -> DataFrame:
        """Return all orders where everything is judged."""
        orders = self.changes["orders"]()
        if judged is None:
            return orders.rows().select(*_VERSION_COLUMNS)
        changes = {natural: self.changes[table]() for table, natural in _DIMENSIONS.items()}
        parts = [_held_differently(change, key) for key, change in changes.items() if change.staged is not None]
        # As a union of rows and not as three conditions: an item may be judged for more than one reason.
        found = [orders.rows_of(judged).select(*_VERSION_COLUMNS)]
        if parts:
            since = fetch(reduce(DataFrame.unionByName, parts))
            after = orders.rows().select(*_VERSION_COLUMNS)
            found += [_placed_since(after, natural, since) for natural in changes]
        return local_relation(reduce(DataFrame.unionByName, found).distinct())


@dataclass(frozen=True)
class OrderDifferences:
    """What differs between the silver that gold was built from before and the one that it reads now.

    `rows` are the DIFFERENCE_COLUMNS of all items, in silver.orders, of the orders of which any item differs, with
    `sign`; `customers` has the customer_id of everyone who has such an order, had one, or changed.
    """

    rows: DataFrame
    customers: Relation

    @classmethod
    def between(cls, before: DataFrame, after: DataFrame, changed: Relation, customers: Relation) -> OrderDifferences:
        """Compare two versions of silver.orders, `before` and `after`.

        `changed` has the order_item_id of the items that may differ, `customers` the customer_id of those whose
        versions may.
        """
        items = KeyFilter.of(changed, "order_item_id")
        were, are = (items.rows(frame).select("order_id", "customer_id") for frame in (before, after))
        both = fetch(were.unionByName(are))
        orders = KeyFilter.of(both, "order_id")
        was, now = (
            orders.rows(frame).select(*DIFFERENCE_COLUMNS, F.lit(sign).alias("sign"))
            for frame, sign in ((before, -1), (after, 1))
        )
        ordered = both.distinct("customer_id").union(customers).distinct("customer_id")
        return cls(local_relation(was.unionByName(now)), ordered)


@dataclass(frozen=True)
class GoldAudit:
    """What a gold build is judged by.

    `upstream` has orders, dim_customers and dim_products, as the build read them, and order_items, the
    bronze.order_items behind them (only its greatest landing date is read). `judged` has the column order_item_id: the
    items that the build derived again; `changed` has it too: the items that differ from the silver that gold was built
    from before, found apart from the build. None judges everything.
    """

    upstream: Mapping[str, Callable[[], DataFrame]]
    changes: Mapping[str, Callable[[], Overlay]]
    judged: Callable[[], Relation | None]
    changed: Callable[[], Relation | None]
    differences: Callable[[], OrderDifferences | None]

    def inputs(self, *, incremental: bool) -> dict[str, Input]:
        """Return the inputs by name; nothing is read before one is called."""
        orders, enriched = self.upstream["orders"], self.changes["orders_enriched"]
        judged = once(lambda: _judged_keys(enriched(), self.judged(), "order_item_id"))
        changed = once(lambda: _judged_keys(enriched(), self.changed(), "order_item_id"))
        differences = once(self.differences)

        def order_differences() -> DataFrame:
            found = differences()
            return orders().select(*DIFFERENCE_COLUMNS, F.lit(1).alias("sign")) if found is None else found.rows

        def changed_customers() -> DataFrame:
            found = differences()
            return orders().select("customer_id").where("false") if found is None else found.customers.frame

        def orders_of_changed_customers() -> DataFrame:
            found = differences()
            rows = orders()
            return rows if found is None else rows.join(F.broadcast(found.customers.frame), "customer_id", "left_semi")

        return {
            **self.upstream,
            **table_inputs(self.changes, incremental=incremental),
            "judged_orders_enriched": lambda: _rows_after(enriched(), judged()),
            "orders_of_judged_orders_enriched": lambda: _rows(judged(), orders()),
            "changed_orders_enriched": lambda: _rows_after(enriched(), changed()),
            "orders_of_changed_orders_enriched": lambda: _rows(changed(), orders()),
            "order_differences": order_differences,
            "changed_customers": changed_customers,
            "orders_of_changed_customers": orders_of_changed_customers,
        }


def _rows(keys: KeyFilter | None, table: DataFrame) -> DataFrame:
    return table if keys is None else keys.rows(table)


def _rows_after(overlay: Overlay, keys: KeyFilter | None) -> DataFrame:
    """Return the table as it would be after publication, of these keys; None: all rows."""
    return overlay.rows() if keys is None else overlay.rows_of(keys)


def _judged_keys(overlay: Overlay, keys: Relation | None, column: str) -> KeyFilter | None:
    """Return the values of `column` to be judged, and those that the build stages without any reason; None for all."""
    if keys is None:
        return None
    if overlay.staged is not None:
        keys = keys.distinct(column).union(overlay.staged.distinct(column))
    return KeyFilter.of(keys, column)


def _held_differently(change: Overlay, natural: str) -> DataFrame:
    """Return `dimension`, `key` and `since` of each natural key with staged versions: from when on they may
    hold differently from what is published.

    A version that differs from its published self in its end alone holds differently from the earlier end on, and one
    with the same validity does not.
    """
    if change.staged is None or change.published is None:
        raise ValueError("only versions that are staged upon published ones can hold differently")
    key = change.key
    # Structs compare field by field, so an open end is greater than any instant.
    end = F.struct(F.col("valid_to").isNull().alias("is_open"), F.col("valid_to").alias("at"))
    published = change.published.join(F.broadcast(change.staged.frame.select(key)), key, "left_semi")
    before = published.select(key, F.col("valid_from").alias("_was_from"), end.alias("_was_to"))
    versions = (
        change.staged.frame.join(before, key, "left")
        .groupBy(natural, key)
        .agg(
            F.count(F.lit(1)).alias("_rows"),
            F.bool_or(DELETED).alias("_is_deleted"),
            F.min("valid_from").alias("_from"),
            F.min(end).alias("_to"),
            F.min("_was_from").alias("_was_from"),
            F.min("_was_to").alias("_was_to"),
        )
    )
    same_begin = (F.col("_rows") == 1) & ~F.col("_is_deleted") & F.col("_from").eqNullSafe(F.col("_was_from"))
    since = F.when(~same_begin, F.least("_from", "_was_from")).otherwise(F.least("_to", "_was_to")["at"])
    found = versions.where(~same_begin | ~F.col("_to").eqNullSafe(F.col("_was_to"))).select(
        F.lit(natural).alias("dimension"), F.col(natural).alias("key"), since.alias("since")
    )
    # NULL: from the beginning.
    earliest = F.when(F.count("since") == F.count(F.lit(1)), F.min("since"))
    return found.groupBy("dimension", "key").agg(earliest.alias("since"))


def _placed_since(orders: DataFrame, natural: str, held_differently: Relation) -> DataFrame:
    """Return the orders that were placed since the versions of their `natural` key hold differently."""
    theirs = held_differently.where("dimension", natural, "key", "since")
    later = theirs.not_before_earliest("since", orders, "order_date")
    placed = (F.col(natural) == F.col("key")) & (F.col("since").isNull() | (F.col("order_date") >= F.col("since")))
    return later.join(F.broadcast(theirs.frame), placed).drop("key", "since")
