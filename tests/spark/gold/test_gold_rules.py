"""Scores, segments, tiers, rates: each rule of gold by itself."""

import itertools
import random
from decimal import Decimal

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.layers.gold.customers360 import rfm_segment
from spark_jobs.layers.gold.product_rules import (
    margin_category,
    performance_tier,
    product_health,
    strategic_priority,
)
from spark_jobs.layers.gold.scores import QUARTILES, QUINTILES, Score, with_scores
from spark_jobs.layers.measures import is_counted, ratio
from tests.unit.model import oracle

MONEY = "DECIMAL(18,2)"


def test_every_segment_for_every_triple_of_scores(spark: SparkSession) -> None:
    grid = list(itertools.product([0, 1], range(1, 6), range(1, 6), range(1, 6)))
    schema = "total_orders BIGINT, recency_score INT, frequency_score INT, monetary_score INT"
    rows = spark.createDataFrame(grid, schema).withColumn("segment", rfm_segment()).collect()
    assert {tuple(row)[:4]: row["segment"] for row in rows} == {scores: oracle.rfm_segment(*scores) for scores in grid}
    assert len({row["segment"] for row in rows}) == 9


def test_every_judgement_on_products_at_both_sides_of_every_limit(spark: SparkSession) -> None:
    completions = [None, "0.7999", "0.8000", "0.8999", "0.9000", "1.0000"]
    cancellations = [None, "0.0499", "0.0500", "0.1000", "0.1001", "0.1500", "0.1501"]
    frauds = [None, "0.0500", "0.0501", "0.1000", "0.1001"]
    rates = [
        tuple(None if rate is None else Decimal(rate) for rate in triple)
        for triple in itertools.product(completions, cancellations, frauds)
        # Rates are NULL together: without a settled order.
        if len({rate is None for rate in triple}) == 1
    ]
    sales = [(1, 0), (1, 1), (2, 0), (3, 0), (4, 0), (5, 0)]
    grid = [(*sale, margin, *triple) for sale, margin, triple in itertools.product(sales, range(1, 5), rates)]
    schema = (
        "revenue_score INT, recent_units BIGINT, margin_score INT, order_completion_rate DECIMAL(18,4),"
        " order_cancellation_rate DECIMAL(18,4), order_fraud_rate DECIMAL(18,4)"
    )
    judged = (
        spark.createDataFrame(grid, schema)
        .withColumns({"performance_tier": performance_tier(), "margin_category": margin_category()})
        .withColumns({"product_health": product_health(), "strategic_priority": strategic_priority()})
    )
    seen: list[set[str]] = [set(), set(), set(), set()]
    for row in judged.collect():
        score, units, margin_score, completion, cancellation, fraud = tuple(row)[:6]
        tier, margin = oracle.performance_tier(score, units), oracle.margin_category(margin_score)
        expected = (
            tier,
            margin,
            oracle.product_health(tier, completion, cancellation, fraud),
            oracle.strategic_priority(tier, margin, cancellation, fraud),
        )
        assert tuple(row)[6:] == expected, row
        for values, value in zip(seen, expected, strict=True):
            values.add(value)
    assert [len(values) for values in seen] == [5, 4, 3, 5]


def test_which_items_count(spark: SparkSession) -> None:
    statuses = [
        "COMPLETE",
        "CLOSED",
        "PENDING",
        "PENDING_PAYMENT",
        "PROCESSING",
        "ON_HOLD",
        "PAYMENT_REVIEW",
        "CANCELED",
        "SUSPECTED_FRAUD",
    ]
    rows = spark.createDataFrame([(status,) for status in statuses], "order_status STRING")
    assert {row[0] for row in rows.where(~is_counted()).collect()} == {"CANCELED", "SUSPECTED_FRAUD"}


def test_ratios_are_rounded_half_up_once(spark: SparkSession) -> None:
    chance = random.Random(7)
    pairs: list[tuple[Decimal | None, Decimal | None]] = [
        (Decimal("1.00"), Decimal("8.00")),
        (Decimal("-1.00"), Decimal("8.00")),
        (Decimal("1.00"), Decimal("0.00")),
        (Decimal("0.00"), Decimal("3.00")),
        (None, Decimal("1.00")),
        (Decimal("1.00"), None),
        (Decimal("-99999999.99"), Decimal("0.01")),
        # Quotients that do not fit, and the greatest that do.
        (Decimal("-1000000000000.00"), Decimal("0.01")),
        (Decimal("-999999999999.99"), Decimal("0.01")),
        (Decimal("9999999999999999.99"), Decimal("1.00")),
        (Decimal("9999999999999999.99"), Decimal("0.01")),
        (Decimal("9999999999999.99"), Decimal("0.30")),
    ]
    # Just below, on and just above the border of two roundings, with great denominators: rounding a quotient
    # of few decimals a second time would lift those just below.
    for _ in range(300):
        denominator = Decimal(2 * 10**4 * chance.randint(1, 10**6) * 10 ** chance.randint(0, 4))
        border = (2 * chance.randint(-(10**5), 10**5) + 1) * denominator / Decimal(2 * 10**4)
        pairs += [(border + Decimal(step).scaleb(-2), denominator) for step in (-1, 0, 1)]
    rows = spark.createDataFrame(
        [(number, *pair) for number, pair in enumerate(pairs)], f"i INT, n {MONEY}, d {MONEY}"
    ).select(
        "i",
        ratio(F.col("n"), F.col("d"), scale=2, places=4).alias("rate"),
        ratio(F.col("n"), F.floor("d"), scale=2, places=2).alias("average"),
        ratio(F.floor("n"), F.floor("d"), scale=0, places=4).alias("share"),
    )
    assert [field.dataType.simpleString() for field in rows.schema][1:] == [
        "decimal(18,4)",
        "decimal(18,2)",
        "decimal(18,4)",
    ]
    for row in rows.collect():
        n, d = pairs[row["i"]]
        if n is None or d is None:
            assert tuple(row)[1:] == (None, None, None)
            continue
        whole_n, whole_d = n // 1 - (1 if n % 1 < 0 else 0), d // 1
        assert row["rate"] == oracle.fitted(oracle.rounded(n, d, 4), 4), (n, d)
        assert row["average"] == oracle.rounded(n, whole_d, 2), (n, whole_d)
        assert row["share"] == oracle.fitted(oracle.rounded(whole_n, whole_d, 4), 4), (whole_n, whole_d)


