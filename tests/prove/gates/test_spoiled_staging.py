"""Whatever is spoiled in real staging tables, the gate of the layer catches by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_jobs.storage.build_record import Build
from spark_jobs.storage.staging import StagedTable, stage, staged_rows
from spark_jobs.storage.verdicts import Verdict
from tests.prove.budget import minutes
from tests.spark.publishing.conftest import email_key  # noqa: F401
from tests.spark.publishing.lakehouse import Lakehouse, order_item

FIRST, SECOND = ("2018-01-01", "2018-01-02"), ("2018-01-02", "2018-01-03")


ITEM, CUSTOMER, PRODUCT = "WHERE order_item_id = 11", "WHERE customer_id = 1", "WHERE product_id = 5"


@dataclass(frozen=True)
class Spoiled:
    """A statement on the staged rows of a table, and the table whose rules must see it: its own, if not another."""

    table: str
    name: str
    statement: str
    caught_by: str = ""
    in_the_suite: bool = False
    says: str = ""
    """What a finding must show: the values on both sides."""

    @property
    def layer(self) -> str:
        return self.table.partition(".")[0]

    @property
    def asset(self) -> str:
        return self.caught_by or self.table.partition(".")[2]


def dropped(table: str, which: str, **more: Any) -> Spoiled:
    return Spoiled(table, "a row dropped", f"DELETE FROM {{t}} {which}", **more)


def doubled(table: str, which: str, **more: Any) -> Spoiled:
    return Spoiled(table, "a row doubled", f"INSERT INTO {{t}} SELECT * FROM {{t}} {which}", **more)


def changed(table: str, name: str, change: str, which: str = "", **more: Any) -> Spoiled:
    return Spoiled(table, name, f"UPDATE {{t}} SET {change} {which}", **more)


SPOILED = [
    dropped("bronze.order_items", ITEM, caught_by="landed_files", in_the_suite=True),
    doubled("bronze.order_items", ITEM),
    changed("bronze.order_items", "a key lost", "customer_id = NULL", ITEM),
    changed("bronze.order_items", "a vocabulary broken", "order_status = 'LOST'", ITEM),
    changed("bronze.order_items", "a date moved", "landing_date = DATE'2018-02-01'", ITEM, caught_by="landed_files"),
    changed("bronze.quarantine", "a reason taken away", "reasons = array()"),
    dropped("bronze.metrics", "WHERE metric = 'orders'"),
    changed(
        "bronze.metrics",
        "a share",
        "value = value + 0.5",
        "WHERE metric = 'late_share'",
        in_the_suite=True,
        says="metric late_share, dimension , expected 0, stored 0.5",
    ),
    dropped("silver.orders", ITEM, in_the_suite=True),
    doubled("silver.orders", ITEM),
    changed(
        "silver.orders",
        "a cent",
        "line_total = line_total + 0.01",
        ITEM,
        in_the_suite=True,
        says="order_item_id 11, line_total is 90.01 instead of 90",
    ),
    changed("silver.orders", "a key swapped", "customer_id = 2", ITEM),
    dropped("silver.dim_customers", "WHERE is_current"),
    doubled("silver.dim_customers", "WHERE is_current"),
    changed(
        "silver.dim_customers",
        "an end moved",
        "valid_to = valid_to + INTERVAL 1 HOUR",
        "WHERE valid_to IS NOT NULL",
        in_the_suite=True,
        says="customer_id 1, overlaps 1",
    ),
    changed("silver.dim_customers", "no end", "valid_to = NULL, is_current = true"),
    changed("silver.dim_products", "a beginning moved", "valid_from = valid_from + INTERVAL 30 DAYS"),
    dropped("gold.orders_enriched", ITEM),
    doubled("gold.orders_enriched", ITEM),
    changed(
        "gold.orders_enriched",
        "a cent",
        "line_profit = line_profit + 0.01",
        ITEM,
        in_the_suite=True,
        says="order_item_id 11, line_profit is 20.51 instead of 20.5",
    ),
    changed("gold.orders_enriched", "a key swapped", "customer_key = 'x'", ITEM),
    dropped("gold.customers360", CUSTOMER),
    doubled("gold.customers360", CUSTOMER),
    changed("gold.customers360", "a cent", "total_revenue = total_revenue + 0.01", CUSTOMER),
    changed("gold.customers360", "a vocabulary broken", "rfm_segment = 'Whales'", CUSTOMER),
    changed("gold.customers360", "a score", "monetary_score = 9", CUSTOMER),
    changed("gold.customers360", "a day", "days_since_last_order = 99", CUSTOMER),
    changed(
        "gold.products360",
        "a cent",
        "total_profit = total_profit + 0.01",
        PRODUCT,
        in_the_suite=True,
        says="total_profit is 41.01 instead of 41",
    ),
    changed("gold.products360", "a tier", "performance_tier = 'Weak'"),
    changed("gold.products360", "a rate", "order_completion_rate = 0.5"),
    dropped("gold.product_totals", PRODUCT),
    changed("gold.product_totals", "a sum", "sum_cycle_days = sum_cycle_days + 7", PRODUCT, in_the_suite=True),
    changed("gold.product_totals", "a number of items", "items = items + 1", PRODUCT),
]


@pytest.fixture(scope="module")
def lakehouse(
    spark: SparkSession,
    email_key: None,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lakehouse]:
    """One day published; the next, which changes every table, landed."""
    made = Lakehouse(spark, tmp_path_factory.mktemp("spoiled"), "spoiled_")
    made.land("2018-01-01", *(order_item(n, customer=n, product=5 + n % 2, day=1) for n in range(1, 4)))
    made.run(*FIRST, audited=False)
    made.land(
        "2018-01-02",
        order_item(11, customer=1, product=5, segment="Corporate", price=120, day=2),
        order_item(12, customer=2, product=6, day=2),
        "this is no order item",
    )
    yield made
    made.drop()


@pytest.fixture(scope="module")
def builds(lakehouse: Lakehouse) -> dict[str, Build]:
    """The second day, built in each layer; the layers upstream are published."""
    made = {}
    for layer in ("bronze", "silver", "gold"):
        made[layer] = lakehouse.build(layer, *SECOND)
        if layer != "gold":
            lakehouse.run(*SECOND, layers=(layer,), audited=False)
    return made


def test_what_is_not_spoiled_passes(lakehouse: Lakehouse, builds: dict[str, Build]) -> None:
    for build in builds.values():
        verdict = lakehouse.audit(build)
        assert verdict.success, verdict.lines()


TRIED = [one for one in SPOILED if one.in_the_suite or minutes()]


def spoil(lakehouse: Lakehouse, build: Build, spoiled: Spoiled) -> StagedTable:
    """Stage the rows of the build's table again, spoiled."""
    staged, jobs = build.staged[spoiled.table], lakehouse.jobs
    rows = staged_rows(jobs, spoiled.table, staged)
    name = lakehouse.names.table("ops.spoiled_rows")
    rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true").saveAsTable(name)
    jobs.spark.sql(spoiled.statement.format(t=name))
    changed_rows = jobs.spark.table(name)
    assert changed_rows.exceptAll(rows).count() + rows.exceptAll(changed_rows).count(), "the statement changed nothing"
    build_id = re.sub(r"\W+", "_", f"spoiled {spoiled.table} {spoiled.name}")
    return stage(jobs, spoiled.table, build_id, changed_rows, staged.rows, overwrites=staged.overwrites)


