"""What the gold gate measures, independently of how gold is built (design, sections 7 and 8)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType

from spark_jobs.audit.change import Change, compared_totals, profile, sums
from spark_jobs.audit.gold_labels import (
    CUSTOMER_LABELS,
    CUSTOMER_RATES,
    PRODUCT_LABELS,
    PRODUCT_RATES,
    SCORES,
    Score,
)
from spark_jobs.audit.silver_assets import MEASURES, valid_at_order_date, versions_by_key

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

MONEY = DecimalType(18, 2)
SHARE = DecimalType(9, 6)
NOT_COUNTED = ("CANCELED", "SUSPECTED_FRAUD")
CUSTOMER_ATTRIBUTES = {
    name: name
    for name in (
        "customer_firstname",
        "customer_lastname",
        "customer_email_hash",
        "customer_segment",
        "customer_zipcode",
    )
}
# Attribute of the dimension -> its name in orders_enriched, where product_price is the price charged.
PRODUCT_ATTRIBUTES = {
    "product_name": "product_name",
    "category_id": "category_id",
    "category_name": "category_name",
    "product_price": "product_list_price",
    "is_notavailable": "is_notavailable",
}
SHARED_LABELS = {"customers360": ("rfm_segment",), "products360": ("performance_tier",)}


def gold_assets(
    *,
    bronze: DataFrame,
    orders: DataFrame,
    dim_customers: DataFrame,
    dim_products: DataFrame,
    orders_enriched: Change,
    customers360: Change,
    products360: Change,
    touched: DataFrame | None,
) -> dict[str, DataFrame]:
    """The assets of the gold checkpoint.

    `orders` and the dimensions are the whole silver that the build read, `bronze` the bronze.order_items behind
    it (only its greatest landing date is read). `touched` has the column order_item_id: items to be judged one by
    one; None for all. Totals, and the 360 tables, are always judged whole, since scores compare all keys.
    """
    customers, products = customers360.after(), products360.after()
    as_of = _newest_as_of(bronze)
    return {
        "orders_enriched": _enriched(orders, dim_customers, dim_products, orders_enriched, touched),
        "customers360": _customers(customers, orders, dim_customers),
        "products360": _products(products, orders, dim_products, as_of),
        "totals360": _totals360(customers, products, orders),
        "scores": reduce(
            lambda a, b: a.unionByName(b),
            (_score(customers if s.table == "customers360" else products, s) for s in SCORES),
        ),
        "shares": _shares(customers360, "customers360").unionByName(_shares(products360, "products360")),
        **unchanged_gold_assets(
            bronze=bronze, orders=orders, orders_enriched=orders_enriched, customers360=customers360
        ),
    }


def unchanged_gold_assets(
    *, bronze: DataFrame, orders: DataFrame, orders_enriched: Change, customers360: Change
) -> dict[str, DataFrame]:
    """The assets by which an empty change is judged: gold still is what silver adds up to, as of the right day."""
    return {
        "control_totals": compared_totals(sums(orders, MEASURES), orders_enriched.totals(MEASURES), MEASURES),
        "as_of": _as_of(customers360.after(), _newest_as_of(bronze)),
    }


def _newest_as_of(bronze: DataFrame) -> DataFrame:
    return bronze.agg(F.date_add(F.max("landing_date"), 1).alias("as_of"))


def _same(left: dict[str, Column], right: dict[str, Column]) -> Column:
    return reduce(lambda a, b: a & b, (left[name].eqNullSafe(right[name]) for name in left))


def _enriched(
    orders: DataFrame, dim_customers: DataFrame, dim_products: DataFrame, change: Change, touched: DataFrame | None
) -> DataFrame:
    """Every item of silver or gold: one row, silver's values, and the versions that held at the order's timestamp."""
    items = change.keys(touched, "order_item_id")
    expected = orders if items is None else orders.join(items, "order_item_id", "left_semi")
    dims = (
        (dim_customers, "customer_id", "customer_key", CUSTOMER_ATTRIBUTES),
        (dim_products, "product_id", "product_key", PRODUCT_ATTRIBUTES),
    )
    for dimension, natural, key, attributes in dims:
        hashed = dimension.withColumn("_hash", _hash([key, *attributes]))
        versions = versions_by_key(hashed, natural, ("_hash",))
        expected = (
            expected.join(versions, natural, "left")
            .withColumn(f"_{key}_found", valid_at_order_date(natural))
            .drop(f"_{natural}_versions")
        )
    standing = (
        change.after_of(items, "order_item_id")
        .groupBy("order_item_id")
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.max("landing_date").alias("_landing_date"),
            F.max(_hash(orders.columns)).alias("_row"),
            *(F.max(_hash([key, *there.values()])).alias(f"_{key}") for _, _, key, there in dims),
        )
    )
    both = expected.select(
        "order_item_id",
        "landing_date",
        _hash(orders.columns).alias("_silver"),
        *(f"_{key}_found" for _, _, key, _ in dims),
    ).join(standing, "order_item_id", "full")

    def finds(key: str) -> Column:
        found = F.col(f"_{key}_found")
        one = (F.size(found) == 1) & (F.try_element_at(found, F.lit(1))["_hash"] == F.col(f"_{key}"))
        return F.coalesce(one, F.lit(False))

    measured = both.select(
        F.coalesce("landing_date", "_landing_date").alias("landing_date"),
        F.coalesce("rows", F.lit(0)).alias("rows"),
        F.col("_silver").isNotNull().alias("is_in_silver"),
        F.coalesce(F.col("_silver") == F.col("_row"), F.lit(False)).alias("equals_silver"),
        finds("customer_key").alias("customer_version_agrees"),
        finds("product_key").alias("product_version_agrees"),
        "order_item_id",
    )
    by = ["rows", "is_in_silver", "equals_silver", "customer_version_agrees", "product_version_agrees"]
    return profile(measured, ["landing_date", *by], "order_item_id")


def _hash(columns: Iterable[str]) -> Column:
    """Of a row's values, for comparing many columns at once; nulls, which the hash skips, are told apart."""
    names = list(columns)
    return F.xxhash64(*names, *(F.col(name).isNull() for name in names))


