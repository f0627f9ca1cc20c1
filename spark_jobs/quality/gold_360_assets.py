"""What the gold gate measures of the 360 tables: rows, scores and shares, independently of how they are built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType

from spark_jobs.quality.gold_labels import CUSTOMER_LABELS, CUSTOMER_RATES, PRODUCT_LABELS, PRODUCT_RATES, Score
from spark_jobs.storage.overlay import Change, profile

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

MONEY = DecimalType(18, 2)
SHARE = DecimalType(9, 6)
NOT_COUNTED = ("CANCELED", "SUSPECTED_FRAUD")
SHARED_LABELS = {"customers360": ("rfm_segment",), "products360": ("performance_tier",)}


MOVED_COLUMNS = (
    "order_id",
    "customer_id",
    "product_id",
    "order_status",
    "order_date",
    "quantity",
    "line_total",
    "line_profit",
)
"""What is asked of the items of orders that moved: few columns, so that a large day's items are few enough to fetch."""


@dataclass(frozen=True)
class MovedOrders:
    """What differs between the silver that gold was last built from and the one that it reads now, found by the audit.

    `before` and `after` are the MOVED_COLUMNS of all items, in silver.orders, of the orders of which any item differs;
    `customers` has the customer_id of everyone who has such an order, had one, or changed.
    """

    before: DataFrame
    after: DataFrame
    customers: DataFrame

    @property
    def signed(self) -> DataFrame:
        """All these items, with the `_sign` of what they add to a sum that holds them as they were."""
        return self.before.withColumn("_sign", F.lit(-1)).unionByName(self.after.withColumn("_sign", F.lit(1)))


def counts() -> Column:
    """Whether an item counts (design, section 7)."""
    return ~F.col("order_status").isin(*NOT_COUNTED)


def counted_items(orders: DataFrame) -> DataFrame:
    return orders.where(counts())


def _same(left: dict[str, Column], right: dict[str, Column]) -> Column:
    return reduce(lambda a, b: a & b, (left[name].eqNullSafe(right[name]) for name in left))


def _by_key(orders: DataFrame, *keys: str) -> DataFrame:
    """Of each key what its counted items sum up to."""
    return (
        counted_items(orders)
        .groupBy(*keys)
        .agg(
            F.count_distinct("order_id").alias("total_orders"),
            F.sum("quantity").alias("units_sold"),
            F.sum("line_total").cast(MONEY).alias("total_revenue"),
            F.sum("line_profit").cast(MONEY).alias("total_profit"),
            F.to_date(F.min("order_date")).alias("first_order_date"),
            F.to_date(F.max("order_date")).alias("last_order_date"),
        )
    )


def _sums_of_customers(orders: DataFrame, published: DataFrame | None, moved: MovedOrders | None) -> DataFrame:
    """`_by_key` of the customers; of those whom nothing affected, what is published."""
    if moved is None or published is None:
        return _by_key(orders, "customer_id")
    affected = F.broadcast(moved.customers)
    anew = _by_key(orders.join(affected, "customer_id", "left_semi"), "customer_id")
    stored = published.join(affected, "customer_id", "left_anti").withColumnRenamed(
        "latest_order_date", "last_order_date"
    )
    return anew.unionByName(stored.withColumn("units_sold", F.lit(None).cast("bigint")).select(anew.columns))


