"""`gold.product_totals`: one row per product that any order item names, the exact sums behind `gold.products360`.

They are a separate table so that a day's orders change them without reading all orders: what the orders were is
subtracted, and what they are is added.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, DecimalType, LongType, StructType

from spark_jobs.layers.measures import CANCELED, COMPLETED, PENDING, SUSPECTED_FRAUD, is_counted
from spark_jobs.tables.spec import TableSpec, Write, column, conform

# Sums over any number of items. A DECIMAL(12,2) added up 10^16 times would still fit.
_SUM, _SUM_OF_RATES = DecimalType(28, 2), DecimalType(28, 4)

SCHEMA = StructType(
    [
        column("product_id", LongType(), "Key: one row for each product that an order item names"),
        column("items", LongType(), "Order items, counted or not"),
        *(
            column(name, LongType(), f"Distinct orders: {text}")
            for name, text in (
                ("total_orders", "counted"),
                ("consumer_orders", "counted, of customers who were Consumer then"),
                ("corporate_orders", "counted, of customers who were Corporate then"),
                ("home_office_orders", "counted, of customers who were Home Office then"),
                ("completed_orders", "COMPLETE or CLOSED"),
                ("canceled_orders", "CANCELED"),
                ("fraud_orders", "suspected of fraud"),
                ("pending_orders", "on their way to any of these"),
            )
        ),
        column("units_sold", LongType(), "Units in counted items"),
        column("total_revenue", _SUM, "Sum of the counted items' totals"),
        column("total_profit", _SUM, "Sum of the counted items' profits"),
        *(
            column(f"{what}_{name}", kind if what == "sum" else LongType(), f"{text} of counted items: {what}")
            for what in ("sum", "count")
            for name, kind, text in (
                ("discount_rate", _SUM_OF_RATES, "Discount rates"),
                ("profit_ratio", _SUM_OF_RATES, "Profit ratios"),
                ("product_price", _SUM, "Prices charged"),
                ("cycle_days", LongType(), "Days from order to shipping date"),
                ("actual_shipping_days", LongType(), "Days of shipping"),
            )
        ),
        column("late_deliveries", LongType(), "Counted items delivered late"),
        column("unique_customers", LongType(), "Customers with a counted item"),
        column("first_order_date", DateType(), "Day of the first counted order"),
        column("last_order_date", DateType(), "Day of the last counted order"),
    ]
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
SUMMED = {"units_sold": "quantity", "total_revenue": "line_total", "total_profit": "line_profit"}
SEGMENT_FLAGS = {
    "consumer_orders": "Consumer",
    "corporate_orders": "Corporate",
    "home_office_orders": "Home Office",
}


ORDER_COUNTS = (
    "total_orders",
    *SEGMENT_FLAGS,
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
ITEM_COLUMNS = (
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
"""The columns of `gold.orders_enriched` that `product_totals` and `updated_totals` read."""


def _sums(enriched: DataFrame, *by: str) -> DataFrame:
    """Return the sums and counts of each product, and of each value of the columns `by`. Sums without an item are 0."""
    # First one row for each product and order, so that counts of distinct orders become plain counts.
    counted = is_counted()
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
        *(
            F.bool_or(counted & (F.col("customer_segment") == segment)).alias(name)
            for name, segment in SEGMENT_FLAGS.items()
        ),
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
    """Return `gold.product_totals`: the sums and counts of each product that any item names. Sums without an item are
    0.

    An order's items may name different customers after corrections, so customers are counted by themselves.
    """
    # Not `distinct`, which Spark Connect analyses at once: in a declarative pipeline no table exists yet then.
    pairs = enriched.where(is_counted()).groupBy("product_id", "customer_id").agg(F.lit(1))
    customers = pairs.groupBy("product_id").agg(F.count(F.lit(1)).alias("unique_customers"))
    joined = _sums(enriched).join(customers, "product_id", "left")
    return conform(joined.withColumn("unique_customers", F.coalesce("unique_customers", F.lit(0))), SCHEMA)


def updated_totals(previous: DataFrame, before: DataFrame, after: DataFrame, others: DataFrame) -> DataFrame:
    """Return `gold.product_totals` after some orders changed, from the `previous` totals and without reading all other
    orders.

    `before` and `after` are all items of these orders, as they were and as they are; `others` all other items. Of the
    others only those are read that may hold what a first or last order, or a customer, of these orders held.
    """
    # One frame of both, with the sign that their sums have: a plan in which each is there once is planned quickly.
    signed = before.withColumn("_sign", F.lit(-1)).unionByName(after.withColumn("_sign", F.lit(1)))
    part = previous.withColumn("_sign", F.lit(0)).unionByName(_sums(signed, "_sign"), allowMissingColumns=True)
    weight = F.when(F.col("_sign") == 0, 1).otherwise(F.col("_sign"))

    def part_with(sign: int, name: str) -> Column:
        return F.max(F.when(F.col("_sign") == sign, F.col(name)))

    summed = part.groupBy("product_id").agg(
        *(F.sum(F.col(name) * weight).alias(name) for name in ADDITIVE),
        *(
            part_with(sign, name).alias(f"_{side}_{name}")
            for sign, side in ((0, "previous"), (-1, "removed"), (1, "added"))
            for name in ("first_order_date", "last_order_date")
        ),
        F.coalesce(part_with(0, "unique_customers"), F.lit(0)).alias("_customers"),
    )
    dated = summed.join(_dates_of_others(previous, signed, others), "product_id", "left")
    for name, pick in (("first_order_date", F.least), ("last_order_date", F.greatest)):
        held = F.coalesce(F.col(f"_removed_{name}") == F.col(f"_previous_{name}"), F.lit(False))
        previous_date = F.when(held, F.col(f"_left_{name}")).otherwise(F.col(f"_previous_{name}"))
        dated = dated.withColumn(name, pick(previous_date, F.col(f"_added_{name}")))
    counted = dated.join(_customers_gained(signed, others), "product_id", "left").withColumn(
        "unique_customers", F.col("_customers") + F.coalesce("_gained", F.lit(0))
    )
    return conform(counted.where(F.col("items") > 0), SCHEMA)


def _dates_of_others(previous: DataFrame, signed: DataFrame, others: DataFrame) -> DataFrame:
    """Return first and last date of the other counted items, of the products whose first or last date an order gave
    up."""
    day = F.to_date("order_date")

    def day_with(sign: int, pick: Callable[[Column], Column]) -> Column:
        return pick(F.when(F.col("_sign") == sign, day))

    ends = (
        signed.where(is_counted())
        .groupBy("product_id")
        .agg(
            day_with(-1, F.min).alias("_was_first"),
            day_with(1, F.min).alias("_is_first"),
            day_with(-1, F.max).alias("_was_last"),
            day_with(1, F.max).alias("_is_last"),
        )
    )
    first, last = F.col("first_order_date"), F.col("last_order_date")
    gave_up_first = (F.col("_was_first") == first) & F.coalesce(F.col("_is_first") > first, F.lit(True))
    gave_up_last = (F.col("_was_last") == last) & F.coalesce(F.col("_is_last") < last, F.lit(True))
    asked = ends.join(previous, "product_id").where(gave_up_first | gave_up_last).select("product_id")
    items = (
        others.where(is_counted())
        .select("product_id", "order_date")
        .join(F.broadcast(asked), "product_id", "left_semi")
    )
    return items.groupBy("product_id").agg(
        F.min(day).alias("_left_first_order_date"), F.max(day).alias("_left_last_order_date")
    )


def _customers_gained(signed: DataFrame, others: DataFrame) -> DataFrame:
    """Count for each product the customers who came less those who went, where no other item of theirs counts."""
    pair = ["product_id", "customer_id"]
    both = signed.where(is_counted()).groupBy(*pair).agg(F.sum_distinct(F.col("_sign")).alias("_gained"))
    changed = both.where(F.col("_gained") != 0)  # 0: this customer was and is one of the product's
    known = (
        others.where(is_counted()).select(*pair).join(F.broadcast(changed.select(*pair)), pair, "left_semi").distinct()
    )
    return changed.join(known, pair, "left_anti").groupBy("product_id").agg(F.sum("_gained").alias("_gained"))


PRODUCT_TOTALS = TableSpec(
    name="gold.product_totals",
    comment="Exact sums behind products360: one row per product that any order item names",
    grain="one row per product that any order item names",
    schema=SCHEMA,
    natural_key=("product_id",),
    merge_key="product_id",
    write=Write.OVERWRITE,
    statistics_columns=("product_id",),
    staged_from=("gold.orders_enriched",),
    derive=lambda tables, _: product_totals(tables["gold.orders_enriched"]),
)
