"""The daily metrics: what is measured of each landing date, and how it is judged by the dates before."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ALL = ""
"""The dimension of what is measured of the whole landing date."""


class Noise(StrEnum):
    """How the variance of a metric follows from its level, up to a factor that is taken from its history."""

    COUNT = "count"
    """Proportional to the level: counts and sums, and averages, by the number of what they are taken over."""
    SHARE = "share"
    """Proportional to level x (1 - level): shares, by the number of what they are taken over."""
    CONSTANT = "constant"
    """Not at all: metrics that may be negative."""


@dataclass(frozen=True)
class Metric:
    """A metric of a landing date."""

    name: str
    says: str
    """What it is, with its unit."""
    unit: str
    """The words after its value in a sentence."""
    by: str = ""
    """What its dimension is, where it has values by dimension."""
    part_of: str = ""
    """The metric of which it is a share or an average, or, of a count, a part."""
    noise: Noise = Noise.COUNT
    is_rare: bool = False
    """Whether it is 0 on most dates: its level is the mean of the whole history, not of the last weeks."""
    low: float | None = 3.5
    """From how many standard deviations below its level it is an anomaly; None for never."""
    high: float | None = 3.5
    """The same above its level."""
    by_low: float | None = 3.5
    """`low` for the values by dimension."""
    by_high: float | None = 3.5
    """`high` for the values by dimension."""
    places: int = 0
    """Decimals in messages; of a share, those of its percentage."""
    least: float = 0.1
    """The least change that is an anomaly, as a share of the level; for a share or a part, the difference itself."""

    def sides(self, dimension: str) -> tuple[float | None, float | None]:
        """Return the standard deviations below and above the level from which a value is an anomaly."""
        return (self.low, self.high) if dimension == ALL else (self.by_low, self.by_high)

    @property
    def is_part(self) -> bool:
        """Whether it is stored as a count, and judged as a share of another metric."""
        return self.noise is Noise.SHARE and not self.name.endswith("_share")

    @property
    def is_zero_without_rows(self) -> bool:
        """Whether a date without a row of it counts as 0, and not as unknown."""
        return not self.part_of or self.is_part


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("landed_lines", "Lines below the headers of the files that hold a value", "landed lines"),
        Metric("valid_lines", "Lines that are order items", "valid lines"),
        Metric(
            "quarantined_lines",
            "Lines that are not valid; by reason, a line in each of its reasons",
            "quarantined lines",
            by="reason",
            part_of="landed_lines",
            noise=Noise.SHARE,
            is_rare=True,
            low=None,
            by_low=None,
            least=0.01,
        ),
        Metric("orders", "Orders of which an item landed", "orders", by="market", low=2.7, by_low=3.0, least=0.17),
        Metric(
            "revenue",
            "Sum of the counted items' totals",
            "of revenue",
            by="market",
            places=2,
            by_low=None,  # it is the orders of the market times their average, and both are judged
            by_high=None,
        ),
        Metric(
            "profit",
            "Sum of the counted items' profits",
            "of profit",
            noise=Noise.CONSTANT,
            places=2,
            low=4.5,
            high=4.5,
        ),
        Metric(
            "average_order_value",
            "Revenue of a counted order",
            "of revenue per order",
            by="market",
            part_of="orders",
            places=2,
        ),
        Metric("items_per_order", "Order items of an order", "items per order", part_of="orders", places=2),
        Metric(
            "average_price", "Average price charged for a unit", "as average price", part_of="valid_lines", places=2
        ),
        Metric(
            "late_share",
            "Orders delivered late, as a share of the orders",
            "of the orders late",
            part_of="orders",
            noise=Noise.SHARE,
            places=1,
            low=None,
            least=0.05,
        ),
        Metric(
            "canceled_share",
            "Orders that are canceled, as a share of the orders",
            "of the orders canceled",
            part_of="orders",
            noise=Noise.SHARE,
            places=1,
            is_rare=True,
            low=None,
            least=0.01,
        ),
        Metric(
            "fraud_share",
            "Orders that are suspected of fraud, as a share of the orders",
            "of the orders suspected of fraud",
            part_of="orders",
            noise=Noise.SHARE,
            places=1,
            is_rare=True,
            low=None,
            least=0.01,
        ),
        Metric(
            "null_share",
            "Order items without a value in a column, as a share of the order items",
            "of the order items without a value",
            by="column",
            part_of="valid_lines",
            noise=Noise.SHARE,
            places=1,
            is_rare=True,
            low=None,
            by_low=None,
            least=0.01,
        ),
    )
}
NULL_COLUMNS = (
    "customer_segment",
    "customer_zipcode",
    "customer_fname",
    "customer_lname",
    "customer_email",
    "category_name",
    "product_name",
    "department_name",
    "order_city",
    "order_state",
    "order_country",
    "order_zipcode",
    "shipping_date_dateorders",
    "order_item_product_price",
    "order_item_quantity",
    "order_item_total",
    "order_profit_per_order",
    "late_delivery_risk",
)
"""Columns of bronze.order_items that may be NULL, and that figures or people rely on."""
