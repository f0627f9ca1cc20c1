"""The real data set, whole: every line is valid, and its totals are those that its authors document."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any


def test_all_of_dataco_is_valid(compiling_spark: Any, dataco: Path, tmp_path: Path) -> None:
    from pyspark.sql import functions as F

    from feeds.daily_replay import replay
    from spark_jobs.layers.bronze.landed_lines import BuildStamp, landed_lines
    from spark_jobs.layers.bronze.row_rules import bronze_row_rules
    from spark_jobs.runtime.interval import Interval
    from spark_jobs.storage.landed_text import read_lines
    from spark_jobs.storage.landing import landed_files

    replayed = replay(dataco, tmp_path)
    assert (replayed.days, replayed.lines, replayed.undated) == (1127, 180_519, 0)
    landing = landed_files(tmp_path, Interval(date(2015, 1, 1), date(2018, 2, 1)))
    assert landing.lines == 180_519
    lines = landed_lines(
        read_lines(compiling_spark, tmp_path, landing.files),
        landing.files,
        bronze_row_rules(),
        b"key",
        BuildStamp("1_0", "1", "0.1.0", datetime(2020, 1, 1, tzinfo=UTC)),
    )
    (row,) = lines.agg(
        F.count("*").alias("landed"),
        F.count_if(F.size("reasons") == 0).alias("valid"),
        F.sum("order_item_total").alias("total"),
        F.count_distinct("order_id").alias("orders"),
        F.count_distinct("customer_id").alias("customers"),
        F.count_distinct("product_card_id").alias("products"),
        F.count_if(F.col("order_state") == "Šiauliai").alias("siauliai"),
        F.count_if(F.col("order_state") == "Žilina").alias("zilina"),
        F.count_if(F.contains("order_city", F.lit("Cox’s"))).alias("coxs"),
        F.count_if(F.col("order_zipcode").isNull()).alias("no_order_zipcode"),
        F.count_if(F.col("customer_lname").isNull()).alias("no_last_name"),
        F.count_if(F.col("late_delivery_risk")).alias("late"),
        F.count_if(F.col("landing_date") == F.to_date("order_date_dateorders")).alias("on_their_day"),
        F.count_distinct("row_hash").alias("hashes"),
    ).collect()
    assert row.asDict() == {
        "landed": 180_519,
        "valid": 180_519,
        "total": Decimal("33054402.04"),
        "orders": 65_752,
        "customers": 20_652,
        "products": 118,
        "siauliai": 8,
        "zilina": 5,
        "coxs": 7,
        "no_order_zipcode": 155_679,
        "no_last_name": 8,
        "late": 98_977,
        "on_their_day": 180_519,
        "hashes": 180_519,
    }
