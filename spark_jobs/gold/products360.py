"""`gold.products360`: one row for each product (design, section 7)."""

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.gold.measures import CANCELED, COMPLETED, PENDING, SUSPECTED_FRAUD, counts, ratio
from spark_jobs.gold.product_rules import (
    margin_category,
    performance_tier,
    product_health,
    strategic_priority,
)
from spark_jobs.gold.schema import MONEY, PRODUCTS360
from spark_jobs.gold.scores import QUARTILES, QUINTILES, Score, with_scores
from spark_jobs.silver.schema import conform

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


def _by_order(enriched: DataFrame, as_of: date | None) -> DataFrame:
    """One row for each product and order, so that counts of distinct orders become plain counts."""
    counted = counts()
    order_day = F.to_date("order_date")
    status = F.col("order_status")
    # A DATE literal: NULL where nothing has landed, and then nothing is recent.
    end = F.lit(as_of).cast("date")
    start = F.lit(as_of - timedelta(days=RECENT_DAYS) if as_of else None).cast("date")
    items = enriched.withColumn("cycle_days", F.date_diff(F.to_date("shipping_date"), order_day))

    def of_counted(column: str | Column) -> Column:
        return F.when(counted, F.col(column) if isinstance(column, str) else column)

    return items.groupBy("product_id", "order_id").agg(
        F.bool_or(counted).alias("total_orders"),
        *(F.sum(of_counted(source)).alias(name) for name, source in SUMMED.items()),
        *(F.sum(of_counted(name)).alias(f"sum_{name}") for name in AVERAGED),
        *(F.count(of_counted(name)).alias(f"count_{name}") for name in AVERAGED),
        F.sum(of_counted(F.col("late_delivery_risk").cast("int"))).alias("late_deliveries"),
        F.sum(F.when(counted & (order_day >= start) & (order_day < end), F.col("quantity"))).alias("recent_units"),
        F.min(of_counted(order_day)).alias("first_order_date"),
        F.max(of_counted(order_day)).alias("last_order_date"),
        *(F.bool_or(counted & (F.col("customer_segment") == segment)).alias(name) for name, segment in FLAGS.items()),
        F.bool_or(status.isin(*COMPLETED)).alias("completed_orders"),
        F.bool_or(status == CANCELED).alias("canceled_orders"),
        F.bool_or(status == SUSPECTED_FRAUD).alias("fraud_orders"),
        F.bool_or(status.isin(*PENDING)).alias("pending_orders"),
    )


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
    "recent_units",
)


def _by_product(enriched: DataFrame, as_of: date | None) -> DataFrame:
    """The sums and counts of each product that any item names."""
    products = (
        _by_order(enriched, as_of)
        .groupBy("product_id")
        .agg(
            *(F.count_if(name).alias(name) for name in ORDER_COUNTS),
            *(F.sum(name).alias(name) for name in ITEM_SUMS),
            F.min("first_order_date").alias("first_order_date"),
            F.max("last_order_date").alias("last_order_date"),
        )
    )
    # An order's items may name different customers after corrections, so customers are counted by themselves.
    customers = (
        enriched.where(counts()).groupBy("product_id").agg(F.count_distinct("customer_id").alias("unique_customers"))
    )
    return products.join(customers, "product_id", "left")


def products360(enriched: DataFrame, dim_products: DataFrame, as_of: date | None) -> DataFrame:
    """One row for each product of the dimension.

    `enriched` is `gold.orders_enriched`, whole, since a score compares all products. `as_of` is the day after
    the greatest landing date; None where nothing has landed. Sums and counts without an item are 0.
    """
    products = dim_products.where("is_current").select(
        "product_id", "product_name", "category_name", "product_price", "is_notavailable"
    )
    zeros = {name: F.coalesce(name, F.lit(0)) for name in (*ORDER_COUNTS, *ITEM_SUMS, "unique_customers")}
    sums = (
        products.join(_by_product(enriched, as_of), "product_id", "left")
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
