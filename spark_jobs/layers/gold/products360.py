"""`gold.products360`: one row per product, with tier, margin, health and priority."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DateType, IntegerType, LongType, StringType, StructType

from spark_jobs.layers.gold.product_rules import (
    margin_category,
    performance_tier,
    product_health,
    strategic_priority,
)
from spark_jobs.layers.gold.product_totals import ADDITIVE, AVERAGED, product_totals
from spark_jobs.layers.gold.scores import QUARTILES, QUINTILES, Score, with_scores
from spark_jobs.layers.measures import MONEY, RATE, is_counted, ratio
from spark_jobs.layers.silver.dimensions import DIM_PRODUCTS
from spark_jobs.tables.spec import TableSpec, Write, column, conform

SCHEMA = StructType(
    [
        column("product_id", LongType(), "Key: one row for each product"),
        column("product_name", StringType(), "Name, current"),
        column("category_name", StringType(), "Name of the category, current"),
        column("product_price", DIM_PRODUCTS.schema["product_price"].dataType, "List price, current"),
        column("is_notavailable", BooleanType(), "Whether the product is not available now"),
        column("total_orders", LongType(), "Counted orders with the product"),
        column("units_sold", LongType(), "Units in counted items"),
        column("total_revenue", MONEY, "Sum of the counted items' totals"),
        column("total_profit", MONEY, "Sum of the counted items' profits"),
        column("profit_margin", RATE, "Profit as a share of revenue; NULL without revenue"),
        column("avg_order_value", MONEY, "Revenue from the product in a counted order"),
        column("avg_profit_per_order", MONEY, "Profit from the product in a counted order"),
        column("avg_discount_rate", RATE, "Average discount rate of counted items"),
        column("avg_profit_ratio", RATE, "Average profit ratio of counted items"),
        column("avg_price_charged", MONEY, "Average price charged for a unit in counted items"),
        column("avg_order_cycle_days", RATE, "Average days from order to shipping date of counted items"),
        column("avg_shipping_days", RATE, "Average days that shipping of counted items took"),
        column("late_deliveries", LongType(), "Counted items delivered late"),
        column("unique_customers", LongType(), "Customers with a counted item"),
        column("first_order_date", DateType(), "Day of the first counted order"),
        column("last_order_date", DateType(), "Day of the last counted order"),
        column("days_in_catalog", IntegerType(), "Days from the first to the last counted order"),
        column("consumer_orders", LongType(), "Counted orders of customers who were Consumer then"),
        column("corporate_orders", LongType(), "Counted orders of customers who were Corporate then"),
        column("home_office_orders", LongType(), "Counted orders of customers who were Home Office then"),
        column("completed_orders", LongType(), "Orders that are COMPLETE or CLOSED"),
        column("canceled_orders", LongType(), "Orders that are CANCELED"),
        column("fraud_orders", LongType(), "Orders that are SUSPECTED_FRAUD"),
        column("pending_orders", LongType(), "Orders on their way to any of these"),
        column("order_completion_rate", RATE, "Completed as a share of settled orders; NULL without one"),
        column("order_cancellation_rate", RATE, "Canceled as a share of settled orders"),
        column("order_fraud_rate", RATE, "Suspected of fraud as a share of settled orders"),
        column("order_pending_rate", RATE, "Pending as a share of settled and pending orders"),
        column("revenue_score", IntegerType(), "1 to 5, 5 for the fifth of products with most revenue"),
        column("margin_score", IntegerType(), "1 to 4, 4 for the quarter of products with the best margin"),
        column("performance_tier", StringType(), "Star, Strong, Steady, Weak or Slow Movers"),
        column("margin_category", StringType(), "High, Medium, Low or Very Low"),
        column("product_health", StringType(), "Healthy, At Risk or Monitor"),
        column("strategic_priority", StringType(), "What to do about the product"),
    ]
)

RECENT_DAYS = 90
SCORES = (
    Score("revenue_score", "total_revenue", QUINTILES),
    Score("margin_score", "profit_margin", QUARTILES, least_where="total_revenue = 0"),
)
PLACES = {"discount_rate": (4, 4), "profit_ratio": (4, 4), "product_price": (2, 2)}
"""Averaged value -> decimal places of its sum, and of its average; (0, 4) for the others."""


def recent_units(enriched: DataFrame, as_of: date | None) -> DataFrame:
    """Sum for each product the units in counted items of the RECENT_DAYS days before `as_of`; no row without one.

    None of `as_of`, since nothing has landed: nothing is recent.
    """
    if as_of is None:
        return enriched.where("false").groupBy("product_id").agg(F.sum("quantity").alias("recent_units"))
    start, end = (F.lit(day).cast("timestamp") for day in (as_of - timedelta(days=RECENT_DAYS), as_of))
    recent = enriched.where((F.col("order_date") >= start) & (F.col("order_date") < end) & is_counted())
    return recent.groupBy("product_id").agg(F.sum("quantity").alias("recent_units"))


def products360(enriched: DataFrame, dim_products: DataFrame, as_of: date | None) -> DataFrame:
    """Return one row for each product of the dimension.

    `enriched` is `gold.orders_enriched`, whole, since a score compares all products. `as_of` is the day after
    the greatest landing date; None where nothing has landed. Sums and counts without an item are 0.
    """
    return judged_products(product_totals(enriched), recent_units(enriched, as_of), dim_products)


def judged_products(totals: DataFrame, recent: DataFrame, dim_products: DataFrame) -> DataFrame:
    """Return `gold.products360` from `product_totals` and `recent_units` of all items."""
    products = dim_products.where("is_current").select(
        "product_id", "product_name", "category_name", "product_price", "is_notavailable"
    )
    zeros = {name: F.coalesce(name, F.lit(0)) for name in (*ADDITIVE, "unique_customers", "recent_units")}
    sums = (
        products.join(totals, "product_id", "left")
        .join(recent, "product_id", "left")
        .withColumns(zeros)
        .withColumns({name: F.col(name).try_cast(MONEY) for name in ("total_revenue", "total_profit")})
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
    return conform(judged, SCHEMA)


PRODUCTS360 = TableSpec(
    name="gold.products360",
    comment="Products with their orders, tier, margin, health and priority: one row per product",
    grain="one row per product",
    schema=SCHEMA,
    natural_key=("product_id",),
    merge_key="product_id",
    write=Write.OVERWRITE,
    statistics_columns=("product_id",),
    staged_from=("gold.orders_enriched", "gold.product_totals", "silver.dim_products"),
    derive=lambda tables, as_of: judged_products(
        tables["gold.product_totals"],
        recent_units(tables["gold.orders_enriched"], as_of),
        tables["silver.dim_products"],
    ),
)
