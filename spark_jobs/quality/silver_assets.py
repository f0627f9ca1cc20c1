"""What the silver gate measures, independently of how silver is built (design, sections 6 and 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from spark_jobs.runtime.concurrency import at_once
from spark_jobs.storage.changes import DELETED
from spark_jobs.storage.key_filter import Keys
from spark_jobs.storage.local_relation import at_hand
from spark_jobs.storage.overlay import Change, compared_totals, profile, sums

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

MEASURES = ("rows", "line_total", "line_profit", "quantity", "sales")
DELIVERY = ("landing_date", "source_file", "row_hash")
# Bronze column -> column of silver.orders, of the values that must be the newest delivery's.
VALUES = {
    "order_id": "order_id",
    "customer_id": "customer_id",
    "product_card_id": "product_id",
    "order_date_dateorders": "order_date",
    "order_status": "order_status",
    "product_price": "product_price",
    "order_item_quantity": "quantity",
    "sales": "sales",
    "order_item_discount": "discount",
    "order_item_total": "line_total",
    "order_profit_per_order": "line_profit",
}
TRACKED = {
    "customer_id": ("customer_segment", "customer_zipcode"),
    "product_id": ("product_price", "category_id", "category_name", "is_notavailable"),
}


def silver_assets(
    *,
    bronze: DataFrame,
    orders: Change,
    customers: Change,
    products: Change,
    touched: DataFrame | None,
    delivered: DataFrame | None = None,
) -> dict[str, DataFrame]:
    """The assets of the silver checkpoint.

    `bronze` holds the rows of bronze.order_items that the build read, or at least those that can be the newest of
    their item. `touched` has columns order_item_id, customer_id and product_card_id: the bronze rows that came, went or
    differ; all rows of these keys are judged. `delivered` has the column order_item_id: the items of the landing dates
    that were published since silver was last built, found apart from the build; the control totals are theirs.
    None judges whole tables (first publication, weekly maintenance).
    """
    touched_products = None if touched is None else touched.withColumnRenamed("product_card_id", "product_id")
    deliveries = bronze.withColumnRenamed("product_card_id", "product_id")
    # Each begins by asking Spark where its keys lie.
    measured_orders, of_customers, of_products, order_versions, unchanged = at_once(
        lambda: _orders(bronze, orders, orders.keys(touched, "order_item_id")),
        lambda: _versions(deliveries, customers, "customer_id", customers.keys(touched, "customer_id")),
        lambda: _versions(deliveries, products, "product_id", products.keys(touched_products, "product_id")),
        lambda: _order_versions(orders, customers, products, touched),
        lambda: unchanged_silver_assets(bronze=bronze, orders=orders, delivered=delivered),
    )
    return {
        "orders": measured_orders,
        "dim_customers": of_customers,
        "dim_products": of_products,
        "order_versions": order_versions,
        **unchanged,
    }


def unchanged_silver_assets(
    *, bronze: DataFrame, orders: Change, delivered: DataFrame | None = None
) -> dict[str, DataFrame]:
    """The assets by which an empty change is judged: silver still is what bronze adds up to."""
    items = orders.keys(delivered, "order_item_id")
    newest = _newest(bronze if items is None else items.rows(bronze)).select("newest.*")
    actual = orders.totals(MEASURES) if items is None else sums(orders.after_of(items), MEASURES)
    return {"control_totals": compared_totals(sums(newest, MEASURES), actual, MEASURES)}


def _delivered(names: dict[str, str]) -> Column:
    return F.struct(*(F.col(name) for name in DELIVERY), *(F.col(b).alias(s) for b, s in names.items()))


def _newest(bronze: DataFrame) -> DataFrame:
    """One row an item: the greatest of its deliveries by date, file and row hash, as a struct."""
    return bronze.groupBy("order_item_id").agg(F.max(_delivered(VALUES)).alias("newest"))


def _orders(bronze: DataFrame, orders: Change, items: Keys | None) -> DataFrame:
    """Every item that was delivered, or stands in silver: how many rows it has, and whether they are the newest."""
    rows = bronze if items is None else items.rows(bronze)
    own = {name: name for name in VALUES.values()}
    after = orders.after_of(items)
    standing = after.groupBy("order_item_id").agg(F.count(F.lit(1)).alias("rows"), F.max(_delivered(own)).alias("row"))
    both = _newest(rows).join(standing, "order_item_id", "full")

    def agree(names: Sequence[str]) -> Column:
        return F.struct(*(F.col(f"newest.{n}") for n in names)).eqNullSafe(
            F.struct(*(F.col(f"row.{n}") for n in names))
        )

    measured = both.select(
        F.coalesce("newest.landing_date", "row.landing_date").alias("landing_date"),
        F.coalesce("rows", F.lit(0)).alias("rows"),
        F.col("newest").isNotNull().alias("is_delivered"),
        agree(DELIVERY).alias("is_newest"),
        agree(tuple(VALUES.values())).alias("values_agree"),
        "order_item_id",
    )
    return profile(measured, ["landing_date", "rows", "is_delivered", "is_newest", "values_agree"], "order_item_id")


def _versions(deliveries: DataFrame, dimension: Change, natural: str, keys: Keys | None) -> DataFrame:
    """Every key that was delivered, or stands in the dimension: whether its versions are one unbroken history."""
    delivered = deliveries.select(natural).distinct()
    if keys is not None:
        delivered = delivered.join(keys.frame, natural, "left_semi")
    in_order = Window.partitionBy(natural).orderBy("valid_from", F.col("valid_to").asc_nulls_last())
    tracked = F.struct(*TRACKED[natural])
    versions = dimension.after_of(keys).select(
        natural,
        F.col(dimension.key).alias("_key"),
        "valid_from",
        "valid_to",
        "is_current",
        tracked.alias("_tracked"),
        F.lead("valid_from").over(in_order).alias("_next"),
        F.lead(tracked).over(in_order).alias("_next_tracked"),
    )
    valid_to, following = F.col("valid_to"), F.col("_next")
    flags = {
        "gaps": valid_to < following,
        "overlaps": following.isNotNull() & (valid_to.isNull() | (valid_to > following)),
        "empty_versions": F.col("valid_from").isNull() | (valid_to <= F.col("valid_from")),
        "open_versions": valid_to.isNull(),
        "wrong_is_current": ~F.col("is_current").eqNullSafe(valid_to.isNull()),
        "equal_neighbours": following.isNotNull() & F.col("_tracked").eqNullSafe(F.col("_next_tracked")),
        "null_surrogate_keys": F.col("_key").isNull(),
    }
    by_key = versions.groupBy(natural).agg(
        F.lit(True).alias("_stands"),
        *(F.count_if(F.coalesce(flag, F.lit(False))).alias(name) for name, flag in flags.items()),
        (F.count("_key") - F.count_distinct("_key")).alias("repeated_surrogate_keys"),
    )
    both = by_key.withColumnRenamed(natural, "_natural").join(
        delivered.withColumn("_delivered", F.lit(True)), F.col("_natural").eqNullSafe(F.col(natural)), "full"
    )
    counts = [*flags, "repeated_surrogate_keys"]
    measured = both.select(
        F.coalesce("_natural", natural).alias(natural),
        F.coalesce("_natural", natural).isNotNull().alias("has_natural_key"),
        F.coalesce("_delivered", F.lit(False)).alias("is_delivered"),
        *(F.coalesce(name, F.lit(0)).alias(name) for name in counts),
    )
    return profile(measured, ["has_natural_key", "is_delivered", *counts], natural)


def versions_by_key(dimension: DataFrame, natural: str, attributes: Sequence[str]) -> DataFrame:
    """One row a natural key, `versions` being all of its versions as structs."""
    return dimension.groupBy(natural).agg(
        F.collect_list(F.struct("valid_from", "valid_to", *attributes)).alias(f"_{natural}_versions")
    )


def valid_at_order_date(natural: str) -> Column:
    """Of the versions joined by `versions_by_key` those that hold at the order's timestamp."""

    def holds(version: Column) -> Column:
        order_date = F.col("order_date")
        return (version["valid_from"] <= order_date) & (
            version["valid_to"].isNull() | (order_date < version["valid_to"])
        )

    return F.coalesce(F.filter(f"_{natural}_versions", holds), F.array())