def _sums_of_products(orders: DataFrame, published: DataFrame | None, moved: MovedOrders | None) -> DataFrame:
    """`_by_key` of the products: what is published, less what the moved orders were, plus what they are."""
    if moved is None or published is None:
        return _by_key(orders, "product_id")
    natural, dates = "product_id", {"first_order_date": F.min, "last_order_date": F.max}
    moves = _by_key(moved.signed, "_sign", natural)
    names = [name for name in moves.columns if name not in ("_sign", natural, *dates)]
    stored = published.select(natural, *names, *dates, F.lit(1).alias("_sign"), F.lit(True).alias("_stored"))
    summed = stored.unionByName(moves.withColumn("_stored", F.lit(False))).groupBy(natural)

    def dated(name: str, sign: int, stored: bool) -> Column:
        of_part = (F.col("_sign") == sign) & (F.col("_stored") == stored)
        return F.max(F.when(of_part, F.col(name)))

    totals = summed.agg(
        *(F.sum(F.col(name) * F.col("_sign")).alias(name) for name in names),
        *(dated(name, 1, True).alias(f"_stored_{name}") for name in dates),
        *(dated(name, -1, False).alias(f"_was_{name}") for name in dates),
        *(dated(name, 1, False).alias(f"_is_{name}") for name in dates),
    )

    def given_up(name: str) -> Column:
        """A moved order held this date, and none holds it, or one beyond, any more; another order may hold it too."""
        was, now, stored = (F.col(f"_{part}_{name}") for part in ("was", "is", "stored"))
        covered = now <= stored if name == "first_order_date" else now >= stored
        return (was == stored) & ~F.coalesce(covered, F.lit(False))

    # Then all orders of the product are asked.
    asked = totals.where(reduce(lambda a, b: a | b, map(given_up, dates))).select(natural)
    all_orders = counted_items(orders).select(natural, "order_date").join(F.broadcast(asked), natural, "left_semi")
    found = all_orders.groupBy(natural).agg(
        *(F.to_date(aggregate("order_date")).alias(f"_found_{name}") for name, aggregate in dates.items())
    )
    both = totals.join(found.withColumn("_asked", F.lit(True)), natural, "left")

    def date(name: str) -> Column:
        pick = F.least if name == "first_order_date" else F.greatest
        known = pick(F.col(f"_stored_{name}"), F.col(f"_is_{name}"))
        return F.when(F.col("_asked"), F.col(f"_found_{name}")).when(F.col("total_orders") > 0, known).alias(name)

    sums = (F.col(name).cast(moves.schema[name].dataType).alias(name) for name in names)
    return both.select(natural, *sums, *(date(name) for name in dates))


def _joined(
    table: DataFrame, summed: DataFrame, dimension: DataFrame, natural: str, attributes: tuple[str, ...]
) -> DataFrame:
    """Every row of the table, and every key of the dimension that has none.

    The row is `t`, and `rows` says how many have its key; of keys in the dimension `d` holds the attributes of the
    current version, and `s` the sums.
    """
    standing = table.select(
        natural,
        F.struct(*table.columns).alias("t"),
        F.count(F.lit(1)).over(Window.partitionBy(natural)).alias("rows"),
    )
    current = dimension.groupBy(natural).agg(F.max(F.when(F.col("is_current"), F.struct(*attributes))).alias("d"))
    summed = summed.select(natural, F.struct(*(c for c in summed.columns if c != natural)).alias("s"))
    return (
        current.withColumn("_in_dimension", F.lit(True))
        .join(summed, natural, "left")
        .join(standing, natural, "full")  # last, since it leaves the rows in no order that a join could go by
        .select("*", F.coalesce("_in_dimension", F.lit(False)).alias("in_dimension"))
    )


def customers360_rows(change: Change, orders: DataFrame, dimension: DataFrame, moved: MovedOrders | None) -> DataFrame:
    """Every customer: one row, the current attributes, silver's sums, and labels that follow from what is stored."""
    attributes = ("customer_firstname", "customer_lastname", "customer_segment", "customer_zipcode")
    sums_of = {
        "total_orders": "total_orders",
        "total_revenue": "total_revenue",
        "total_profit": "total_profit",
        "first_order_date": "first_order_date",
        "last_order_date": "latest_order_date",
    }
    summed = _sums_of_customers(orders, change.published, moved)
    both = _joined(change.after(), summed, dimension, "customer_id", attributes)
    measured = _measured(
        both, "customer_id", attributes, sums_of, (CUSTOMER_LABELS, CUSTOMER_RATES), F.lit(None).cast("date")
    )
    scores = [F.col(f"t.{n}").alias(n) for n in ("recency_score", "frequency_score", "monetary_score")]
    return _profile360(measured, "customer_id", scores, CUSTOMER_LABELS)


