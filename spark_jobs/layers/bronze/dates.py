"""From the text of a date to its instant, whatever the order of day and month: see spark_jobs/tables/date_order.py."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_jobs.tables.date_order import AUTO, DAY_FIRST, MONTH_FIRST, SEPARATORS, Order
from spark_jobs.tables.source import SourceFormat
from spark_jobs.tables.stand_in_dates import OTHER_YEARS, SPELLINGS

AMBIGUOUS = "ambiguous date: set date_order to month_first or day_first"
AFTER_LANDING = "ordered after it was landed"
_SHAPE = rf"^[0-9]{{1,2}}([{SEPARATORS}])[0-9]{{1,2}}\1(?!0000)[0-9]{{4}} [0-9]{{1,2}}:[0-9]{{2}}\z"
_PATTERNS: dict[Order, str] = {MONTH_FIRST: "M/d/yyyy H:mm", DAY_FIRST: "d/M/yyyy H:mm"}


def readings(field: Column) -> Column:
    """Read a cleaned field as a timestamp, as a struct of both orders; NULL where it is none.

    Spark's own reading takes years with a sign and up to 19 digits, and for some of them fails the query, so the shape
    is looked at first; a part above 12 is no month, and is not tried as one: a failed try costs as much as ten others.
    """
    slashed = F.when(field.rlike(_SHAPE), F.translate(field, SEPARATORS, "/" * len(SEPARATORS)))
    parts = F.split(slashed, "/")

    def read(order: Order, month: int) -> Column:
        is_month = F.element_at(parts, month).cast("int") <= 12
        return F.when(is_month, F.try_to_timestamp(slashed, F.lit(_PATTERNS[order]))).alias(order)

    return F.struct(read(MONTH_FIRST, 1), read(DAY_FIRST, 2))


def stands_for_none(field: Column) -> Column:
    """Return the day of a cleaned field, as text, where it is one that programs write for "no date"; else NULL."""
    day = F.substring_index(F.substring_index(field, " ", 1), "T", 1)
    return F.when(day.isin(*SPELLINGS) | day.rlike(OTHER_YEARS), day)


@dataclass(frozen=True)
class DatePair:
    """The two dates of a line, both as `readings` gives them, beside `date_order` and `dates_agree` of its file and the
    number of days that the line states."""

    ordered: Column
    shipped: Column
    stated_days: Column
    setting: str

    def value(self, reading: Column) -> Column:
        """Return the instant of a reading, which means nothing where it is ambiguous."""
        month_first, day_first = reading[MONTH_FIRST], reading[DAY_FIRST]
        if self.setting != AUTO:
            return reading[self.setting]
        return F.when(F.col("date_order") == DAY_FIRST, F.coalesce(day_first, month_first)).otherwise(
            F.coalesce(month_first, day_first)
        )

    def is_ambiguous(self) -> Column:
        """Return whether the line has a date of which neither its file nor the line itself shows the order."""
        if self.setting != AUTO:
            return F.lit(False)
        can_be_both = self._can_be_both(self.ordered) | self._can_be_both(self.shipped)
        return can_be_both & ~F.col("dates_agree") & ~self._line_has_evidence()

    def _line_has_evidence(self) -> Column:
        """Return whether the line has certain evidence for the order of its file."""
        month_first, day_first = (
            self._is_only(self.ordered, order) | self._is_only(self.shipped, order)
            for order in (MONTH_FIRST, DAY_FIRST)
        )
        by_days = {order: self._are_days_apart(order) for order in (MONTH_FIRST, DAY_FIRST)}
        votes_month = F.when(month_first | day_first, month_first & ~day_first).otherwise(
            by_days[MONTH_FIRST] & ~by_days[DAY_FIRST]
        )
        votes_day = F.when(month_first | day_first, day_first & ~month_first).otherwise(
            by_days[DAY_FIRST] & ~by_days[MONTH_FIRST]
        )
        chosen = F.when(F.col("date_order") == MONTH_FIRST, votes_month).when(
            F.col("date_order") == DAY_FIRST, votes_day
        )
        return F.coalesce(chosen, F.lit(False))

    def _are_days_apart(self, order: Order) -> Column:
        apart = F.date_diff(self.shipped[order].cast("date"), self.ordered[order].cast("date"))
        return apart.eqNullSafe(self.stated_days) & self.stated_days.isNotNull()

    @staticmethod
    def _can_be_both(reading: Column) -> Column:
        return F.coalesce(reading[MONTH_FIRST] != reading[DAY_FIRST], F.lit(False))

    @staticmethod
    def _is_only(reading: Column, order: Order) -> Column:
        other = DAY_FIRST if order == MONTH_FIRST else MONTH_FIRST
        return reading[order].isNotNull() & reading[other].isNull()


def out_of_bounds(ordered: Column, landed: Column, source_format: SourceFormat) -> list[Column]:
    """Return why an order cannot have been placed then; NULLs where it can."""
    age = F.date_diff(landed, ordered.cast("date"))
    oldest = source_format.max_order_age_days
    return [
        F.when(age < -source_format.max_order_days_ahead, AFTER_LANDING),
        F.when(age > oldest, f"ordered more than {oldest} days before it was landed"),
    ]