_BEGIN, _NO_END = "0001-01-01", "9999-12-31"


def _held_otherwise(change: Change, natural: str) -> DataFrame:
    """Of each natural key with staged versions `_since`, from when on they may hold otherwise than as published.

    A version that differs from its published self in its end alone holds otherwise from the earlier end on, and one
    whose span is the same does not.
    """
    if change.staged is None or change.published is None:
        raise ValueError("only versions that are staged upon published ones can hold otherwise")
    key, no_end = change.key, F.to_timestamp(F.lit(_NO_END))
    had = Keys(change.staged.select(key).distinct(), key).rows(change.published)
    was = had.select(key, F.col("valid_from").alias("_was_from"), F.coalesce("valid_to", no_end).alias("_was_to"))
    versions = (
        change.staged.join(was, key, "left")
        .groupBy(natural, key)
        .agg(
            F.count(F.lit(1)).alias("_rows"),
            F.bool_or(DELETED).alias("_goes"),
            F.min("valid_from").alias("_from"),
            F.min(F.coalesce("valid_to", no_end)).alias("_to"),
            F.min("_was_from").alias("_was_from"),
            F.min("_was_to").alias("_was_to"),
        )
    )
    same_begin = (F.col("_rows") == 1) & ~F.col("_goes") & F.col("_from").eqNullSafe(F.col("_was_from"))
    since = F.when(~same_begin, F.coalesce(F.least("_from", "_was_from"), F.to_timestamp(F.lit(_BEGIN)))).when(
        F.col("_to") != F.col("_was_to"), F.least("_to", "_was_to")
    )
    found = versions.withColumn("_since", since).where(F.col("_since").isNotNull())
    return at_hand(found.groupBy(F.col(natural).alias("_natural")).agg(F.min("_since").alias("_since")))


