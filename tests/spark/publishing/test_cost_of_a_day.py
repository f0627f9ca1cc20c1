"""What a day asks of Spark, as numbers: they do not depend on the machine, and must not grow again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks.spark_calls import ANALYSIS, STATEMENT, SparkCalls
from spark_jobs.runtime.table_names import LAYERS
from spark_jobs.storage import delta
from tests.spark.publishing.lakehouse import Lakehouse, order_item

MOST_STATEMENTS, MOST_ANALYSES, MOST_COMMITS = 60, 30, 20
OPS = ("ops.publications", "ops.verdicts")


def test_a_day_after_others_costs_few_statements_and_commits(
    new_lakehouse: Callable[[], Lakehouse], spark_remote: str
) -> None:
    """Of a day with new and known customers and products, new versions of both, and an item that came before."""
    lakehouse = new_lakehouse()
    lakehouse.land("2018-01-01", *(order_item(n, customer=n % 9, product=n % 4 + 1, day=1) for n in range(1, 60)))
    lakehouse.run("2018-01-01", "2018-01-02", layers=("bronze",))  # whose first audit makes tables of ops
    lakehouse.run("2018-01-01", "2018-01-02", layers=("silver", "gold"), audited=False)
    lakehouse.land(
        "2018-01-02",
        *(order_item(n, customer=n % 20, product=n % 6 + 1, day=2) for n in range(100, 160)),
        *(order_item(n, customer=n % 9, segment="Corporate", day=2) for n in range(200, 205)),
        order_item(300, customer=2, product=3, price=120, day=2),
        order_item(7, customer=7, product=4, status="CLOSED", day=1),
        "this is no order item",
    )
    calls = SparkCalls()
    session = calls.session(spark_remote)
    before = commits(lakehouse)
    plain, lakehouse.jobs = lakehouse.jobs, replace(lakehouse.jobs, spark=session)
    try:
        for layer in LAYERS:
            with calls.task(f"{layer}.build"):
                build = lakehouse.build(layer, "2018-01-02", "2018-01-03")
            with calls.task(f"{layer}.audit"):
                verdict = lakehouse.audit(build)
            assert verdict.success, verdict.lines()
            with calls.task(f"{layer}.publish"):
                lakehouse.publish(build, verdict.fingerprint, spark=session)
    finally:
        session.stop()
        lakehouse.jobs = plain
    made = "\n".join(f"{call.task}: {call.method} {call.kind} {call.where}" for call in calls.recorded)
    assert calls.count(STATEMENT) <= MOST_STATEMENTS, made
    assert calls.count(ANALYSIS) <= MOST_ANALYSES, made
    assert commits(lakehouse) - before <= MOST_COMMITS


def commits(lakehouse: Lakehouse) -> int:
    """Return the number of commits that all tables have had."""
    tables = [table for layer in LAYERS for table in lakehouse.table_names(layer)]
    versions = (delta.head_version(lakehouse.spark, lakehouse.names.table(table)) for table in (*tables, *OPS))
    return sum(version or 0 for version in versions)
