"""Plays a convoy of feeds on a lakehouse, step by step, and says what its tables must be at the end."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import Any

import pytest

from spark_jobs.runtime.errors import UpstreamMissing
from spark_jobs.runtime.table_names import UPSTREAM_LAYER
from tests.prove.histories.feeds import (
    LAYERS,
    Convoy,
    Delivery,
    Land,
    Maintain,
    Overlap,
    Run,
    Step,
    as_of,
    bronze_rows,
    day_name,
)
from tests.spark.publishing.lakehouse import Lakehouse
from tests.unit.model import oracle
from tests.unit.model.cases import Row

SOURCE: Any = {"max_order_days_ahead": "31", "date_order": "month_first"}
"""Orders of feeds may be dated after they landed, and their shipping dates do not show the order of day and month."""
UNKNOWN_TO_THE_ORACLE = {"row_hash", "customer_email_hash"}


class Player:
    """Does with a lakehouse what a convoy says; `tried` counts what it did."""

    def __init__(self, lakehouse: Lakehouse, tried: Counter[str]) -> None:
        self.lakehouse = lakehouse
        self.landed: dict[int, Delivery] = {}
        self._tried = tried
        self._pending: set[int] = set()

    def play(self, convoy: Convoy) -> None:
        """All steps; then what its gate rejected lands mended, and what is left is caught up with."""
        for day, delivery in enumerate(convoy.deliveries, start=1):
            self._land(day, delivery)
        for step in convoy.steps:
            self._step(step)
        for day in convoy.order:
            if self.landed[day].is_rejected:
                self._land(day, self.landed[day].mended())
            if day in self._pending:
                self.run("bronze", day, day + 1)
        for layer in ("silver", "gold"):
            self.run(layer, 1, 2)

    def _step(self, step: Step) -> None:
        if isinstance(step, Land):
            self._land(step.day, step.delivery)
        elif isinstance(step, Run):
            for layer in step.layers:
                if not self.run(layer, step.start, step.end):
                    break
        elif isinstance(step, Overlap):
            self._overlap(step)
        elif isinstance(step, Maintain):
            self._tried["maintenances"] += 1
            self.lakehouse.maintain("2018-01-10")

    def _land(self, day: int, delivery: Delivery) -> None:
        self.landed[day] = delivery
        self._pending.add(day)
        self.lakehouse.deliver(day_name(day), delivery.contents())
        self._tried["deliveries"] += 1

    def run(self, layer: str, start: int, end: int) -> bool:
        """Whether the layer was published; what must be refused is refused, and changes nothing."""
        self._tried[f"{layer} runs"] += 1
        if not self._can_build(layer):
            with pytest.raises(UpstreamMissing):
                self.lakehouse.build(layer, day_name(start), day_name(end), **SOURCE)
            return False
        build = self.lakehouse.build(layer, day_name(start), day_name(end), **SOURCE)
        verdict = self.lakehouse.audit(build)
        if layer == "bronze" and any(self.landed[day].is_rejected for day in range(start, end)):
            assert not verdict.success, "the gate allows a rejected date"
            self._tried["rejected runs"] += 1
            return False
        assert verdict.success, verdict.lines()
        self.lakehouse.publish(build, verdict.fingerprint)
        if layer == "bronze":
            self._pending -= set(range(start, end))
        return True

    def _overlap(self, step: Overlap) -> None:
        days = {day for interval in (step.first, step.second) for day in range(*interval)}
        if not self._can_build(step.layer) or any(self.landed[day].is_rejected for day in days):
            return
        built = []
        for start, end in (step.first, step.second):
            build = self.lakehouse.build(step.layer, day_name(start), day_name(end), **SOURCE)
            verdict = self.lakehouse.audit(build)
            assert verdict.success, verdict.lines()
            built.append((build, verdict.fingerprint))
        for build, fingerprint in reversed(built):
            self.lakehouse.publish(build, fingerprint)
        self._tried["overlaps"] += 1
        if step.layer == "bronze":
            self._pending -= days

    def _can_build(self, layer: str) -> bool:
        upstream = UPSTREAM_LAYER.get(layer)
        return upstream is None or self.lakehouse.publications.newest(upstream) is not None


def run_as_one(lakehouse: Lakehouse, landing: Player) -> None:
    """The same landed files, in one interval, by a lakehouse that has seen nothing yet."""
    shutil.copytree(landing.lakehouse.landing, lakehouse.landing, dirs_exist_ok=True)
    player = Player(lakehouse, Counter())
    player.landed = landing.landed
    for layer in LAYERS:
        player.run(layer, 1, max(landing.landed) + 1)


def expected(landed: dict[int, Delivery]) -> dict[str, list[Row]]:
    """The tables of silver and gold by the oracle."""
    bronze = list(bronze_rows(landed))
    orders, customers, products = oracle.orders(bronze), oracle.dim_customers(bronze), oracle.dim_products(bronze)
    enriched = oracle.orders_enriched(orders, customers, products)
    today = as_of(bronze)
    return {
        "silver.orders": orders,
        "silver.dim_customers": customers,
        "silver.dim_products": products,
        "gold.orders_enriched": enriched,
        "gold.customers360": oracle.customers360(orders, customers, today) if today else [],
        "gold.products360": oracle.products360(enriched, products, today) if today else [],
    }


def found(lakehouse: Lakehouse) -> dict[str, list[Row]]:
    """The published tables of silver and gold."""
    return {
        table: [row.asDict() for row in frame.collect()] for table, frame in lakehouse.tables("silver", "gold").items()
    }


def comparable(rows: list[Row]) -> list[tuple[Any, ...]]:
    """The rows by column name, sorted, without what the oracle cannot know."""
    return sorted(
        (tuple(sorted((n, v) for n, v in row.items() if n not in UNKNOWN_TO_THE_ORACLE)) for row in rows), key=repr
    )
