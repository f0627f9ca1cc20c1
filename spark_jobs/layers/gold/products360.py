"""`gold.products360`: one row for each product (design, section 7), and the sums behind it.

The sums are a table of their own, `gold.product_totals`, so that a day's orders change them without a look at all
orders: what the orders were is taken off, and what they are is added.
"""

from collections.abc import Callable
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.layers.gold.measures import CANCELED, COMPLETED, PENDING, SUSPECTED_FRAUD, counts, ratio
from spark_jobs.layers.gold.product_rules import (
    margin_category,
    performance_tier,
    product_health,
    strategic_priority,
)
from spark_jobs.layers.gold.schema import MONEY, PRODUCT_TOTALS, PRODUCTS360
from spark_jobs.layers.gold.scores import QUARTILES, QUINTILES, Score, with_scores
from spark_jobs.layers.silver.schema import conform

RECENT_DAYS = 90

SCORES = (
    Score("revenue_score", "total_revenue", QUINTILES),
    Score("margin_score", "profit_margin", QUARTILES),
)

# Sums over counted items, by the name of the sum; those in AVERAGED also have their number of values, since
# an average is taken over the items that have a value.
AVERAGED = {
    "discount_rate": "avg_discount_rate",
    "profit_ratio": "avg_profit_ratio",
    "product_price": "avg_price_charged",
    "cycle_days": "avg_order_cycle_days",
    "actual_shipping_days": "avg_shipping_days",
}
PLACES = {"discount_rate": (4, 4), "profit_ratio": (4, 4), "product_price": (2, 2)}
SUMMED = {"units_sold": "quantity", "total_revenue": "line_total", "total_profit": "line_profit"}
FLAGS = {
    "consumer_orders": "Consumer",
    "corporate_orders": "Corporate",
    "home_office_orders": "Home Office",
}


ORDER_COUNTS = (
    "total_orders",
    *FLAGS,
    "completed_orders",
    "canceled_orders",
    "fraud_orders",
    "pending_orders",
)
ITEM_SUMS = (
    *SUMMED,
    *(f"sum_{name}" for name in AVERAGED),
    *(f"count_{name}" for name in AVERAGED),
    "late_deliveries",
)
ADDITIVE = ("items", *ORDER_COUNTS, *ITEM_SUMS)
"""Totals of some orders and totals of others add up to those of all of them."""
TOTALLED = (
    "product_id",
    "order_id",
    "customer_id",
    "customer_segment",
    "order_status",
    "order_date",
    "shipping_date",
    "late_delivery_risk",
    *SUMMED.values(),
    *(name for name in AVERAGED if name != "cycle_days"),
)
"""The columns of `gold.orders_enriched` that `product_totals` and `moved_totals` read."""


def _sums(enriched: DataFrame, *by: str) -> DataFrame:
    """The sums and counts of each product, and of each value of the columns `by`. Sums without an item are 0."""
    # First one row for each product and order, so that counts of distinct orders become plain counts.
    counted = counts()
    order_day = F.to_date("order_date")
    status = F.col("order_status")
    items = enriched.withColumn("cycle_days", F.date_diff(F.to_date("shipping_date"), order_day))

    def of_counted(column: str | Column) -> Column:
        return F.when(counted, F.col(column) if isinstance(column, str) else column)

    orders = items.groupBy(*by, "product_id", "order_id").agg(
        F.count(F.lit(1)).alias("items"),
        F.bool_or(counted).alias("total_orders"),
        *(F.sum(of_counted(source)).alias(name) for name, source in SUMMED.items()),
        *(F.sum(of_counted(name)).alias(f"sum_{name}") for name in AVERAGED),
        *(F.count(of_counted(name)).alias(f"count_{name}") for name in AVERAGED),
        F.sum(of_counted(F.col("late_delivery_risk").cast("int"))).alias("late_deliveries"),
        F.min(of_counted(order_day)).alias("first_order_date"),
        F.max(of_counted(order_day)).alias("last_order_date"),
        *(F.bool_or(counted & (F.col("customer_segment") == segment)).alias(name) for name, segment in FLAGS.items()),
        F.bool_or(status.isin(*COMPLETED)).alias("completed_orders"),
        F.bool_or(status == CANCELED).alias("canceled_orders"),
        F.bool_or(status == SUSPECTED_FRAUD).alias("fraud_orders"),
        F.bool_or(status.isin(*PENDING)).alias("pending_orders"),
    )
    return orders.groupBy(*by, "product_id").agg(
        F.sum("items").alias("items"),
        *(F.count_if(name).alias(name) for name in ORDER_COUNTS),
        *(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in ITEM_SUMS),
        F.min("first_order_date").alias("first_order_date"),
        F.max("last_order_date").alias("last_order_date"),
    )


