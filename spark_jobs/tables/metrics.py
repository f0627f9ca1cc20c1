"""The daily metrics: what is measured of each landing date."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric of a landing date."""

    name: str
    says: str
    """What it is, with its unit."""
    by: str = ""
    """What its dimension is, where it has values by dimension."""


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("landed_lines", "Lines below the headers of the files that hold a value"),
        Metric("valid_lines", "Lines that are order items"),
        Metric("quarantined_lines", "Lines that are not valid; by reason, a line in each of its reasons", "reason"),
        Metric("orders", "Orders of which an item landed", "market"),
        Metric("revenue", "Sum of the counted items' totals", "market"),
        Metric("profit", "Sum of the counted items' profits"),
        Metric("average_order_value", "Revenue of a counted order", "market"),
        Metric("items_per_order", "Order items of an order"),
        Metric("average_price", "Average price charged for a unit"),
        Metric("late_share", "Orders delivered late, as a share of the orders"),
        Metric("canceled_share", "Orders that are canceled, as a share of the orders"),
        Metric("fraud_share", "Orders that are suspected of fraud, as a share of the orders"),
        Metric("null_share", "Order items without a value in a column, as a share of the order items", "column"),
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
ALL = ""
"""The dimension of what is measured of the whole landing date."""
