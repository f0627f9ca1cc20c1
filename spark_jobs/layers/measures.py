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

    NULL as well where the quotient does not fit DECIMAL(18, places): an odd key must not stop all others. `scale` is
    the number of decimals of both sides; the numerator may have 28 digits, as exact sums have, and the denominator 18.

    Whole units and the fraction are divided by themselves, so that neither loses decimals to the other. Spark rounds a
    quotient of DECIMAL(18,s) by DECIMAL(18,s) to 19 decimals at s = 0 and to 20 at s = 2. Rounding that again to
    `places` cannot differ from rounding the exact quotient once: unless it lies on the border of two roundings, it is
    at least 1 / (2 * 10^places * denominator in its smallest unit) away from it, which is more than the first rounding
    moves it for any denominator below 10^15 units.
    """
    exact = DecimalType(18, scale)
    dividend = numerator.cast(DecimalType(28, scale))
    divisor = F.nullif(denominator.try_cast(exact), F.lit(0).cast(exact))
    rest = dividend % divisor
    whole = ((dividend - rest) / divisor).try_cast(DecimalType(18 - places, 0))
    return (whole + (rest / divisor).cast(DecimalType(18, places))).try_cast(DecimalType(18, places))
