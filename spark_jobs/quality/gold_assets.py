"""What the gold gate measures, independently of how gold is built (design, sections 7 and 8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.quality.gold_360_assets import (
    MovedOrders,
    counts,
    customers360_rows,
    products360_rows,
    score_rows,
    share_rows,
)
from spark_jobs.quality.gold_labels import SCORES
from spark_jobs.quality.product_totals_assets import product_totals_rows
from spark_jobs.quality.silver_assets import MEASURES, valid_at_order_date, versions_by_key
from spark_jobs.runtime.concurrency import at_once
from spark_jobs.storage.local_relation import at_hand
from spark_jobs.storage.overlay import SUM, Change, compared_totals, profile, sums, sums_of_sums

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

CUSTOMER_ATTRIBUTES = {
    name: name
    for name in (
        "customer_firstname",
        "customer_lastname",
        "customer_email_hash",
        "customer_segment",
        "customer_zipcode",
    )
}
# Attribute of the dimension -> its name in orders_enriched, where product_price is the price charged.
PRODUCT_ATTRIBUTES = {
    "product_name": "product_name",
    "category_id": "category_id",
    "category_name": "category_name",
    "product_price": "product_list_price",
    "is_notavailable": "is_notavailable",
}


def gold_assets(
    *,
    bronze: DataFrame,
    orders: DataFrame,
    dim_customers: DataFrame,
    dim_products: DataFrame,
    orders_enriched: Change,
    customers360: Change,
    products360: Change,
    product_totals: Change,
    touched: DataFrame | None,
    changed: DataFrame | None = None,
    moved: MovedOrders | None = None,
) -> dict[str, DataFrame]:
    """The assets of the gold checkpoint.

    `orders` and the dimensions are the whole silver that the build read, `bronze` the bronze.order_items behind
    it (only its greatest landing date is read). `touched` has the column order_item_id: items to be judged one by
    one; None for all. `changed` has it too: the items that differ from the silver that gold was last built from, found
    apart from the build; the control totals are theirs; None for all. The rows of the 360 tables are judged all, since
    scores compare all keys: their sums against silver's orders where `moved` affects them, else against what is
    published; None sums up all orders.
    """
    customers, products = customers360.after(), products360.after()
    as_of = _newest_as_of(bronze)
    # Each asks Spark before it is a frame: where its keys lie, or what columns it has.
    enriched, of_customers, of_products, unchanged = at_once(
        lambda: _enriched(orders, dim_customers, dim_products, orders_enriched, touched),
        lambda: customers360_rows(customers360, orders, dim_customers, moved),
        lambda: products360_rows(products360, orders, dim_products, as_of, moved),
        lambda: _unchanged(orders, orders_enriched, customers360, as_of, changed),
    )
    return {
        "orders_enriched": enriched,
        "customers360": of_customers,
        "products360": of_products,
        "product_totals": product_totals_rows(product_totals, products360),
        "totals360": _totals360(
            {"customers360": customers360, "products360": products360, "product_totals": product_totals}, orders, moved
        ),
        "scores": reduce(
            lambda a, b: a.unionByName(b),
            (
                score_rows(rows, [score for score in SCORES if score.table == table])
                for table, rows in (("customers360", customers), ("products360", products))
            ),
        ),
        "shares": share_rows(customers360, "customers360").unionByName(share_rows(products360, "products360")),
        **unchanged,
    }


def unchanged_gold_assets(
    *,
    bronze: DataFrame,
    orders: DataFrame,
    orders_enriched: Change,
    customers360: Change,
    changed: DataFrame | None = None,
) -> dict[str, DataFrame]:
    """The assets by which an empty change is judged: gold still is what silver adds up to, as of the right day."""
    return _unchanged(orders, orders_enriched, customers360, _newest_as_of(bronze), changed)


def _unchanged(
    orders: DataFrame, orders_enriched: Change, customers360: Change, as_of: DataFrame, changed: DataFrame | None
) -> dict[str, DataFrame]:
    items = orders_enriched.keys(changed, "order_item_id")
    if items is None:
        expected, actual = sums(orders, MEASURES), orders_enriched.totals(MEASURES)
    else:
        expected = sums(items.rows(orders), MEASURES)
        actual = sums(orders_enriched.after_of(items), MEASURES)
    return {
        "control_totals": compared_totals(expected, actual, MEASURES),
        "as_of": _as_of(customers360.after(), as_of),
    }


def _newest_as_of(bronze: DataFrame) -> DataFrame:
    return at_hand(bronze.agg(F.date_add(F.max("landing_date"), 1).alias("as_of")))


def _enriched(
    orders: DataFrame, dim_customers: DataFrame, dim_products: DataFrame, change: Change, touched: DataFrame | None
) -> DataFrame:
    """Every item of silver or gold: one row, silver's values, and the versions that held at the order's timestamp."""
    items = change.keys(touched, "order_item_id")
    expected = orders if items is None else items.rows(orders)
    dims = (
        (dim_customers, "customer_id", "customer_key", CUSTOMER_ATTRIBUTES),
        (dim_products, "product_id", "product_key", PRODUCT_ATTRIBUTES),
    )
    for dimension, natural, key, attributes in dims:
        if items is not None:
            named = F.broadcast(expected.select(natural).distinct())
            dimension = dimension.join(named, natural, "left_semi")
        hashed = dimension.withColumn("_hash", _hash([key, *attributes]))
        versions = versions_by_key(hashed, natural, ("_hash",))
        expected = (
            expected.join(versions, natural, "left")
            .withColumn(f"_{key}_found", valid_at_order_date(natural))
            .drop(f"_{natural}_versions")
        )
    standing = (
        change.after_of(items)
        .groupBy("order_item_id")
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.max("landing_date").alias("_landing_date"),
            F.max(_hash(orders.columns)).alias("_row"),
            *(F.max(_hash([key, *there.values()])).alias(f"_{key}") for _, _, key, there in dims),
        )
    )
    both = expected.select(
        "order_item_id",
        "landing_date",
        _hash(orders.columns).alias("_silver"),
        *(f"_{key}_found" for _, _, key, _ in dims),
    ).join(standing, "order_item_id", "full")

    def finds(key: str) -> Column:
        found = F.col(f"_{key}_found")
        one = (F.size(found) == 1) & (F.try_element_at(found, F.lit(1))["_hash"] == F.col(f"_{key}"))
        return F.coalesce(one, F.lit(False))

    measured = both.select(
        F.coalesce("landing_date", "_landing_date").alias("landing_date"),
        F.coalesce("rows", F.lit(0)).alias("rows"),
        F.col("_silver").isNotNull().alias("is_in_silver"),
        F.coalesce(F.col("_silver") == F.col("_row"), F.lit(False)).alias("equals_silver"),
        finds("customer_key").alias("customer_version_agrees"),
        finds("product_key").alias("product_version_agrees"),
        "order_item_id",
    )
    by = ["rows", "is_in_silver", "equals_silver", "customer_version_agrees", "product_version_agrees"]
    return profile(measured, ["landing_date", *by], "order_item_id")


def _hash(columns: Iterable[str]) -> Column:
    """Of a row's values, for comparing many columns at once; nulls, which the hash skips, are told apart."""
    names = list(columns)
    return F.xxhash64(*names, *(F.col(name).isNull() for name in names))