def product_totals(enriched: DataFrame) -> DataFrame:
    """`gold.product_totals`: the sums and counts of each product that any item names. Sums without an item are 0.

    An order's items may name different customers after corrections, so customers are counted by themselves.
    """
    pairs = enriched.where(counts()).select("product_id", "customer_id").distinct()
    customers = pairs.groupBy("product_id").agg(F.count(F.lit(1)).alias("unique_customers"))
    joined = _sums(enriched).join(customers, "product_id", "left")
    return conform(joined.withColumn("unique_customers", F.coalesce("unique_customers", F.lit(0))), PRODUCT_TOTALS)


def moved_totals(standing: DataFrame, before: DataFrame, after: DataFrame, others: DataFrame) -> DataFrame:
    """`gold.product_totals` once some orders have changed: `standing` as published, without a look at what stays.

    `before` and `after` are all items of these orders, as they were and as they are; `others` all other items. Of the
    others only those are read that may hold what a first or last order, or a customer, of these orders held.
    """
    # One frame of both, with the sign that their sums have: a plan in which each is there once is planned quickly.
    signed = before.withColumn("_sign", F.lit(-1)).unionByName(after.withColumn("_sign", F.lit(1)))
    part = standing.withColumn("_sign", F.lit(0)).unionByName(_sums(signed, "_sign"), allowMissingColumns=True)
    weight = F.when(F.col("_sign") == 0, 1).otherwise(F.col("_sign"))

    def of(sign: int, name: str) -> Column:
        return F.max(F.when(F.col("_sign") == sign, F.col(name)))

    summed = part.groupBy("product_id").agg(
        *(F.sum(F.col(name) * weight).alias(name) for name in ADDITIVE),
        *(
            of(sign, name).alias(f"_{side}_{name}")
            for sign, side in ((0, "standing"), (-1, "removed"), (1, "added"))
            for name in ("first_order_date", "last_order_date")
        ),
        F.coalesce(of(0, "unique_customers"), F.lit(0)).alias("_customers"),
    )
    dated = summed.join(_dates_of_others(standing, signed, others), "product_id", "left")
    for name, pick in (("first_order_date", F.least), ("last_order_date", F.greatest)):
        held = F.coalesce(F.col(f"_removed_{name}") == F.col(f"_standing_{name}"), F.lit(False))
        standing_date = F.when(held, F.col(f"_left_{name}")).otherwise(F.col(f"_standing_{name}"))
        dated = dated.withColumn(name, pick(standing_date, F.col(f"_added_{name}")))
    counted = dated.join(_customers_gained(signed, others), "product_id", "left").withColumn(
        "unique_customers", F.col("_customers") + F.coalesce("_gained", F.lit(0))
    )
    return conform(counted.where(F.col("items") > 0), PRODUCT_TOTALS)


def _dates_of_others(standing: DataFrame, signed: DataFrame, others: DataFrame) -> DataFrame:
    """First and last date of the other counted items, of the products whose first or last date an order gave up."""
    day = F.to_date("order_date")

    def of(sign: int, pick: Callable[[Column], Column]) -> Column:
        return pick(F.when(F.col("_sign") == sign, day))

    ends = (
        signed.where(counts())
        .groupBy("product_id")
        .agg(
            of(-1, F.min).alias("_was_first"),
            of(1, F.min).alias("_is_first"),
            of(-1, F.max).alias("_was_last"),
            of(1, F.max).alias("_is_last"),
        )
    )
    first, last = F.col("first_order_date"), F.col("last_order_date")
    gave_up_first = (F.col("_was_first") == first) & F.coalesce(F.col("_is_first") > first, F.lit(True))
    gave_up_last = (F.col("_was_last") == last) & F.coalesce(F.col("_is_last") < last, F.lit(True))
    asked = ends.join(standing, "product_id").where(gave_up_first | gave_up_last).select("product_id")
    items = (
        others.where(counts()).select("product_id", "order_date").join(F.broadcast(asked), "product_id", "left_semi")
    )
    return items.groupBy("product_id").agg(
        F.min(day).alias("_left_first_order_date"), F.max(day).alias("_left_last_order_date")
    )