def _counted(orders: DataFrame) -> DataFrame:
    return orders.where(~F.col("order_status").isin(*NOT_COUNTED))


def _by_key(orders: DataFrame, natural: str) -> DataFrame:
    """Of each key what its counted items sum up to."""
    return (
        _counted(orders)
        .groupBy(natural)
        .agg(
            F.count_distinct("order_id").alias("total_orders"),
            F.sum("quantity").alias("units_sold"),
            F.sum("line_total").cast(MONEY).alias("total_revenue"),
            F.sum("line_profit").cast(MONEY).alias("total_profit"),
            F.to_date(F.min("order_date")).alias("first_order_date"),
            F.to_date(F.max("order_date")).alias("last_order_date"),
        )
    )


def _joined(table: DataFrame, orders: DataFrame, dimension: DataFrame, natural: str) -> DataFrame:
    """Every key of the table or of the dimension: its `rows`, its row `t`, its current version `d`, its sums `s`."""
    standing = table.groupBy(natural).agg(F.count(F.lit(1)).alias("rows"), F.max(F.struct(*table.columns)).alias("t"))
    current = dimension.groupBy(natural).agg(
        F.max(F.when(F.col("is_current"), F.struct(*dimension.columns))).alias("d")
    )
    summed = _by_key(orders, natural)
    summed = summed.select(natural, F.struct(*(c for c in summed.columns if c != natural)).alias("s"))
    return (
        current.withColumn("_in_dimension", F.lit(True))
        .join(standing, natural, "full")
        .join(summed, natural, "left")
        .select("*", F.coalesce("_in_dimension", F.lit(False)).alias("in_dimension"))
    )


def _customers(table: DataFrame, orders: DataFrame, dimension: DataFrame) -> DataFrame:
    """Every customer: one row, the current attributes, silver's sums, and labels that follow from what is stored."""
    attributes = ("customer_firstname", "customer_lastname", "customer_segment", "customer_zipcode")
    sums_of = {
        "total_orders": "total_orders",
        "total_revenue": "total_revenue",
        "total_profit": "total_profit",
        "first_order_date": "first_order_date",
        "last_order_date": "latest_order_date",
    }
    both = _joined(table, orders, dimension, "customer_id")
    measured = _measured(
        both, "customer_id", attributes, sums_of, (CUSTOMER_LABELS, CUSTOMER_RATES), F.lit(None).cast("date")
    )
    scores = [F.col(f"t.{n}").alias(n) for n in ("recency_score", "frequency_score", "monetary_score")]
    return _profile360(measured, "customer_id", scores, CUSTOMER_LABELS)


def _products(table: DataFrame, orders: DataFrame, dimension: DataFrame, as_of: DataFrame) -> DataFrame:
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
    both = _joined(table, orders, dimension, "product_id").crossJoin(as_of.select(F.col("as_of").alias("_as_of")))
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


def _totals360(customers: DataFrame, products: DataFrame, orders: DataFrame) -> DataFrame:
    """The money of either 360 table as a whole, against silver's counted items."""
    totals = None
    for table, frame, renamed, measures in (
        ("customers360", customers, {}, ("total_revenue", "total_profit")),
        ("products360", products, {"units_sold": "quantity"}, ("units_sold", "total_revenue", "total_profit")),
    ):
        names = {"total_revenue": "line_total", "total_profit": "line_profit", **renamed}
        counted = _counted(orders).select(*(F.col(names[m]).alias(m) for m in measures))
        compared = compared_totals(sums(counted, measures), sums(frame, measures), measures)
        compared = compared.withColumn("table", F.lit(table))
        totals = compared if totals is None else totals.unionByName(compared)
    if totals is None:
        raise AssertionError("no table")
    return totals


