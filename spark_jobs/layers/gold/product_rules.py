"""The labels of a product. Of each label, the first rule that holds counts.

They read stored, rounded values. A rate that is NULL (no settled order) fulfils no comparison. What follows from a
score that is NULL, since its measure does not fit its type, is NULL too.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F


def performance_tier() -> Column:
    """Label by revenue_score, and recent_units (sold in the 90 days before the as-of day)."""
    score = F.col("revenue_score")
    return (
        F.when(score.isNull(), F.lit(None))
        .when(score >= 4, "Star")
        .when(score == 3, "Strong")
        .when(score == 2, "Steady")
        .when(F.col("recent_units") > 0, "Weak")
        .otherwise("Slow Movers")
    )


def margin_category() -> Column:
    """Label by margin_score."""
    score = F.col("margin_score")
    return (
        F.when(score.isNull(), F.lit(None))
        .when(score == 4, "High")
        .when(score == 3, "Medium")
        .when(score == 2, "Low")
        .otherwise("Very Low")
    )


def _rate(name: str) -> Column:
    return F.col(f"order_{name}_rate")


def _above(name: str, limit: str) -> Column:
    return _rate(name) > F.lit(limit).cast("decimal(18,4)")


def product_health() -> Column:
    """Label by the tier and the rates of settled orders."""
    high_tier = F.col("performance_tier").isin("Star", "Strong")
    completed = _rate("completion") >= F.lit("0.90").cast("decimal(18,4)")
    few_canceled = _rate("cancellation") < F.lit("0.05").cast("decimal(18,4)")
    few_completed = _rate("completion") < F.lit("0.80").cast("decimal(18,4)")
    return (
        F.when(F.col("performance_tier").isNull(), F.lit(None))
        .when(high_tier & completed & few_canceled, "Healthy")
        .when(_above("cancellation", "0.10") | _above("fraud", "0.05") | few_completed, "At Risk")
        .otherwise("Monitor")
    )


def strategic_priority() -> Column:
    """Label by the tier, the margin and the rates.

    Slow movers are the only ones to be discontinued: for a low margin, or for cancellations.
    """
    tier, margin = F.col("performance_tier"), F.col("margin_category")
    poor = margin.isin("Low", "Very Low") | _above("cancellation", "0.10")
    return (
        F.when(tier.isNull() | margin.isNull(), F.lit(None))
        .when((tier == "Star") & (margin == "High"), "Invest & Promote")
        .when(_above("cancellation", "0.15") | _above("fraud", "0.10"), "Investigate Quality Issues")
        .when((tier == "Slow Movers") & poor, "Consider Discontinuing")
        .when(tier.isin("Strong", "Steady") & (margin == "High"), "Growth Opportunity")
        .otherwise("Maintain")
    )