def products360_rows(
    change: Change, orders: DataFrame, dimension: DataFrame, as_of: DataFrame, moved: MovedOrders | None
) -> DataFrame:
    """Every product: as customers."""
    attributes = ("product_name", "category_name", "product_price", "is_notavailable")
    sums_of = {
        name: name
        for name in (
            "total_orders",
            "units_sold",
            "total_revenue",
            "total_profit",
            "first_order_date",
            "last_order_date",
        )
    }
    summed = _sums_of_products(orders, change.published, moved)
    joined = _joined(change.after(), summed, dimension, "product_id", attributes)
    both = joined.crossJoin(as_of.select(F.col("as_of").alias("_as_of")))
    measured = _measured(both, "product_id", attributes, sums_of, (PRODUCT_LABELS, PRODUCT_RATES), F.col("_as_of"))
    scores = [F.col(f"t.{n}").alias(n) for n in ("revenue_score", "margin_score")]
    return _profile360(measured, "product_id", scores, PRODUCT_LABELS)


def _measured(
    both: DataFrame,
    natural: str,
    attributes: tuple[str, ...],
    sums_of: dict[str, str],
    rules: tuple[dict[str, str], dict[str, str]],
    as_of: Column,
) -> DataFrame:
    labels, rates = rules
    nothing = {"total_orders", "units_sold", "total_revenue", "total_profit"}
    expected = {
        here: F.coalesce(F.col(f"s.{there}"), F.lit(0)) if there in nothing else F.col(f"s.{there}")
        for there, here in sums_of.items()
    }
    stored = {here: F.col(f"t.{here}") for here in expected}
    flat = both.select(
        natural,
        "rows",
        "in_dimension",
        "t",
        as_of.alias("_as_of"),
        _same(
            {name: F.col(f"d.{name}") for name in attributes}, {name: F.col(f"t.{name}") for name in attributes}
        ).alias("attributes_agree"),
        _same(expected, stored).alias("measures_agree"),
    )
    # The rules of the labels name the stored columns plainly.
    wide = flat.select(*flat.columns, *(F.col(f"t.{n}").alias(n) for n in both.select("t.*").columns if n != natural))
    rates_follow = " AND ".join(f"({rule}) <=> {name}" for name, rule in rates.items())
    return wide.select(
        natural,
        "t",
        F.coalesce("rows", F.lit(0)).alias("rows"),
        "in_dimension",
        F.coalesce("attributes_agree", F.lit(False)).alias("attributes_agree"),
        F.coalesce("measures_agree", F.lit(False)).alias("measures_agree"),
        F.expr(rates_follow).alias("rates_follow"),
        *(F.expr(f"({rule}) <=> {label}").alias(f"{label}_follows") for label, rule in labels.items()),
    )


def _profile360(measured: DataFrame, natural: str, scores: list[Column], labels: dict[str, str]) -> DataFrame:
    follows = [f"{label}_follows" for label in labels]
    checks = ["rows", "in_dimension", "attributes_agree", "measures_agree", "rates_follow", *follows]
    frame = measured.select(natural, *checks, *scores, *(F.col(f"t.{label}").alias(label) for label in labels))
    return profile(frame, [c for c in frame.columns if c != natural], natural)


