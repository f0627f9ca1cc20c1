"""Gold's labels as plain SQL over the stored columns, written apart from the build's rules (design, section 7)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """A score from 1 to `best` of a table, by nearest-rank thresholds over `measure`."""

    table: str
    name: str
    measure: str
    best: int
    less_is_better: bool = False


SCORES = (
    Score("customers360", "recency_score", "days_since_last_order", 5, less_is_better=True),
    Score("customers360", "frequency_score", "total_orders", 5),
    Score("customers360", "monetary_score", "total_revenue", 5),
    Score("products360", "revenue_score", "total_revenue", 5),
    Score("products360", "margin_score", "profit_margin", 4),
)

CUSTOMER_LABELS = {
    "rfm_score": "concat(cast(recency_score AS string), cast(frequency_score AS string),"
    " cast(monetary_score AS string))",
    "rfm_segment": """CASE
        WHEN total_orders = 0 THEN 'Prospects'
        WHEN recency_score >= 4 AND frequency_score >= 4 AND monetary_score >= 4 THEN 'Champions'
        WHEN recency_score <= 2 AND frequency_score >= 4 AND monetary_score >= 4 THEN 'Cannot Lose Them'
        WHEN recency_score >= 3 AND frequency_score >= 3 AND monetary_score >= 3 THEN 'Loyal Customers'
        WHEN recency_score <= 2 AND frequency_score >= 3 AND monetary_score >= 3 THEN 'At Risk'
        WHEN recency_score >= 4 AND frequency_score >= 2 THEN 'Potential Loyalists'
        WHEN recency_score >= 4 THEN 'New Customers'
        WHEN recency_score = 1 AND frequency_score = 1 THEN 'Lost Customers'
        ELSE 'Hibernating' END""",
}

# Units sold in the 90 days before the as-of day: there are some if the last counted order lies in those days. An
# order that is dated after the as-of day hides whether there is an earlier one, so either tier is taken then.
PRODUCT_LABELS = {
    "performance_tier": """CASE
        WHEN revenue_score >= 4 THEN 'Star'
        WHEN revenue_score = 3 THEN 'Strong'
        WHEN revenue_score = 2 THEN 'Steady'
        WHEN last_order_date >= _as_of AND performance_tier IN ('Weak', 'Slow Movers') THEN performance_tier
        WHEN datediff(_as_of, last_order_date) <= 90 THEN 'Weak'
        ELSE 'Slow Movers' END""",
    "margin_category": "try_element_at(array('Very Low', 'Low', 'Medium', 'High'), margin_score)",
    "product_health": """CASE
        WHEN performance_tier IN ('Star', 'Strong') AND order_completion_rate >= 0.90BD
            AND order_cancellation_rate < 0.05BD THEN 'Healthy'
        WHEN order_cancellation_rate > 0.10BD OR order_fraud_rate > 0.05BD
            OR order_completion_rate < 0.80BD THEN 'At Risk'
        ELSE 'Monitor' END""",
    "strategic_priority": """CASE
        WHEN performance_tier = 'Star' AND margin_category = 'High' THEN 'Invest & Promote'
        WHEN order_cancellation_rate > 0.15BD OR order_fraud_rate > 0.10BD THEN 'Investigate Quality Issues'
        WHEN performance_tier = 'Slow Movers'
            AND (margin_category IN ('Low', 'Very Low') OR order_cancellation_rate > 0.10BD)
            THEN 'Consider Discontinuing'
        WHEN performance_tier IN ('Strong', 'Steady') AND margin_category = 'High' THEN 'Growth Opportunity'
        ELSE 'Maintain' END""",
}


def _quotient(numerator: str, denominator: str, kind: str) -> str:
    """Rounded half-up to the kind's places; null without a denominator."""
    return f"cast(cast({numerator} AS decimal(20,2)) / nullif(cast({denominator} AS decimal(18,0)), 0) AS {kind})"


_SETTLED = "(completed_orders + canceled_orders + fraud_orders)"
CUSTOMER_RATES = {
    "avg_order_value": _quotient("total_revenue", "total_orders", "decimal(18,2)"),
    # A key without a counted order scores 1.
    **{name: f"if(total_orders = 0, 1, {name})" for name in ("recency_score", "frequency_score", "monetary_score")},
}
PRODUCT_RATES = {
    "avg_order_value": _quotient("total_revenue", "total_orders", "decimal(18,2)"),
    "avg_profit_per_order": _quotient("total_profit", "total_orders", "decimal(18,2)"),
    # Both in cents, so that either side is a whole number.
    "profit_margin": _quotient("total_profit * 100", "total_revenue * 100", "decimal(18,4)"),
    "order_completion_rate": _quotient("completed_orders", _SETTLED, "decimal(18,4)"),
    "order_cancellation_rate": _quotient("canceled_orders", _SETTLED, "decimal(18,4)"),
    "order_fraud_rate": _quotient("fraud_orders", _SETTLED, "decimal(18,4)"),
    "order_pending_rate": _quotient("pending_orders", f"({_SETTLED} + pending_orders)", "decimal(18,4)"),
    **{name: f"if(total_orders = 0, 1, {name})" for name in ("revenue_score", "margin_score")},
}