def _customers_gained(signed: DataFrame, others: DataFrame) -> DataFrame:
    """Of each product the customers who came less those who went, where no other item of theirs counts."""
    pair = ["product_id", "customer_id"]
    both = signed.where(counts()).groupBy(*pair).agg(F.sum_distinct(F.col("_sign")).alias("_gained"))
    moved = both.where(F.col("_gained") != 0)  # 0: this customer was and is one of the product's
    known = others.where(counts()).select(*pair).join(F.broadcast(moved.select(*pair)), pair, "left_semi").distinct()
    return moved.join(known, pair, "left_anti").groupBy("product_id").agg(F.sum("_gained").alias("_gained"))


def recent_units(enriched: DataFrame, as_of: date | None) -> DataFrame:
    """Of each product the units in counted items of the RECENT_DAYS days before `as_of`; no row without one.

    None of `as_of`, since nothing has landed: nothing is recent.
    """
    if as_of is None:
        return enriched.where("false").groupBy("product_id").agg(F.sum("quantity").alias("recent_units"))
    start, end = (F.lit(day).cast("timestamp") for day in (as_of - timedelta(days=RECENT_DAYS), as_of))
    recent = enriched.where((F.col("order_date") >= start) & (F.col("order_date") < end) & counts())
    return recent.groupBy("product_id").agg(F.sum("quantity").alias("recent_units"))


def products360(enriched: DataFrame, dim_products: DataFrame, as_of: date | None) -> DataFrame:
    """One row for each product of the dimension.

    `enriched` is `gold.orders_enriched`, whole, since a score compares all products. `as_of` is the day after
    the greatest landing date; None where nothing has landed. Sums and counts without an item are 0.
    """
    return judged_products(product_totals(enriched), recent_units(enriched, as_of), dim_products)


def judged_products(totals: DataFrame, recent: DataFrame, dim_products: DataFrame) -> DataFrame:
    """`gold.products360` from `product_totals` and `recent_units` of all items."""
    products = dim_products.where("is_current").select(
        "product_id", "product_name", "category_name", "product_price", "is_notavailable"
    )
    zeros = {name: F.coalesce(name, F.lit(0)) for name in (*ADDITIVE, "unique_customers", "recent_units")}
    sums = (
        products.join(totals, "product_id", "left")
        .join(recent, "product_id", "left")
        .withColumns(zeros)
        .withColumns({name: F.col(name).cast(MONEY) for name in ("total_revenue", "total_profit")})
    )
    completed, canceled, fraud, pending, total = (
        F.col(name)
        for name in ("completed_orders", "canceled_orders", "fraud_orders", "pending_orders", "total_orders")
    )
    settled = completed + canceled + fraud
    revenue, profit = F.col("total_revenue"), F.col("total_profit")
    measures = sums.withColumns(
        {
            "profit_margin": ratio(profit, revenue, scale=2, places=4),
            "avg_order_value": ratio(revenue, total, scale=2, places=2),
            "avg_profit_per_order": ratio(profit, total, scale=2, places=2),
            **{
                average: ratio(F.col(f"sum_{name}"), F.col(f"count_{name}"), *PLACES.get(name, (0, 4)))
                for name, average in AVERAGED.items()
            },
            "days_in_catalog": F.date_diff("last_order_date", "first_order_date"),
            "order_completion_rate": ratio(completed, settled, scale=0, places=4),
            "order_cancellation_rate": ratio(canceled, settled, scale=0, places=4),
            "order_fraud_rate": ratio(fraud, settled, scale=0, places=4),
            "order_pending_rate": ratio(pending, settled + pending, scale=0, places=4),
        }
    )
    judged = (
        with_scores(measures, total > 0, SCORES)
        .withColumns({"performance_tier": performance_tier(), "margin_category": margin_category()})
        .withColumns({"product_health": product_health(), "strategic_priority": strategic_priority()})
    )
    return conform(judged, PRODUCTS360)
