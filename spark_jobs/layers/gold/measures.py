"""Which order items count, and how sums, averages and rates are taken."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType

MONEY = DecimalType(18, 2)
RATE = DecimalType(18, 4)
"""A rate can exceed 1 by far (a loss on a line sold for a cent), so the type leaves room."""

CANCELED = "CANCELED"
SUSPECTED_FRAUD = "SUSPECTED_FRAUD"
COMPLETED = ("COMPLETE", "CLOSED")
PENDING = ("PENDING", "PENDING_PAYMENT", "PROCESSING", "ON_HOLD", "PAYMENT_REVIEW")


def is_counted() -> Column:
    """Return whether an order item counts: it is neither canceled nor suspected of fraud."""
    return ~F.col("order_status").isin(CANCELED, SUSPECTED_FRAUD)


def ratio(numerator: Column, denominator: Column, scale: int, places: int) -> Column:
    """Return numerator / denominator, rounded half-up once to `places`; NULL if the denominator is 0 or NULL.

    `scale` is the number of decimals of both. Spark rounds a quotient of DECIMAL(18,s) by DECIMAL(18,s) to 19
    decimals at s = 0 and to 20 at s = 2. Rounding that again to `places` cannot differ from
    rounding the exact quotient once: unless it lies on the border of two roundings, it is at least
    1 / (2 * 10^places * denominator in its smallest unit) away from it, which is more than the first rounding
    moves it for any denominator below 10^15 units.
    """
    exact = DecimalType(18, scale)
    quotient = numerator.cast(exact) / F.nullif(denominator.cast(exact), F.lit(0).cast(exact))
    return quotient.cast(DecimalType(18, places))
