"""The metrics of each landing date, against plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any

from pyspark.sql import SparkSession

from spark_jobs.layers.bronze.metrics import metrics
from spark_jobs.layers.registry import TABLES
from spark_jobs.tables.metric_definitions import METRICS, NULL_COLUMNS

FILES, ITEMS, QUARANTINE = (TABLES[f"bronze.{name}"].schema for name in ("landed_files", "order_items", "quarantine"))
MARKETS = ("Europe", "LATAM", "Africa")
NOT_COUNTED = ("CANCELED", "SUSPECTED_FRAUD")

Row = dict[str, Any]
Values = dict[tuple[date, str, str], Decimal]


def day(number: int) -> date:
    return date(2018, 1, number)


def random_items(seed: int) -> list[Row]:
    """Orders of three days; an order of one item or more, each with a status of its own."""
    draw = Random(seed)
    rows = []
    for order in range(60):
        order_row = {
            "landing_date": day(1 + order % 3),
            "order_id": order // 2 * 2,  # some orders land on two dates
            "market": MARKETS[order // 2 % 3],
            "order_status": draw.choice(["COMPLETE", "COMPLETE", *NOT_COUNTED]),
            "late_delivery_risk": draw.choice([True, False, None]),
        }
        for _ in range(draw.randint(1, 4)):
            amounts = {
                name: draw.choice([None, Decimal(draw.randint(-9999, 99999)) / 100])
                for name in ("order_item_total", "order_profit_per_order", "order_item_product_price")
            }
            texts = {name: draw.choice([None, "x"]) for name in ("customer_lname", "order_zipcode", "product_name")}
            rows.append(order_row | amounts | texts)
    return rows


def expected(files: Iterable[Row], items: list[Row], quarantine: list[Row]) -> Values:
    """By the definitions, one metric after the other."""
    found: Values = defaultdict(Decimal)
    for file in files:
        for name in ("valid_lines", "quarantined_lines", "orders", "revenue", "profit"):
            found[file["landing_date"], name, ""] += 0
        found[file["landing_date"], "landed_lines", ""] += file["landed_lines"]
    for line in quarantine:
        for dimension in {"", *(reason.partition(":")[0] for reason in line["reasons"])}:
            found[line["landing_date"], "quarantined_lines", dimension] += 1
    for landing_date in {item["landing_date"] for item in items}:
        rows = [item for item in items if item["landing_date"] == landing_date]
        for market in ("", *{item["market"] for item in rows}):
            theirs = [item for item in rows if market in ("", item["market"])]
            counted = [item for item in theirs if item["order_status"] not in NOT_COUNTED]
            found[landing_date, "orders", market] = Decimal(orders(theirs))
            found[landing_date, "revenue", market] = total(counted, "order_item_total")
            if counted:
                average = rounded(found[landing_date, "revenue", market] / orders(counted), 2)
                found[landing_date, "average_order_value", market] = average
        of_all = Decimal(orders(rows))
        found[landing_date, "valid_lines", ""] = Decimal(len(rows))
        found[landing_date, "items_per_order", ""] = rounded(len(rows) / of_all, 6)
        counted = [item for item in rows if item["order_status"] not in NOT_COUNTED]
        found[landing_date, "profit", ""] = total(counted, "order_profit_per_order")
        if prices := [item["order_item_product_price"] for item in rows if item["order_item_product_price"]]:
            found[landing_date, "average_price", ""] = rounded(sum(prices) / len(prices), 2)
        for name, chosen in (
            ("late_share", [item for item in rows if item["late_delivery_risk"]]),
            ("canceled_share", [item for item in rows if item["order_status"] == "CANCELED"]),
            ("fraud_share", [item for item in rows if item["order_status"] == "SUSPECTED_FRAUD"]),
        ):
            found[landing_date, name, ""] = rounded(orders(chosen) / of_all, 6)
        for name in NULL_COLUMNS:
            nulls = Decimal(sum(item.get(name) is None for item in rows))
            found[landing_date, "null_share", name] = rounded(nulls / len(rows), 6)
    return dict(found)


def orders(items: list[Row]) -> int:
    return len({item["order_id"] for item in items})


def total(items: list[Row], name: str) -> Decimal:
    return sum((item[name] for item in items if item[name] is not None), Decimal(0))


def rounded(value: Decimal, places: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def measured(spark: SparkSession, files: list[Row], items: list[Row], quarantine: list[Row]) -> Values:
    frames = [
        spark.createDataFrame([tuple(row.get(name) for name in schema.names) for row in rows], schema)
        for schema, rows in ((FILES, files), (ITEMS, items), (QUARANTINE, quarantine))
    ]
    rows = metrics(*frames).collect()
    found = {(row["landing_date"], row["metric"], row["dimension"]): row["value"] for row in rows}
    assert len(found) == len(rows), "a metric is measured once"
    return found


def test_metrics_are_those_of_the_definitions(spark: SparkSession) -> None:
    items = [item for seed in (1, 2) for item in random_items(seed)]
    reasons = (["type is null"], ["type is null", "wrong number of fields: found 52 instead of 53"], ["broken quoting"])
    bad = [{"landing_date": day(1 + n % 2), "line": "x", "reasons": reasons[n % 3]} for n in range(11)]
    lines = Counter(row["landing_date"] for row in [*items, *bad])
    # The last day has an empty file, and each other one two files.
    files = [{"landing_date": landed, "landed_lines": n} for landed, n in lines.items()]
    files += [{"landing_date": day(n), "landed_lines": 0} for n in (1, 2, 3, 4)]
    found = measured(spark, files, items, bad)
    assert found == expected(files, items, bad)
    assert {metric for _, metric, _ in found} == set(METRICS)
    assert {metric for landed, metric, _ in found if landed == day(4)} == {
        "landed_lines", "valid_lines", "quarantined_lines", "orders", "revenue", "profit"
    }  # fmt: skip
    assert found[day(1), "quarantined_lines", "wrong number of fields"] == 2


def test_nothing_landed_measures_nothing(spark: SparkSession) -> None:
    assert measured(spark, [], [], []) == {}