def _placed_since(orders: DataFrame, held_otherwise: DataFrame, natural: str) -> DataFrame:
    """`order_item_id` of these keys' orders since then. The earliest is told as a literal, by which files of earlier
    orders are skipped."""
    earliest = held_otherwise.agg(F.unix_micros(F.min("_since"))).collect()[0][0]
    if earliest is None:
        return orders.select("order_item_id").where("false")
    later = orders.where(F.col("order_date") >= F.timestamp_micros(F.lit(earliest)))
    theirs = (F.col(natural) == F.col("_natural")) & (F.col("order_date") >= F.col("_since"))
    return later.join(F.broadcast(held_otherwise), theirs).select("order_item_id")


def _order_versions(orders: Change, customers: Change, products: Change, touched: DataFrame | None) -> DataFrame:
    """Every order item that changed, or at whose time its customer's or product's versions do not hold as they are
    published: how many of them it finds."""
    after = orders.after().select("order_item_id", "customer_id", "product_id", "order_date", "landing_date")
    found = after
    if (changed := orders.keys(touched, "order_item_id")) is not None:
        # As a union of keys and not as three conditions: an item may be touched in more than one way.
        items = changed.frame
        for change, natural in ((customers, "customer_id"), (products, "product_id")):
            if change.staged is not None:
                items = items.unionByName(_placed_since(after, _held_otherwise(change, natural), natural))
        found = Keys(items.distinct(), "order_item_id").rows(after)
    for change, natural in ((customers, "customer_id"), (products, "product_id")):
        versions = change.after()
        if touched is not None:
            versions = versions.join(found.select(natural).distinct(), natural, "left_semi")
        found = found.join(versions_by_key(versions, natural, ()), natural, "left")
    measured = found.select(
        "landing_date",
        F.size(valid_at_order_date("customer_id")).alias("customer_versions"),
        F.size(valid_at_order_date("product_id")).alias("product_versions"),
        "order_item_id",
    )
    return profile(measured, ["landing_date", "customer_versions", "product_versions"], "order_item_id")
