"""The text of a quarantined line, without private data."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

MASK = "***"
# A run of characters around an @, matched from the run's start only: linear in the length of the line.
_WITH_AT = r'(?<![^\s,;"<>])[^\s,;"<>@]*+@[^\s,;"<>]*+'


def masked_line(raw: Column, surplus: Column, unsplittable: Column, private: list[Column]) -> Column:
    """Join the raw fields of a line again, private ones masked, and whatever looks like an address too.

    `private` are the positions, from 0, at which the file's header puts the private columns. Where a line has too many
    or too few fields (`surplus` is not 0), such a column can be anywhere between its place counted from the left end
    and its place counted from the right end. A line that cannot be split is masked whole.
    """

    def mask(field: Column, index: Column) -> Column:
        hidden = F.lit(False)
        for place in private:
            shifted = place + surplus
            hidden = hidden | index.between(F.least(place, shifted), F.greatest(place, shifted))
        return F.when(hidden, F.lit(MASK)).otherwise(field)

    line = F.array_join(F.transform(raw, mask), ",")
    return F.when(unsplittable, F.lit(MASK)).otherwise(F.regexp_replace(line, _WITH_AT, MASK))
