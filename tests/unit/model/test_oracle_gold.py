"""The oracle of gold against cases worked out by hand."""

# ruff: noqa: DTZ001 - instants in UTC are naive in Python where Spark hands them over

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.model import oracle
from tests.unit.model.cases import Row, bronze_row

D = Decimal


@pytest.mark.parametrize(
    ("orders", "scores", "segment"),
    [
        (0, "111", "Prospects"),
        (1, "444", "Champions"),
        (1, "555", "Champions"),
        (1, "244", "Cannot Lose Them"),
        (1, "155", "Cannot Lose Them"),
        (1, "344", "Loyal Customers"),
        (1, "333", "Loyal Customers"),
        (1, "534", "Loyal Customers"),
        (1, "543", "Loyal Customers"),
        (1, "243", "At Risk"),
        (1, "134", "At Risk"),
        (1, "233", "At Risk"),
        (1, "432", "Potential Loyalists"),
        (1, "525", "Potential Loyalists"),
        (1, "415", "New Customers"),
        (1, "511", "New Customers"),
        (1, "111", "Lost Customers"),
        (1, "115", "Lost Customers"),
        (1, "121", "Hibernating"),
        (1, "211", "Hibernating"),
        (1, "315", "Hibernating"),
        (1, "352", "Hibernating"),
    ],
)
def test_rfm_segment(orders: int, scores: str, segment: str) -> None:
    assert oracle.rfm_segment(orders, *(int(score) for score in scores)) == segment


@pytest.mark.parametrize(
    ("score", "units", "tier"),
    [
        (5, 0, "Star"),
        (4, 0, "Star"),
        (3, 0, "Strong"),
        (2, 0, "Steady"),
        (1, 1, "Weak"),
        (1, 0, "Slow Movers"),
    ],
)
def test_performance_tier(score: int, units: int, tier: str) -> None:
    assert oracle.performance_tier(score, units) == tier


def test_margin_category() -> None:
    assert [oracle.margin_category(score) for score in (4, 3, 2, 1)] == ["High", "Medium", "Low", "Very Low"]


@pytest.mark.parametrize(
    ("tier", "completion", "cancellation", "fraud", "health"),
    [
        ("Star", "0.90", "0.0499", "0", "Healthy"),
        ("Strong", "1", "0", "0.06", "Healthy"),
        ("Star", "0.90", "0.05", "0.05", "Monitor"),
        ("Star", "0.8999", "0", "0", "Monitor"),
        ("Steady", "1", "0", "0", "Monitor"),
        ("Steady", "0.90", "0.10", "0", "Monitor"),
        ("Steady", "0.85", "0.1001", "0", "At Risk"),
        ("Steady", "0.85", "0", "0.0501", "At Risk"),
        ("Steady", "0.80", "0", "0", "Monitor"),
        ("Star", "0.7999", "0", "0", "At Risk"),
        ("Star", None, None, None, "Monitor"),
    ],
)
def test_product_health(
    tier: str, completion: str | None, cancellation: str | None, fraud: str | None, health: str
) -> None:
    rates = [None if rate is None else D(rate) for rate in (completion, cancellation, fraud)]
    assert oracle.product_health(tier, *rates) == health


@pytest.mark.parametrize(
    ("tier", "margin", "cancellation", "fraud", "priority"),
    [
        ("Star", "High", "0.5", "0.5", "Invest & Promote"),
        ("Star", "Medium", "0.1501", "0", "Investigate Quality Issues"),
        ("Slow Movers", "Low", "0", "0.1001", "Investigate Quality Issues"),
        ("Slow Movers", "Low", "0.15", "0.10", "Consider Discontinuing"),
        ("Slow Movers", "Very Low", None, None, "Consider Discontinuing"),
        ("Slow Movers", "High", "0.1001", "0", "Consider Discontinuing"),
        ("Slow Movers", "Medium", "0.10", "0", "Maintain"),
        ("Weak", "Low", "0.1001", "0", "Maintain"),
        ("Strong", "High", "0.15", "0.10", "Growth Opportunity"),
        ("Steady", "High", None, None, "Growth Opportunity"),
        ("Steady", "Medium", "0", "0", "Maintain"),
        ("Weak", "High", "0", "0", "Maintain"),
    ],
)
def test_strategic_priority(tier: str, margin: str, cancellation: str | None, fraud: str | None, priority: str) -> None:
    rates = [None if rate is None else D(rate) for rate in (cancellation, fraud)]
    assert oracle.strategic_priority(tier, margin, *rates) == priority


@pytest.mark.parametrize(
    ("values", "parts", "expected"),
    [
        (range(1, 11), 5, [2, 4, 6, 8]),
        (range(1, 10), 4, [3, 5, 7]),
        ([7], 5, [7, 7, 7, 7]),
        ([1, 1, 1, 9], 4, [1, 1, 1]),
        ([None, 3], 4, [3, 3, 3]),
        ([], 5, []),
    ],
)
def test_thresholds(values: Any, parts: int, expected: list[int]) -> None:
    assert oracle.thresholds(values, parts) == expected


@pytest.mark.parametrize(
    ("numerator", "denominator", "places", "expected"),
    [
        (1, 8, 2, "0.13"),
        (-1, 8, 2, "-0.13"),
        (D("0.04999999999"), 1, 1, "0.0"),
        (2, 3, 4, "0.6667"),
        (0, 3, 2, "0.00"),
        (5, 0, 2, None),
    ],
)
def test_rounded(numerator: Any, denominator: int, places: int, expected: str | None) -> None:
    value = oracle.rounded(numerator, denominator, places)
    assert (None if value is None else str(value)) == expected


