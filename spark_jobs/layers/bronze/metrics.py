"""`bronze.metrics`: one row per landing date, metric and dimension, what landed on that date in numbers.

They belong to bronze, since they are a function of what landed on a date: a date that lands again replaces its own and
no others. In silver and gold an order item belongs to the date of its newest delivery, so the numbers of past dates
would shrink with each redelivery; and a date that differs from others should be known before silver takes it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, DecimalType, StringType, StructType

from spark_jobs.layers.measures import CANCELED, SUSPECTED_FRAUD, is_counted, ratio
from spark_jobs.tables.metric_definitions import ALL, NULL_COLUMNS
from spark_jobs.tables.spec import TableSpec, Write, column, conform

VALUE = DecimalType(24, 6)
SCHEMA = StructType(
    [
        column("landing_date", DateType(), "Day on which the files were delivered"),
        column("metric", StringType(), "What is measured, such as orders"),
        column("dimension", StringType(), "Market, reason or column of which it is measured; empty for the whole date"),
        column("value", VALUE, "Number, amount or share"),
    ]
)
_NULLS = {f"nulls_{name}": name for name in NULL_COLUMNS}
_NUMBERS = (
    "orders",
    "valid_lines",
    "revenue",
    "profit",
    "prices",
    "sum_of_prices",
    "counted",
    "late",
    "canceled",
    "fraud",
    *_NULLS,
)
"""The columns that are summed over orders."""


def metrics(landed_files: DataFrame, order_items: DataFrame, quarantine: DataFrame) -> DataFrame:
    """Return the metrics of each landing date with a landed file.

    Counts and sums of nothing are 0. A share or average without a denominator has no row, nor has a market or a reason
    that the date lacks.
    """
    summed = _summed(order_items)
    counts = ("quarantined_lines", *_NUMBERS)
    dates = (
        landed_files.groupBy("landing_date")
        .agg(F.sum("landed_lines").alias("landed_lines"))
        .join(_of(summed, is_total=True), "landing_date", "left")
        .join(
            quarantine.groupBy("landing_date").agg(F.count(F.lit(1)).alias("quarantined_lines")), "landing_date", "left"
        )
        .withColumns({name: F.coalesce(name, F.lit(0)) for name in counts})
    )
    reasons = quarantine.select("landing_date", F.explode(F.array_distinct(_kinds())).alias("dimension"))
    by_reason = reasons.groupBy("landing_date", "dimension").agg(F.count(F.lit(1)).alias("value"))
    rows = (
        _rows(dates, F.lit(ALL), _of_date()),
        dates.select(
            "landing_date", F.lit("null_share").alias("metric"), F.inline(_null_shares()).alias("dimension", "value")
        ),
        _rows(_of(summed, is_total=False), F.col("market"), _of_market()),
        by_reason.select("landing_date", F.lit("quarantined_lines").alias("metric"), "dimension", "value"),
    )
    every, *others = (conform(part, SCHEMA) for part in rows)
    for part in others:
        every = every.unionByName(part)
    return every.where(F.col("value").isNotNull())


def _kinds() -> Column:
    """Return the reasons of a line without the details of some, such as "wrong number of fields: found 52"."""
    return F.transform("reasons", lambda reason: F.split_part(reason, F.lit(":"), F.lit(1)))


def _summed(order_items: DataFrame) -> DataFrame:
    """Sum _NUMBERS by landing date, and by landing date and market: `is_total` tells them apart.

    First one row per order, which goes to one market (the last in order, should its lines differ), so that counts of
    distinct orders become plain counts.
    """
    counted, status = is_counted(), F.col("order_status")

    def any_item(condition: Column) -> Column:
        return F.max(condition.cast("int"))

    orders = order_items.groupBy("landing_date", "order_id").agg(
        F.max("market").alias("market"),
        F.lit(1).alias("orders"),
        F.count(F.lit(1)).alias("valid_lines"),
        F.sum(F.when(counted, F.col("order_item_total"))).alias("revenue"),
        F.sum(F.when(counted, F.col("order_profit_per_order"))).alias("profit"),
        F.count("order_item_product_price").alias("prices"),
        F.sum("order_item_product_price").alias("sum_of_prices"),
        any_item(counted).alias("counted"),
        any_item(F.col("late_delivery_risk")).alias("late"),
        any_item(status == CANCELED).alias("canceled"),
        any_item(status == SUSPECTED_FRAUD).alias("fraud"),
        *(F.count_if(F.col(source).isNull()).alias(name) for name, source in _NULLS.items()),
    )
    summed = orders.rollup("landing_date", "market").agg(
        F.grouping("market").alias("is_total"),
        F.grouping("landing_date").alias("is_grand_total"),
        *(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in _NUMBERS),
    )
    return summed.where("is_grand_total = 0")


def _of(summed: DataFrame, *, is_total: bool) -> DataFrame:
    keys = ["landing_date"] if is_total else ["landing_date", "market"]
    return summed.where(F.col("is_total") == int(is_total)).select(*keys, *_NUMBERS)


def _of_market() -> dict[str, Column]:
    revenue, counted = F.col("revenue"), F.col("counted")
    return {
        "orders": F.col("orders"),
        "revenue": revenue,
        "average_order_value": ratio(revenue, counted, scale=2, places=2),
    }


def _of_date() -> dict[str, Column]:
    orders = F.col("orders")

    def of_orders(name: str) -> Column:
        return ratio(F.col(name), orders, scale=0, places=6)

    return _of_market() | {
        "landed_lines": F.col("landed_lines"),
        "valid_lines": F.col("valid_lines"),
        "quarantined_lines": F.col("quarantined_lines"),
        "profit": F.col("profit"),
        "items_per_order": of_orders("valid_lines"),
        "average_price": ratio(F.col("sum_of_prices"), F.col("prices"), scale=2, places=2),
        "late_share": of_orders("late"),
        "canceled_share": of_orders("canceled"),
        "fraud_share": of_orders("fraud"),
    }


def _null_shares() -> Column:
    """Return the shares as an array of dimension and value."""
    return F.array(
        *(
            F.struct(
                F.lit(source).alias("dimension"),
                ratio(F.col(name), F.col("valid_lines"), scale=0, places=6).cast(VALUE).alias("value"),
            )
            for name, source in _NULLS.items()
        )
    )


def _rows(summed: DataFrame, dimension: Column, values: Mapping[str, Column]) -> DataFrame:
    """Return a row for each of `values`, by the name of the metric."""
    pairs = F.array(
        *(F.struct(F.lit(name).alias("metric"), value.try_cast(VALUE).alias("value")) for name, value in values.items())
    )
    return summed.select("landing_date", dimension.alias("dimension"), F.inline(pairs).alias("metric", "value"))


METRICS_TABLE = TableSpec(
    name="bronze.metrics",
    comment="What landed in numbers: one row per landing date, metric and dimension",
    grain="one row per landing date, metric and dimension",
    schema=SCHEMA,
    natural_key=("landing_date", "metric", "dimension"),
    write=Write.REPLACE_DATES,
    statistics_columns=("landing_date",),
    staged_from=("bronze.landed_files", "bronze.order_items", "bronze.quarantine"),
    derive=lambda tables: metrics(
        tables["bronze.landed_files"], tables["bronze.order_items"], tables["bronze.quarantine"]
    ),
)
