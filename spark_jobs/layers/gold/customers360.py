"""`gold.customers360`: one row per customer, with RFM scores and segment."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, IntegerType, LongType, StringType, StructType

from spark_jobs.layers.gold.scores import QUINTILES, Score, with_scores
from spark_jobs.layers.measures import MONEY, is_counted, ratio
from spark_jobs.tables.spec import TableSpec, Write, column, conform

SCHEMA = StructType(
    [
        column("customer_id", LongType(), "Key: one row for each customer"),
        column("customer_firstname", StringType(), "First name, current"),
        column("customer_lastname", StringType(), "Last name, current"),
        column("customer_segment", StringType(), "Segment, current"),
        column("customer_zipcode", StringType(), "Zip code, current"),
        column("total_orders", LongType(), "Counted orders"),
        column("total_revenue", MONEY, "Sum of the counted items' totals"),
        column("total_profit", MONEY, "Sum of the counted items' profits"),
        column("avg_order_value", MONEY, "Revenue of a counted order; NULL without one"),
        column("first_order_date", DateType(), "Day of the first counted order"),
        column("latest_order_date", DateType(), "Day of the latest counted order"),
        column(
            "days_since_last_order",
            IntegerType(),
            "Days from the latest counted order to the as-of day; 0 for a later one",
        ),
        column("recency_score", IntegerType(), "1 to 5, 5 for the latest fifth of customers"),
        column("frequency_score", IntegerType(), "1 to 5, 5 for the fifth with most orders"),
        column("monetary_score", IntegerType(), "1 to 5, 5 for the fifth with most revenue"),
        column("rfm_score", StringType(), "The three scores in a row, such as 543"),
        column("rfm_segment", StringType(), "Segment that follows from the scores, such as Champions"),
    ]
)

SCORES = (
    Score("recency_score", "days_since_last_order", QUINTILES, less_is_better=True),
    Score("frequency_score", "total_orders", QUINTILES),
    Score("monetary_score", "total_revenue", QUINTILES),
)


def rfm_segment() -> Column:
    """Return the first segment whose rule holds; NULL without one of the scores."""
    r, f, m = (F.col(score.name) for score in SCORES)
    return (
        F.when(F.col("total_orders") == 0, "Prospects")
        .when((r + f + m).isNull(), F.lit(None))
        .when((r >= 4) & (f >= 4) & (m >= 4), "Champions")
        .when((r <= 2) & (f >= 4) & (m >= 4), "Cannot Lose Them")
        .when((r >= 3) & (f >= 3) & (m >= 3), "Loyal Customers")
        .when((r <= 2) & (f >= 3) & (m >= 3), "At Risk")
        .when((r >= 4) & (f >= 2), "Potential Loyalists")
        .when(r >= 4, "New Customers")
        .when((r == 1) & (f == 1), "Lost Customers")
        .otherwise("Hibernating")
    )


ATTRIBUTES = ("customer_id", "customer_firstname", "customer_lastname", "customer_segment", "customer_zipcode")
MEASURES = (
    "total_orders",
    "total_revenue",
    "total_profit",
    "avg_order_value",
    "first_order_date",
    "latest_order_date",
)


def customers360(orders: DataFrame, dim_customers: DataFrame, as_of: date | None) -> DataFrame:
    """Return one row for each customer of the dimension, with the measures of the counted items.

    `orders` is `gold.orders_enriched` or `silver.orders`, whole, since a score compares all customers.
    `as_of` is the day after the greatest landing date; None where nothing has landed.
    """
    return scored_customers(customer_measures(orders, dim_customers), as_of)


def customer_measures(orders: DataFrame, dim_customers: DataFrame) -> DataFrame:
    """Return ATTRIBUTES and MEASURES of each customer of the dimension, from all of its orders."""
    bought = (
        orders.where(is_counted())
        .groupBy("customer_id")
        .agg(
            F.count_distinct("order_id").alias("total_orders"),
            F.sum("line_total").alias("total_revenue"),
            F.sum("line_profit").alias("total_profit"),
            F.min(F.to_date("order_date")).alias("first_order_date"),
            F.max(F.to_date("order_date")).alias("latest_order_date"),
        )
    )
    nothing = F.lit(0)
    summed = (
        dim_customers.where("is_current")
        .select(*ATTRIBUTES)
        .join(bought, "customer_id", "left")
        .withColumns(
            {
                "total_orders": F.coalesce("total_orders", nothing),
                "total_revenue": F.coalesce("total_revenue", nothing).try_cast(MONEY),
                "total_profit": F.coalesce("total_profit", nothing).try_cast(MONEY),
            }
        )
    )
    average = ratio(F.col("total_revenue"), F.col("total_orders"), scale=2, places=2)
    return summed.withColumn("avg_order_value", average).select(*ATTRIBUTES, *MEASURES)


def scored_customers(measures: DataFrame, as_of: date | None) -> DataFrame:
    """Return `gold.customers360` from the ATTRIBUTES and MEASURES of all customers."""
    # Greatest ignores NULL, and a setting may allow orders that are dated after they landed.
    days = F.date_diff(F.lit(as_of).cast("date"), F.col("latest_order_date"))
    days = F.when(days.isNotNull(), F.greatest(days, F.lit(0)))
    dated = measures.withColumn("days_since_last_order", days)
    scored = with_scores(dated, F.col("total_orders") > 0, SCORES)
    score = F.concat(*(F.col(s.name).cast("string") for s in SCORES))
    return conform(scored.withColumns({"rfm_score": score, "rfm_segment": rfm_segment()}), SCHEMA)


CUSTOMERS360 = TableSpec(
    name="gold.customers360",
    comment="Customers with their orders, RFM scores and segment: one row per customer",
    grain="one row per customer",
    schema=SCHEMA,
    natural_key=("customer_id",),
    merge_key="customer_id",
    write=Write.OVERWRITE,
    statistics_columns=("customer_id",),
    staged_from=("silver.orders", "silver.dim_customers"),
    derive=lambda tables, as_of: customers360(tables["silver.orders"], tables["silver.dim_customers"], as_of),
)