def shop() -> list[Row]:
    """Customer 1 moves from Consumer to Corporate; customer 2 has only cancelled orders; item 4 is moved from
    customer 2 to 1; product 2 is sold once, at a loss, to a customer of no known segment."""

    def item(number: int, order: int, day: datetime, **values: Any) -> Row:
        return bronze_row(order_item_id=number, order_id=order, order_date_dateorders=day, **values)

    first, second, third = datetime(2017, 10, 1, 9), datetime(2017, 11, 3, 23, 59), datetime(2018, 1, 5)
    return [
        item(1, 1, first, order_item_total=D("10.01"), order_item_quantity=2, late_delivery_risk=True),
        item(2, 1, first, order_item_total=D("10.00"), shipping_date_dateorders=datetime(2017, 10, 4)),
        item(3, 2, second, customer_segment="Corporate", order_status="CLOSED", order_profit_per_order=None),
        item(4, 3, third, customer_id=2, order_status="CANCELED"),
        item(
            4,
            3,
            third,
            customer_segment="Corporate",
            order_status="ON_HOLD",
            landing_date=date(2018, 1, 6),
            shipping_date_dateorders=None,
            order_item_total=None,
        ),
        item(5, 4, third, customer_id=2, order_status="SUSPECTED_FRAUD"),
        item(
            6,
            5,
            second,
            customer_id=3,
            customer_segment=None,
            product_card_id=2,
            order_profit_per_order=D("-12.345"),
            order_item_discount_rate=D("0.1"),
        ),
    ]


def test_the_two_tables_of_a_small_shop() -> None:
    bronze = shop()
    customers, products = oracle.dim_customers(bronze), oracle.dim_products(bronze)
    enriched = oracle.orders_enriched(oracle.orders(bronze), customers, products)
    as_of = date(2018, 1, 7)

    one, two, three = sorted(oracle.customers360(enriched, customers, as_of), key=lambda r: r["customer_id"])
    assert (one["total_orders"], one["total_revenue"], one["total_profit"]) == (3, D("30.01"), 3)
    assert one["avg_order_value"] == D("10.00")
    assert (one["first_order_date"], one["latest_order_date"]) == (date(2017, 10, 1), date(2018, 1, 5))
    assert (one["days_since_last_order"], one["customer_segment"]) == (2, "Corporate")
    # Two ranked customers: thresholds are the ranks 1, 1, 2, 2 of each measure.
    assert (one["rfm_score"], one["rfm_segment"]) == ("533", "Loyal Customers")
    assert (two["rfm_score"], two["rfm_segment"], two["total_revenue"]) == ("111", "Prospects", 0)
    assert two["avg_order_value"] is two["first_order_date"] is two["days_since_last_order"] is None
    assert (three["rfm_score"], three["rfm_segment"]) == ("311", "Hibernating")

    ball, other = sorted(oracle.products360(enriched, products, as_of), key=lambda r: r["product_id"])
    assert (ball["total_orders"], ball["units_sold"], ball["unique_customers"]) == (3, 5, 1)
    assert (ball["profit_margin"], ball["avg_profit_per_order"]) == (D("0.1000"), D("1.00"))
    assert ball["avg_order_cycle_days"] == D("52.6667")  # (94 + 3 + 61) / 3; one item is not shipped
    assert (ball["consumer_orders"], ball["corporate_orders"], ball["home_office_orders"]) == (1, 2, 0)
    assert (ball["completed_orders"], ball["canceled_orders"], ball["fraud_orders"]) == (2, 0, 1)
    assert (ball["pending_orders"], ball["order_pending_rate"]) == (1, D("0.2500"))
    assert (ball["order_completion_rate"], ball["order_fraud_rate"]) == (D("0.6667"), D("0.3333"))
    assert (ball["late_deliveries"], ball["days_in_catalog"]) == (1, 96)
    assert (ball["revenue_score"], ball["margin_score"], ball["margin_category"]) == (3, 3, "Medium")
    assert (ball["performance_tier"], ball["product_health"]) == ("Strong", "At Risk")
    assert ball["strategic_priority"] == "Investigate Quality Issues"
    assert (other["profit_margin"], other["avg_discount_rate"]) == (D("-1.2345"), D("0.1000"))
    assert other["consumer_orders"] == other["corporate_orders"] == other["home_office_orders"] == 0
    assert (other["performance_tier"], other["order_completion_rate"]) == ("Weak", 1)


def test_units_sold_on_the_90th_day_before_make_a_weak_product_and_no_slow_mover() -> None:
    bronze = [
        bronze_row(order_item_id=1, product_card_id=1, order_item_total=D("99.00")),
        bronze_row(order_item_id=2, product_card_id=2, order_date_dateorders=datetime(2018, 4, 1)),
        bronze_row(order_item_id=3, product_card_id=3, order_item_total=D("99.00")),
        bronze_row(order_item_id=4, product_card_id=4, order_item_total=D("99.00")),
    ]
    products = oracle.dim_products(bronze)
    enriched = oracle.orders_enriched(oracle.orders(bronze), oracle.dim_customers(bronze), products)

    def tier(as_of: date) -> str:
        return {row["product_id"]: row for row in oracle.products360(enriched, products, as_of)}[2]["performance_tier"]

    assert tier(date(2018, 4, 2)) == tier(date(2018, 6, 30)) == "Weak"
    assert tier(date(2018, 7, 1)) == tier(date(2018, 4, 1)) == "Slow Movers"
