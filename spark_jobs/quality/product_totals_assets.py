"""What the gold gate measures of the products' sums, against the products' table that is audited by itself."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.layers.gold.schema import PRODUCT_TOTALS, PRODUCTS360
from spark_jobs.storage.overlay import Change, profile

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SHARED = tuple(name for name in PRODUCT_TOTALS.names if name in PRODUCTS360.names and name != "product_id")
# Average in products360 -> the value averaged, whose sum and number the totals hold; and the average's decimal places.
AVERAGES = {
    "avg_discount_rate": ("discount_rate", 4),
    "avg_profit_ratio": ("profit_ratio", 4),
    "avg_price_charged": ("product_price", 2),
    "avg_order_cycle_days": ("cycle_days", 4),
    "avg_shipping_days": ("actual_shipping_days", 4),
}


def product_totals_rows(totals: Change, products: Change) -> DataFrame:
    """Every product of either table: its row of sums, at most one, adds up to what products360 says.

    A product without any order item has no sums, and zeros in products360.
    """
    summed, judged = totals.after(), products.after()
    standing = summed.groupBy("product_id").agg(
        F.count(F.lit(1)).alias("rows"), F.max(F.struct(*PRODUCT_TOTALS.names)).alias("t")
    )
    said = judged.groupBy("product_id").agg(F.max(F.struct(*PRODUCTS360.names)).alias("p"))
    both = standing.join(said, "product_id", "full")
    measured = both.select(
        "product_id",
        F.coalesce("rows", F.lit(0)).alias("rows"),
        F.col("p").isNotNull().alias("in_products360"),
        _all(_same_sum(name) for name in SHARED).alias("sums_agree"),
        _all(_same_average(name) for name in AVERAGES).alias("averages_agree"),
    )
    return profile(measured, ["rows", "in_products360", "sums_agree", "averages_agree"], "product_id")


def _all(conditions: Iterable[Column]) -> Column:
    return reduce(lambda a, b: a & b, conditions)


def _same_sum(name: str) -> Column:
    total, said = F.col(f"t.{name}"), F.col(f"p.{name}")
    if name.endswith("_date"):
        return total.eqNullSafe(said)
    return F.coalesce(total, F.lit(0)).eqNullSafe(said)


def _same_average(name: str) -> Column:
    """The average is the quotient of sum and number, as near as its decimal places allow; none without a value."""
    value, places = AVERAGES[name]
    total, number, said = F.col(f"t.sum_{value}"), F.col(f"t.count_{value}"), F.col(f"p.{name}")
    half = 0.5 * 10**-places + 1e-9
    near = F.abs(total.cast("double") / F.nullif(number, F.lit(0)) - said.cast("double")) <= half
    return F.when(F.coalesce(number, F.lit(0)) == 0, said.isNull()).otherwise(F.coalesce(near, F.lit(False)))