def score_rows(table: DataFrame, scores: Sequence[Score]) -> DataFrame:
    """One row for each value of each of the table's scores, by which nearest-rank thresholds can be judged without
    computing them again.

    A score follows from its measure exactly if (1) lesser scores have lesser values and (2) the greatest value up
    to each score is the threshold there: at least that share of the keys lies up to it (`keys_missing` = 0), and
    less than that share lies below it (`keys_too_many` = 0).
    """
    one_of_each = F.array(*(_ranked(score) for score in scores))
    values = (
        table.where(F.col("total_orders") > 0)
        .select(F.inline(one_of_each))
        .where(F.col("value").isNotNull())
        .groupBy("table", "score", "best", "rank", "value")
        .agg(F.count(F.lit(1)).alias("n"))
    )
    ranks = values.groupBy("table", "score", "best", "rank").agg(
        F.sum("n").alias("keys"),
        F.min("value").alias("least"),
        F.max("value").alias("greatest"),
        F.max_by("n", "value").alias("_at_greatest"),
    )
    # At most as many rows as ranks: an array of them is simpler to look along than a window over all rows.
    rows = ranks.groupBy("table", "score", "best").agg(
        F.array_sort(F.collect_list(F.struct("rank", "keys", "least", "greatest", "_at_greatest"))).alias("ranks")
    )
    total = "aggregate(ranks, 0L, (n, r) -> n + r.keys)"
    up_to = "aggregate(filter(ranks, o -> o.rank <= r.rank), 0L, (n, o) -> n + o.keys)"
    following = "coalesce(array_min(transform(filter(ranks, o -> o.rank > r.rank), o -> o.rank)), best)"
    before = "array_max(transform(filter(ranks, o -> o.rank < r.rank), o -> o.greatest))"
    last = "r.rank >= best"
    return rows.selectExpr(
        f"""inline(transform(ranks, r -> named_struct(
            'table', table,
            'score', score,
            'rank', r.rank,
            'keys', r.keys,
            'least', r.least,
            'greatest', r.greatest,
            'is_above_lesser', coalesce(r.least > {before}, true),
            'keys_missing',
                if({last}, 0L, greatest(0L, ({following} - 1) * {total} - best * {up_to})),
            'keys_too_many',
                if({last}, 0L,
                   greatest(0L, best * ({up_to} - r._at_greatest) - r.rank * {total} + 1L)),
            'starts_at_one', array_min(transform(ranks, o -> o.rank)) = 1)))"""
    )


def _ranked(score: Score) -> Column:
    """A key's rank by that score, 1 for the least of its measure, and the measure."""
    rank = F.lit(score.best + 1) - F.col(score.name) if score.less_is_better else F.col(score.name)
    return F.struct(
        F.lit(score.table).alias("table"),
        F.lit(score.name).alias("score"),
        F.lit(score.best).alias("best"),
        rank.alias("rank"),
        F.col(score.measure).cast("decimal(38,6)").alias("value"),
    )


def share_rows(change: Change, table: str) -> DataFrame:
    """Of each label the share of keys that have it, now and in the last publication; none before the first."""
    after = change.after()
    now, before = F.col("_now"), ~F.col("_now")
    both = after.withColumn("_now", F.lit(True)).unionByName(
        (after if change.published is None else change.published).withColumn("_now", F.lit(False))
    )
    labels = both.groupBy(F.col(SHARED_LABELS[table][0]).alias("label")).agg(
        F.count_if(now).alias("now"), F.count_if(before).alias("before")
    )
    # A few rows: an array of them has the number of all keys beside it without another look at the tables.
    rows = labels.agg(
        F.collect_list(F.struct("label", "now", "before")).alias("labels"),
        F.sum("now").alias("all_now"),
        F.sum("before").alias("all_before"),
    ).select("all_now", "all_before", F.inline("labels"))

    def share(part: str, whole: str) -> Column:
        quotient = F.col(part).cast("decimal(18,0)") / F.nullif(
            F.col(whole).cast("decimal(18,0)"), F.lit(0).cast("decimal(18,0)")
        )
        return F.coalesce(quotient, F.lit(0)).cast(SHARE)

    shares = rows.select(
        F.lit(table).alias("table"),
        F.col("label"),
        share("before", "all_before").alias("share_before"),
        share("now", "all_now").alias("share_now"),
    )
    return shares.withColumn("moved", F.abs(F.col("share_now") - F.col("share_before")))