def _score(table: DataFrame, score: Score) -> DataFrame:
    """One row a score, by which nearest-rank thresholds can be judged without computing them again.

    A score follows from its measure exactly if (1) lesser scores have lesser values and (2) the greatest value up
    to each score is the threshold there: at least that share of the keys lies up to it (`keys_missing` = 0), and
    less than that share lies below it (`keys_too_many` = 0).
    """
    rank = F.lit(score.best + 1) - F.col(score.name) if score.less_is_better else F.col(score.name)
    value = F.col(score.measure).cast("decimal(38,6)")
    values = (
        table.where((F.col("total_orders") > 0) & F.col(score.measure).isNotNull())
        .groupBy(rank.alias("rank"), value.alias("value"))
        .agg(F.count(F.lit(1)).alias("n"))
    )
    ranks = values.groupBy("rank").agg(
        F.sum("n").alias("keys"),
        F.min("value").alias("least"),
        F.max("value").alias("greatest"),
        F.max_by("n", "value").alias("_at_greatest"),
    )
    # At most as many rows as scores: an array of them is simpler to look along than a window over all rows.
    rows = ranks.agg(
        F.array_sort(F.collect_list(F.struct("rank", "keys", "least", "greatest", "_at_greatest"))).alias("ranks")
    )
    total = "aggregate(ranks, 0L, (n, r) -> n + r.keys)"
    up_to = "aggregate(filter(ranks, o -> o.rank <= r.rank), 0L, (n, o) -> n + o.keys)"
    following = f"coalesce(array_min(transform(filter(ranks, o -> o.rank > r.rank), o -> o.rank)), {score.best})"
    before = "array_max(transform(filter(ranks, o -> o.rank < r.rank), o -> o.greatest))"
    last = f"r.rank >= {score.best}"
    return rows.selectExpr(
        f"""inline(transform(ranks, r -> named_struct(
            'table', '{score.table}',
            'score', '{score.name}',
            'rank', r.rank,
            'keys', r.keys,
            'least', r.least,
            'greatest', r.greatest,
            'is_above_lesser', coalesce(r.least > {before}, true),
            'keys_missing',
                if({last}, 0L, greatest(0L, ({following} - 1) * {total} - {score.best} * {up_to})),
            'keys_too_many',
                if({last}, 0L,
                   greatest(0L, {score.best} * ({up_to} - r._at_greatest) - r.rank * {total} + 1L)),
            'starts_at_one', array_min(transform(ranks, o -> o.rank)) = 1)))"""
    )


def _shares(change: Change, table: str) -> DataFrame:
    """Of each label the share of keys that have it, now and in the last publication; none before the first."""
    label = SHARED_LABELS[table][0]

    def counted(frame: DataFrame, name: str) -> DataFrame:
        return frame.groupBy(F.col(label).alias("label")).agg(F.count(F.lit(1)).alias(name))

    now = counted(change.after(), "now")
    before = counted(change.after() if change.published is None else change.published, "before")
    both = now.join(before, "label", "full").crossJoin(
        now.agg(F.sum("now").alias("all_now")).crossJoin(before.agg(F.sum("before").alias("all_before")))
    )

    def share(part: str, whole: str) -> Column:
        quotient = F.coalesce(part, F.lit(0)).cast("decimal(18,0)") / F.nullif(
            F.col(whole).cast("decimal(18,0)"), F.lit(0).cast("decimal(18,0)")
        )
        return F.coalesce(quotient, F.lit(0)).cast(SHARE)

    shares = both.select(
        F.lit(table).alias("table"),
        F.col("label"),
        share("before", "all_before").alias("share_before"),
        share("now", "all_now").alias("share_now"),
    )
    return shares.withColumn("moved", F.abs(F.col("share_now") - F.col("share_before")))


def _as_of(customers: DataFrame, as_of: DataFrame) -> DataFrame:
    """The as-of days that the stored days since the last order speak of, against 1 day + the last landing date."""
    stored = customers.where(F.col("latest_order_date").isNotNull()).select(
        F.date_add("latest_order_date", F.col("days_since_last_order")).alias("stored_as_of"), "customer_id"
    )
    both = profile(stored, ["stored_as_of"], "customer_id").crossJoin(as_of)
    return both.select(
        "stored_as_of",
        "as_of",
        F.date_diff("stored_as_of", "as_of").alias("difference_days"),
        F.col("stored_as_of").isNotNull().alias("has_as_of"),
        "keys",
        "example",
    )