TOTALS = {
    "customers360": ("total_revenue", "total_profit"),
    "products360": ("units_sold", "total_revenue", "total_profit"),
    "product_totals": ("items",),
}
"""What tables of keys sum up to as a whole."""


def _totals360(changes: dict[str, Change], orders: DataFrame, moved: MovedOrders | None) -> DataFrame:
    """What each table of TOTALS sums up to, or by how much that moved, against silver's items: a row a measure."""
    items = orders.withColumn("_sign", F.lit(1)) if moved is None else moved.signed

    def summed(value: Column) -> Column:
        return F.coalesce(F.sum(value * F.col("_sign")), F.lit(0)).cast(SUM)

    both = items.agg(
        summed(F.when(counts(), F.col("line_total"))).alias("total_revenue"),
        summed(F.when(counts(), F.col("line_profit"))).alias("total_profit"),
        summed(F.when(counts(), F.col("quantity"))).alias("units_sold"),
        summed(F.lit(1)).alias("items"),
    )
    rows: list[Column] = []
    for table, measures in TOTALS.items():
        change = changes[table]
        actual = (
            sums(change.after(), measures)
            if moved is None or change.published is None
            else _difference(change.published, change.after(), measures)
        )
        both = both.crossJoin(actual.select(F.struct(*measures).alias(table)))
        rows += [
            F.struct(
                F.lit(measure).alias("measure"),
                F.col(measure).alias("expected"),
                F.col(f"{table}.{measure}").alias("actual"),
                (F.col(f"{table}.{measure}") - F.col(measure)).alias("difference"),
                F.lit(table).alias("table"),
            )
            for measure in measures
        ]
    return both.select(F.inline(F.array(*rows)))


def _difference(before: DataFrame, after: DataFrame, measures: Sequence[str]) -> DataFrame:
    return sums_of_sums(sums(after, measures).unionByName(sums(before, measures, sign=-1)), measures)


def _as_of(customers: DataFrame, as_of: DataFrame) -> DataFrame:
    """The as-of days that the stored days since the last order speak of, against 1 day + the last landing date."""
    stored = customers.where(F.col("latest_order_date").isNotNull()).select(
        F.date_add("latest_order_date", F.col("days_since_last_order")).alias("stored_as_of"), "customer_id"
    )
    both = profile(stored, ["stored_as_of"], "customer_id").crossJoin(as_of)
    return both.select(
        "stored_as_of",
        "as_of",
        F.date_diff("stored_as_of", "as_of").alias("difference_days"),
        F.col("stored_as_of").isNotNull().alias("has_as_of"),
        "keys",
        "example",
    )