@pytest.fixture(scope="module")
def judged(lakehouse: Lakehouse, builds: dict[str, Build]) -> Callable[[Spoiled], Verdict]:
    """The verdict on a spoiled build. In the suite, one audit of a layer judges all that have `says`."""

    @cache
    def audit(layer: str, together: tuple[Spoiled, ...]) -> Verdict:
        build = builds[layer]
        staged = {one.table: spoil(lakehouse, build, one) for one in together}
        return lakehouse.audit(replace(build, staged=build.staged | staged))

    def verdict(spoiled: Spoiled) -> Verdict:
        is_alone = minutes() or not spoiled.says
        together = [spoiled] if is_alone else [one for one in TRIED if one.layer == spoiled.layer and one.says]
        return audit(spoiled.layer, tuple(together))

    return verdict


@pytest.mark.parametrize("spoiled", TRIED, ids=lambda one: f"{one.table}: {one.name}")
def test_the_gate_catches(judged: Callable[[Spoiled], Verdict], spoiled: Spoiled) -> None:
    verdict = judged(spoiled)
    assert not verdict.success, f"{spoiled.name} in {spoiled.table} passes the gate"
    findings = "\n".join(f"{failure.table}: {failure.message}" for failure in verdict.failures)
    print(f"{spoiled.table}, {spoiled.name}: {findings}")
    assert spoiled.says in findings
    assert spoiled.asset in {failure.table for failure in verdict.failures}, findings