def test_averages_of_sums_beyond_18_digits_are_rounded_once(spark: SparkSession) -> None:
    """The average of a million prices fits, although their sum does not fit DECIMAL(18,2)."""
    chance = random.Random(8)
    pairs = [
        (Decimal(chance.randint(10**17, 10**27)).scaleb(-2), chance.choice([1, 7, 11, 13, 10**6 + 3, 10**12]))
        for _ in range(200)
    ]
    pairs += [(Decimal("9999999999999.985") * count, count) for count in (10**6, 2 * 10**6)]
    frame = spark.createDataFrame([(n, *pair) for n, pair in enumerate(pairs)], "i INT, n DECIMAL(28,2), d BIGINT")
    rows = frame.select("i", ratio(F.col("n"), F.col("d"), scale=2, places=2).alias("average")).collect()
    for row in rows:
        n, d = pairs[row["i"]]
        assert row["average"] == oracle.fitted(oracle.rounded(n, d, 2), 2), (n, d)
    assert {row["average"] is None for row in rows} == {True, False}


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 19, 100, 101, 1000])
def test_thresholds_are_nearest_ranks_and_exact(spark: SparkSession, number: int) -> None:
    """Neighbours with 18 digits, which a binary number of 53 bits does not tell apart."""
    values = [Decimal("9999999999999999.99") - Decimal(n).scaleb(-2) for n in range(number)]
    frame = spark.createDataFrame([(value,) for value in values], f"money {MONEY}")
    scores = (Score("fifth", "money", QUINTILES), Score("quarter", "money", QUARTILES))
    scored = {row["money"]: (row["fifth"], row["quarter"]) for row in with_scores(frame, F.lit(True), scores).collect()}
    limits = [oracle.thresholds(values, parts) for parts in (QUINTILES, QUARTILES)]
    assert scored == {value: tuple(1 + oracle.below(value, limit) for limit in limits) for value in values}


def test_scores(spark: SparkSession) -> None:
    """Two of ten keys a fifth; equal values score alike; who is not ranked moves no threshold and scores 1.

    That all values are equal stops nothing, as it does in github.com/pandas-dev/pandas/issues/15069.
    """
    scores = (
        Score("more", "money", QUINTILES),
        Score("less", "days", QUINTILES, less_is_better=True),
        Score("quartile", "margin", QUARTILES, least_where="id = 2"),
        Score("equal", "same", QUINTILES),
        Score("equal_less", "same", QUINTILES, less_is_better=True),
        Score("quartile_less", "margin", QUARTILES, less_is_better=True),
    )
    rows = [
        (True, n, Decimal(n) + Decimal("0.01"), n, Decimal(f"{-n}.1234") if n > 2 else None, 7) for n in range(1, 11)
    ] + [(False, 11, Decimal(99), 0, Decimal(99), 0), (False, 12, None, None, None, None)]
    schema = f"ranked BOOLEAN, id INT, money {MONEY}, days INT, margin DECIMAL(18,4), same BIGINT"
    frame = spark.createDataFrame(rows, schema)
    scored = with_scores(frame, F.col("ranked"), scores)
    assert scored.columns == [*frame.columns, *(score.name for score in scores)]
    by_id = {row["id"]: tuple(row)[6:] for row in scored.collect()}
    assert [by_id[n][0] for n in range(1, 13)] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 1, 1]
    assert [by_id[n][1] for n in range(1, 13)] == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 1, 1]
    # Eight margins, the greatest first: thresholds at ranks 2, 4 and 6; NULL has no score, or 1 by its nature.
    assert [by_id[n][2] for n in range(1, 13)] == [None, 1, 4, 4, 3, 3, 2, 2, 1, 1, 1, 1]
    assert [by_id[n][5] for n in range(1, 13)] == [None, None, 1, 1, 2, 2, 3, 3, 4, 4, 1, 1]
    assert {by_id[n][3:5] for n in range(1, 11)} == {(1, 5)}
    assert by_id[11][3:5] == by_id[12][3:5] == (1, 1)
    nobody = with_scores(frame, F.lit(False), scores).collect()
    assert {tuple(row)[6:] for row in nobody} == {(1, 1, 1, 1, 1, 1)}
